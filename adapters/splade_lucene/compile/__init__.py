"""Compile requests without sending them."""
