"""The Qdrant engine in this process."""
