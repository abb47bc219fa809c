"""Attach to an index: reading, checking and writing."""
