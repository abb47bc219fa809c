"""A collection's configuration, and whether it can hold SPLADE vectors."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from splade_connectors.backends.versions import Version
from splade_connectors.errors import SchemaConflict

# The first server that scores BM25 over the text index of a payload field.
TEXT_SCORING: Version = (1, 20)


@dataclass(frozen=True, kw_only=True, slots=True)
class PayloadIndex:
    """The index of a payload field; a field has at most one.

    Attributes:
        kind: "text", "keyword", …
        settings: as given at creation; empty for the defaults.
    """

    kind: str
    settings: Mapping[str, Any]

    @property
    def is_text(self) -> bool:
        """Whether it is a full-text index."""
        return self.kind == "text"

    @property
    def scores(self) -> bool:
        """Whether BM25 can search it."""
        return self.is_text and bool(self.settings.get("scoring"))

    @property
    def tokenizer(self) -> str:
        """Name of the tokenizer."""
        return str(self.settings.get("tokenizer") or "word")


@dataclass(frozen=True, kw_only=True, slots=True)
class Schema:
    """The vectors, indexes and settings of a collection.

    Attributes:
        dense: name -> dimensions; the unnamed vector is "".
        distances: name -> "Cosine", "Dot", "Euclid" or "Manhattan".
        sparse: name -> modifier, or None.
        indexes: payload field -> its index.
        server: version of the server; for the embedded engine, the one that it matches.
        metadata: the collection's metadata.
        limits: of strict mode; empty if it is off.
    """

    dense: Mapping[str, int]
    distances: Mapping[str, str]
    sparse: Mapping[str, str | None]
    server: Version
    indexes: Mapping[str, PayloadIndex] = field(default_factory=dict)
    metadata: Mapping[str, Any] = field(default_factory=dict)
    limits: Mapping[str, Any] = field(default_factory=dict)

    def max_terms(self, vector_name: str) -> int | None:
        """Maximum number of terms of a sparse vector in strict mode; None without a limit."""
        limits = (self.limits.get("sparse_config") or {}).get(vector_name) or {}
        return limits.get("max_length")

    @property
    def filterable(self) -> Sequence[str]:
        """The only payload keys that strict mode allows in filters; () if it allows all."""
        return (
            tuple(self.indexes) if self.limits.get("unindexed_filtering_retrieve") is False else ()
        )

    def at_most(self, size: int) -> int:
        """The size of a page, limited to what strict mode allows."""
        most = self.limits.get("max_query_limit")
        return min(size, most) if most else size


def parse_collection(info: Mapping[str, Any], server: Version) -> Schema:
    """The schema in the answer of GET /collections/NAME."""
    config = info["config"]
    vectors, sparse = config["params"].get("vectors"), config["params"].get("sparse_vectors")
    unnamed = isinstance(vectors, Mapping) and "size" in vectors and "distance" in vectors
    named = {"": vectors} if unnamed else (vectors or {})
    indexes = info.get("payload_schema") or {}
    strict_mode = config.get("strict_mode_config") or {}
    return Schema(
        dense={name: int(params["size"]) for name, params in named.items()},
        distances={name: str(params["distance"]) for name, params in named.items()},
        sparse={name: _modifier(params) for name, params in (sparse or {}).items()},
        server=server,
        indexes={name: _payload_index(found) for name, found in indexes.items()},
        metadata=config.get("metadata") or {},
        limits=dict(strict_mode) if strict_mode.get("enabled") else {},
    )


def check_sparse_vector(schema: Schema, name: str, location: str) -> None:
    """Refuse a vector that cannot give exact dot products.

    Raises:
        SchemaConflict: if the name is a dense vector's, or the vector has a modifier such as IDF.
    """
    if name in schema.dense:
        raise SchemaConflict(
            f"{location} has a dense vector named {name!r}; choose another name for the sparse "
            f"vector: ?vector=NAME (its sparse vectors: {_list(schema.sparse)})"
        )
    if schema.sparse.get(name):
        raise SchemaConflict(
            f"the sparse vector {name!r} of {location} has the modifier {schema.sparse[name]!r}, "
            "which would multiply SPLADE's weights by inverse document frequencies; use a sparse "
            "vector without a modifier: ?vector=NAME"
        )


def _payload_index(found: Mapping[str, Any]) -> PayloadIndex:
    settings = found.get("params") or {}
    given = {name: value for name, value in settings.items() if value is not None}
    return PayloadIndex(kind=str(found["data_type"]), settings=given)


def _modifier(params: Mapping[str, Any] | None) -> str | None:
    modifier = (params or {}).get("modifier")
    return None if modifier in (None, "none", "None") else str(modifier).lower()


def _list(names: Mapping[str, Any]) -> str:
    return ", ".join(sorted(names)) or "none"
