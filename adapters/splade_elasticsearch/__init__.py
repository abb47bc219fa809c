"""Elasticsearch: `rank_features` and `sparse_vector` fields of indices on your own server."""

from splade_elasticsearch.adapter import ElasticsearchAdapter

__all__ = ["ElasticsearchAdapter"]
