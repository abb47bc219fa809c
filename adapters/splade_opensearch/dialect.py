"""OpenSearch's `Dialect`, for the modules that it shares with Elasticsearch."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from splade_connectors.errors import ConfigurationError
from splade_lucene.dialect import Dialect, Version
from splade_opensearch.fusing import OpenSearchFusing
from splade_opensearch.schema import by_angle, scores_cosines


def _dense_mapping(version: Version) -> Mapping[str, Any]:
    # Without a method 3.6 uses Euclidean distance; Lucene scores cosines as (1 + cosine) / 2.
    return {"method": {"name": "hnsw", "engine": "lucene", "space_type": "cosinesimil"}}


def _number_in(version: Mapping[str, Any], location: str) -> str:
    if version.get("distribution") != "opensearch":
        raise ConfigurationError(
            f"the server at {location} is Elasticsearch {version.get('number')}; write "
            "elasticsearch:// instead of opensearch://"
        )
    return str(version["number"])


OPENSEARCH = Dialect(
    name="OpenSearch",
    scheme="opensearch",
    not_this="OpenSearch",
    credentials="OPENSEARCH_USERNAME and OPENSEARCH_PASSWORD",
    kinds=("rank_features",),
    # 3.3 and later have it (SEISMIC); #1926: ids from 32,768 on are mis-scored before 3.9, and
    # reduced modulo 32,768 since.
    not_offered={
        "sparse_vector": "OpenSearch's is approximate, and mixes up terms of vocabularies above "
        "32,768"
    },
    dense_type="knn_vector",
    dimensions="dimension",
    dense_mapping=_dense_mapping,
    by_angle=by_angle,
    scores_cosines=scores_cosines,
    number_in=_number_in,
    fusing=OpenSearchFusing,
    # A setting of the k-NN plugin, refused without it. It cannot be added later.
    dense_settings={"index.knn": True},
    first_knn=(1, 0),
    lists_long=False,  # 3.6
)
