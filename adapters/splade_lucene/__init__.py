"""What Elasticsearch and OpenSearch have in common; a `Dialect` holds what differs."""
