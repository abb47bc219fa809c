"""The code that Elasticsearch and OpenSearch share; a `Dialect` holds the differences."""
