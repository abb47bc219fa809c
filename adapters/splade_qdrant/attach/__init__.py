"""Attaching to a collection: what is read, written and copied."""
