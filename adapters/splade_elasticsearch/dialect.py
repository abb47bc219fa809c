"""Where Elasticsearch and OpenSearch differ: what the modules that both use ask for."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

Version = tuple[int, ...]
Kind = Literal["rank_features", "sparse_vector"]
KINDS: tuple[Kind, ...] = ("rank_features", "sparse_vector")


@dataclass(frozen=True, kw_only=True, slots=True)
class Dialect:
    """A server's schema, and how it is called in messages.

    Attributes:
        name: of the product.
        scheme: of its targets.
        not_this: how the sentence "what answers there is not …" goes on.
        credentials: environment variables to name when the credentials are refused.
        kinds: types of sparse fields, the best last.
        dense_type: type of dense fields.
        dimensions: the parameter of such a field that holds its size.
        dense_mapping: the rest of a new one's mapping, for a version of the server.
        by_angle: whether a dense field of this mapping compares directions.
        dense_settings: what an index with dense vectors has to be created with.
        first_knn: the first version that searches dense vectors.
    """

    name: str
    scheme: str
    not_this: str
    credentials: str
    kinds: tuple[Kind, ...]
    dense_type: str
    dimensions: str
    dense_mapping: Callable[[Version], Mapping[str, Any]]
    by_angle: Callable[[Mapping[str, Any]], bool]
    dense_settings: Mapping[str, Any] = field(default_factory=dict)
    first_knn: Version = ()


def _dense_mapping(version: Version) -> Mapping[str, Any]:
    # 7.x knows nothing of a dense_vector but its dimensions.
    return {"index": True, "similarity": "cosine"} if version >= (8,) else {}


def _by_angle(mapping: Mapping[str, Any]) -> bool:
    # dot_product takes vectors of length 1 only.
    return mapping.get("similarity", "cosine") in ("cosine", "dot_product")


ELASTICSEARCH = Dialect(
    name="Elasticsearch",
    scheme="elasticsearch",
    not_this="Elasticsearch (nor is OpenSearch, to its client)",
    credentials=("ELASTICSEARCH_API_KEY, or ELASTICSEARCH_USERNAME and ELASTICSEARCH_PASSWORD"),
    kinds=KINDS,
    dense_type="dense_vector",
    dimensions="dims",
    dense_mapping=_dense_mapping,
    by_angle=_by_angle,
    first_knn=(8, 0),
)
