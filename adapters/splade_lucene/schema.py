"""An index's mapping, and the additions that SPLADE vectors need."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from splade_connectors.backends.metadata import manifests_of, vector_of
from splade_connectors.backends.versions import version_text
from splade_connectors.errors import (
    AccessDenied,
    ConfigurationError,
    NotSupported,
    SchemaConflict,
)
from splade_connectors.manifest import MANIFEST_KEY
from splade_lucene.address import IndexAddress
from splade_lucene.dialect import Dialect, Kind, Version

# The `sparse_vector` query came with 8.15; pruning by default, and the mapping option to turn it
# off, came with 8.19 and 9.1.
SPARSE_VECTOR_QUERY = (8, 15)

_NOT_IN_NAMES = set(' "*\\<|,>/?#:')
_MOST_BYTES = 255


@dataclass(frozen=True, kw_only=True, slots=True)
class Schema:
    """The fields and settings of an index that matter here.

    Attributes:
        index: its concrete name, even if it was requested by an alias.
        field: the stored name of the sparse field.
        kind: type of the sparse field; None if it does not exist.
        marker: whether the marker field is mapped.
        dense: dense field -> dimensions.
        sparse: names of all sparse fields.
        whole_source: whether `_source` keeps every field.
        shards: number of primary shards.
        uuid: distinguishes the index from a later one with the same name.
        mapping: as returned by the server.
        settings: of the index, as returned by the server.
        members: the indices behind the name, if there are several or the name is a data stream's;
            they are searched together, but not written to. () for one index.
        write_index: the member that an alias sends writes to; "" if there is none.
        filtered: whether the name is an alias with a filter, which requests by id would ignore.
    """

    index: str
    field: str
    kind: Kind | None
    marker: bool
    dense: Mapping[str, int]
    sparse: Sequence[str]
    whole_source: bool
    shards: int
    uuid: str = ""
    mapping: Mapping[str, Any] = dataclasses.field(repr=False)
    settings: Mapping[str, Any] = dataclasses.field(repr=False)
    members: tuple[str, ...] = ()
    write_index: str = ""
    filtered: bool = False

    @property
    def meta(self) -> Mapping[str, Any]:
        """The owner's `_meta`, including our part."""
        return self.mapping.get("_meta") or {}

    @property
    def manifest(self) -> Any:
        """The stored manifest of the sparse field, or None."""
        return manifests_of(self.meta).get(self.field)

    @property
    def marker_field(self) -> str:
        """The keyword field that marks documents whose sparse field we wrote."""
        return marker_name(self.field)

    @property
    def hidden(self) -> list[str]:
        """Fields that are not payload: vectors and markers, ours and others'."""
        ours = manifests_of(self.meta)
        others = [*self.sparse, *map(marker_name, ours), *self.dense]
        return list(dict.fromkeys([self.field, self.marker_field, *others]))

    def dense_mapping(self, name: str) -> Mapping[str, Any]:
        """The mapping of a dense field; {} if it does not exist."""
        found = self.mapping.get("properties") or {}
        return found[name] if name in self.dense else {}


def check_index_name(name: str) -> None:
    """Refuse a name that the servers refuse for an index.

    Raises:
        ConfigurationError: if the name is refused, with the reason.
    """
    if not name or not name.isprintable():
        what = "contains an unprintable character" if name else "is empty"
        raise ConfigurationError(f"the index name {name!r} is refused: it {what}")
    if name != name.lower():
        raise ConfigurationError(
            f"index names must be lowercase: write {name.lower()!r} instead of {name!r}"
        )
    bad = sorted(_NOT_IN_NAMES & set(name))
    if bad:
        raise ConfigurationError(f"the index name {name!r} is refused: {bad[0]!r} is not allowed")
    if name.startswith(("-", "_", "+")) or name in (".", "..") or _is_too_long(name):
        raise ConfigurationError(
            f"the index name {name!r} is refused: it must not start with -, _ or +, must not be . "
            f"or .., and may have at most {_MOST_BYTES} bytes"
        )


def check_field_name(name: str) -> None:
    """Refuse names of sparse fields that this adapter cannot use.

    Raises:
        ConfigurationError: if the name is empty, a path, a pattern, or a metadata field's.
    """
    marks = set(".*,") & set(name)
    if not name.strip() or name.startswith("_") or marks or not name.isprintable():
        raise ConfigurationError(
            f"the field name {name!r} is refused: use a top-level name without '.', '*', ',', "
            "unprintable characters or a leading '_'"
        )
    if _is_too_long(name):
        raise ConfigurationError(
            f"the field name {name!r} is refused: it is longer than {_MOST_BYTES} bytes"
        )


def _is_too_long(name: str) -> bool:
    return len(name.encode("utf-8", "surrogatepass")) > _MOST_BYTES


def marker_name(field: str) -> str:
    """The keyword field that marks documents whose sparse field we wrote."""
    return f"{field}_marker"


