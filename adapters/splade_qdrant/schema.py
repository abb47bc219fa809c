"""What a collection's configuration says, and whether SPLADE vectors fit into it."""

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
    """The index of a payload field; a field has one.

    Attributes:
        kind: "text", "keyword", …
        settings: as they were given; empty for the defaults.
    """

    kind: str
    settings: Mapping[str, Any]

    @property
    def is_text(self) -> bool:
        """Whether it finds words."""
        return self.kind == "text"

    @property
    def scores(self) -> bool:
        """Whether BM25 can search it."""
        return self.is_text and bool(self.settings.get("scoring"))

    @property
    def tokenizer(self) -> str:
        """How it finds words."""
        return str(self.settings.get("tokenizer") or "word")


@dataclass(frozen=True, kw_only=True, slots=True)
class Schema:
    """The vectors of a collection.

    Attributes:
        dense: name -> dimensions; the unnamed vector is "".
        distances: name -> "Cosine", "Dot", "Euclid" or "Manhattan".
        sparse: name -> modifier, None for none.
        indexes: payload field -> its index.
        server: version of the server; of the embedded engine, the one that it matches.
        metadata: what the collection keeps for its users.
        limits: of strict mode, where it is on.
    """

    dense: Mapping[str, int]
    distances: Mapping[str, str]
    sparse: Mapping[str, str | None]
    server: Version
    indexes: Mapping[str, PayloadIndex] = field(default_factory=dict)
    metadata: Mapping[str, Any] = field(default_factory=dict)
    limits: Mapping[str, Any] = field(default_factory=dict)

    def max_terms(self, vector_name: str) -> int | None:
        """Most terms of a sparse vector, by strict mode."""
        limits = (self.limits.get("sparse_config") or {}).get(vector_name) or {}
        return limits.get("max_length")

    @property
    def filterable(self) -> Sequence[str]:
        """The only payload keys that filters may be about, by strict mode; () where all may be."""
        return (
            tuple(self.indexes) if self.limits.get("unindexed_filtering_retrieve") is False else ()
        )

    def at_most(self, size: int) -> int:
        """The size of a page, as far as strict mode allows it."""
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
    """Refuse a vector of this name that cannot give exact dot products.

    Raises:
        SchemaConflict: when the name belongs to a dense vector, or IDF would be applied.
    """
    if name in schema.dense:
        raise SchemaConflict(
            f"{location} has a dense vector named {name!r}; choose another name for the sparse "
            f"one: ?vector=NAME (sparse ones there: {_list(schema.sparse)})"
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
