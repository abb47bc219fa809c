"""Qdrant: servers over REST and gRPC, qdrant-client's local mode, and the embedded engine."""

from splade_qdrant.adapter import EdgeAdapter, QdrantAdapter

__all__ = ["EdgeAdapter", "QdrantAdapter"]