def parse_index(index: str, found: Mapping[str, Any], address: IndexAddress) -> Schema:
    """The schema of one index in the response of GET /NAME.

    Args:
        index: its name in the response.
        found: its entry in the response.
        address: the requested address.

    Raises:
        SchemaConflict: if the field has another type, or a field computed at search time has the
            same name.
    """
    location, dialect = address.location, address.dialect
    mapping = found.get("mappings") or {}
    properties = mapping.get("properties") or {}
    types = {name: str(entry.get("type", "object")) for name, entry in properties.items()}
    dense = {name: properties[name] for name, kind in types.items() if kind == dialect.dense_type}
    settings = (found.get("settings") or {}).get("index") or {}
    named = address.field
    field = named if address.exactly else vector_of(mapping.get("_meta") or {}, named)
    _check_unshadowed(mapping, field, location)
    kind = _kind(types.get(field), field, types, location, dialect.kinds)
    if kind:
        check_kind(address, kind, field)
    return Schema(
        index=index,
        field=field,
        kind=kind,
        marker=types.get(marker_name(field)) == "keyword",
        dense={name: int(entry.get(dialect.dimensions, 0)) for name, entry in dense.items()},
        sparse=[name for name, kind in types.items() if kind in dialect.kinds],
        whole_source=_is_whole(mapping.get("_source") or {}),
        shards=int(settings.get("number_of_shards", 1)),
        uuid=str(settings.get("uuid") or ""),
        mapping=mapping,
        settings=settings,
    )


def choose_kind(address: IndexAddress, version: Version) -> Kind:
    """The type for a new sparse field: the requested one, or the best that the server offers.

    Raises:
        NotSupported: if `sparse_vector` was requested, but the server cannot query it.
        AccessDenied: if the version is unknown.
    """
    asked, location, dialect = address.kind, address.location, address.dialect
    if len(dialect.kinds) == 1:
        return dialect.kinds[0]
    if not version:
        raise AccessDenied(
            f"{location}: the type of a new sparse field depends on the server's version, and this "
            "user needs the cluster privilege monitor to read it"
        )
    if asked == "sparse_vector" and version < SPARSE_VECTOR_QUERY:
        shown = version_text(version)
        raise NotSupported(
            f"{location}: sparse_vector queries need Elasticsearch 8.15, but the server is "
            f"{shown}; use kind=rank_features"
        )
    if asked:
        return asked
    return "sparse_vector" if version >= SPARSE_VECTOR_QUERY else "rank_features"


def check_kind(address: IndexAddress, found: Kind, field: str) -> None:
    """Refuse if the requested kind is not the field's.

    Raises:
        SchemaConflict: if they differ; names both.
    """
    if address.kind and address.kind != found:
        raise SchemaConflict(
            f"the field {field!r} of {address.location} is {found}, not {address.kind}; omit "
            "kind, or choose another field: ?field=NAME"
        )


def properties(
    field: str,
    kind: Kind,
    version: Version,
    dense: Mapping[str, int],
    dialect: Dialect,
) -> dict[str, Any]:
    """Mapping properties for the sparse field, its marker, and dense vectors."""
    sparse: dict[str, Any] = {"type": kind}
    if kind == "sparse_vector" and _prunes_by_default(version):
        # Its thresholds were tuned for another model and would change SPLADE's scores.
        sparse["index_options"] = {"prune": False}
    return {
        field: sparse,
        marker_name(field): {"type": "keyword"},
        **{
            name: {
                "type": dialect.dense_type,
                dialect.dimensions: size,
                **dialect.dense_mapping(version),
            }
            for name, size in dense.items()
        },
    }


def merged_meta(schema_meta: Mapping[str, Any], field: str, manifest: Any) -> dict[str, Any]:
    """The owner's `_meta` with our manifest of this field: a write replaces all of `_meta`."""
    ours = manifests_of(schema_meta)
    return {**schema_meta, MANIFEST_KEY: {**ours, field: manifest}}


def _prunes_by_default(version: Version) -> bool:
    return version >= (9, 1) or (8, 19) <= version < (9, 0)


def _is_whole(source: Mapping[str, Any]) -> bool:
    cut = source.get("excludes") or source.get("includes")
    return not cut and source.get("enabled") is not False


def _check_unshadowed(mapping: Mapping[str, Any], field: str, location: str) -> None:
    """Refuse names whose stored values queries would not see."""
    # The first is Elasticsearch's term, the second OpenSearch's.
    for section, word in (("runtime", "a runtime field"), ("derived", "a derived field")):
        computed = mapping.get(section) or {}
        for name in (field, marker_name(field)):
            if name in computed:
                raise SchemaConflict(
                    f"{name!r} of {location} is {word}, which queries would see instead of the "
                    "vectors: choose another name, ?field=NAME"
                )


def _kind(
    found: str | None,
    field: str,
    types: Mapping[str, str],
    location: str,
    kinds: Sequence[Kind],
) -> Kind | None:
    for kind in kinds:
        if found == kind:
            return kind
    if found is None:
        return None
    others = ", ".join(name for name, kind in types.items() if kind in kinds) or "none"
    raise SchemaConflict(
        f"the field {field!r} of {location} is {found}, not {' or '.join(kinds)}; "
        f"choose another field: ?field=NAME (its sparse fields: {others})"
    )
