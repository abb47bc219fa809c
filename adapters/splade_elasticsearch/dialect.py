"""Elasticsearch's `Dialect`, for the modules that it shares with OpenSearch."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from splade_elasticsearch.fusing import ElasticsearchFusing
from splade_lucene.dialect import KINDS, Dialect, Version


def _dense_mapping(version: Version) -> Mapping[str, Any]:
    # In 7.x a dense_vector has no parameter but its dimensions.
    return {"index": True, "similarity": "cosine"} if version >= (8,) else {}


def _by_angle(mapping: Mapping[str, Any]) -> bool:
    # dot_product takes only vectors of length 1.
    return mapping.get("similarity", "cosine") in ("cosine", "dot_product")


def _scores_cosines(mapping: Mapping[str, Any]) -> bool:
    # Cosine is the default; other similarities have never been examined.
    return True


# Serverless reports 8.11.0 to clients that ask, but is newer than any release.
_SERVERLESS = "9.99.0"


def _number_in(version: Mapping[str, Any], location: str) -> str:
    if version.get("build_flavor") == "serverless":
        return _SERVERLESS
    return str(version["number"])


ELASTICSEARCH = Dialect(
    name="Elasticsearch",
    scheme="elasticsearch",
    not_this="Elasticsearch (its client refuses OpenSearch too)",
    credentials=("ELASTICSEARCH_API_KEY, or ELASTICSEARCH_USERNAME and ELASTICSEARCH_PASSWORD"),
    kinds=KINDS,
    dense_type="dense_vector",
    dimensions="dims",
    dense_mapping=_dense_mapping,
    by_angle=_by_angle,
    scores_cosines=_scores_cosines,
    number_in=_number_in,
    fusing=ElasticsearchFusing,
    first_knn=(8, 0),
    # 8.19.21 loses vectors that _source excludes; 9.3.2 changes cosine ones by up to 2.4e-7 [ran].
    vectors_apart=(9, 2),
    tells_privileges=True,
    point_in_time=True,
)
