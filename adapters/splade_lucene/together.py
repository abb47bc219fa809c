"""Several indices behind one name (a rollover alias, a data stream), searched as one. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import reduce
from typing import Any

from splade_connectors.backends.protocol import Description
from splade_connectors.errors import SchemaConflict, WriteBlocked
from splade_connectors.manifest import parse_manifest
from splade_lucene.address import IndexAddress
from splade_lucene.attach.checks import is_data_stream
from splade_lucene.merging import merged_mapping
from splade_lucene.schema import Schema, parse_index

_SHOWN = 5


def parse_indices(answer: Mapping[str, Any], address: IndexAddress) -> Schema:
    """The schema in the response of GET /NAME, for an index, alias or data stream.

    Raises:
        SchemaConflict: if one query cannot search the indices behind the name.
        WriteBlocked: if one of them is closed.
    """
    schemas = [parse_index(name, answer[name], address) for name in sorted(answer)]
    for schema in schemas:
        if str(schema.settings.get("verified_before_close")).lower() == "true":
            raise WriteBlocked(
                f"{address.location} is closed: open it with POST /{schema.index}/_open"
            )
    members = tuple(schema.index for schema in schemas)
    streamed = all(map(is_data_stream, members)) and members != (address.index,)
    aliases = {name: (answer[name].get("aliases") or {}).get(address.index) for name in members}
    filtered = any((alias or {}).get("filter") for alias in aliases.values())
    if len(schemas) == 1:
        return replace(schemas[0], members=members if streamed else (), filtered=filtered)
    writes = [name for name, alias in aliases.items() if (alias or {}).get("is_write_index")]
    return _as_one(schemas, writes[0] if writes else "", address)


def check_writable(seen: Description, address: IndexAddress) -> None:
    """Refuse to write to a name that refers to several indices.

    A document may be in any of them, so replacing it by its id could store it twice.

    Raises:
        SchemaConflict: if there are several; names them.
    """
    schema: Schema | None = seen.schema
    if schema is None or not schema.members:
        return
    names = ", ".join(schema.members[:_SHOWN]) + (", …" if len(schema.members) > _SHOWN else "")
    what = "a data stream" if all(map(is_data_stream, schema.members)) else "an alias"
    one = f"its write index, {schema.write_index}" if schema.write_index else "one of them"
    raise SchemaConflict(
        f"{address.location} is {what} of several indices ({names}), which can only be searched "
        f"together; to write, name {one}"
        if len(schema.members) > 1
        else f"{address.location} is a data stream, whose documents cannot be replaced or updated; "
        f"to write, name the index behind it, {names}"
    )


def _as_one(schemas: Sequence[Schema], write_index: str, address: IndexAddress) -> Schema:
    """The common schema; `_meta` is the write index's, if it has our manifest."""
    # Include indices without vectors: a query on an unmapped field just finds nothing.
    with_field = [schema for schema in schemas if schema.kind]
    _check_alike(with_field, address)
    first = min(
        with_field or schemas,
        key=lambda schema: (schema.manifest is None, schema.index != write_index),
    )
    common = {
        name: size
        for name, size in first.dense.items()
        if all(schema.dense.get(name) == size for schema in schemas)
    }
    mapping = reduce(merged_mapping, (schema.mapping for schema in schemas))
    return replace(
        first,
        index=address.index,
        marker=any(schema.marker for schema in schemas),
        dense=common,
        whole_source=all(schema.whole_source for schema in schemas),
        shards=sum(schema.shards for schema in schemas),
        mapping={**mapping, "_meta": first.meta},
        members=tuple(schema.index for schema in schemas),
        write_index=write_index,
    )


def _check_alike(schemas: Sequence[Schema], address: IndexAddress) -> None:
    """Refuse vectors that one query cannot search: different fields, types or settings."""
    for what, found in (
        ("the sparse field", {schema.index: schema.field for schema in schemas}),
        ("its type", {schema.index: str(schema.kind) for schema in schemas}),
        ("its manifest", {schema.index: _settings(schema, address) for schema in schemas}),
    ):
        if len(set(found.values())) > 1:
            shown = ", ".join(f"{value} in {index}" for index, value in found.items())
            raise SchemaConflict(
                f"{address.location} refers to several indices whose vectors cannot be searched "
                f"together: {what} is {shown}. Search one of them, or attach to each with the same "
                "model (adopt takes over vectors without a manifest)"
            )


def _settings(schema: Schema, address: IndexAddress) -> str:
    """Fingerprint of the settings of an index's vectors, or "absent"."""
    manifest = parse_manifest(schema.manifest, f"{address.location} ({schema.index})")
    return manifest.fingerprint() if manifest else "absent"
