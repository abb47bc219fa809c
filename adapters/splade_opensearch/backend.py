"""The verbs of an OpenSearch index: those of Elasticsearch, in OpenSearch's dialect."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from splade_connectors.errors import ConfigurationError
from splade_elasticsearch.backend import ElasticsearchBackend


class OpenSearchBackend(ElasticsearchBackend):
    """An index and the sparse field in it. Arguments as `ElasticsearchBackend`."""

    def _number_in(self, version: Mapping[str, Any]) -> str:
        if version.get("distribution") != "opensearch":
            raise ConfigurationError(
                f"what answers at {self.location} is Elasticsearch {version.get('number')}; write "
                "elasticsearch:// instead of opensearch://"
            )
        return super()._number_in(version)
