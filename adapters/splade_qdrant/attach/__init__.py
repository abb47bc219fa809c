"""Attach to a collection: reading, writing and copying."""
