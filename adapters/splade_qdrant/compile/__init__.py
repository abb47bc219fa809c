"""Requests, without sending them."""
