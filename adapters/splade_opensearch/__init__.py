"""OpenSearch: `rank_features` and `knn_vector` fields of indices on your own server."""

from splade_opensearch.adapter import OpenSearchAdapter

__all__ = ["OpenSearchAdapter"]
