"""OpenSearch: `rank_features` and `knn_vector` fields of indices on your own server."""

from splade_opensearch.connect import OpenSearchAdapter

__all__ = ["OpenSearchAdapter"]
