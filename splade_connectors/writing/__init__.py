"""Sending documents until they are acknowledged or rejected."""
