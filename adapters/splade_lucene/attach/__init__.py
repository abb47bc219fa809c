"""Attaching to an index: what is read, checked and written."""
