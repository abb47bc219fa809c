"""Create what is missing: index, field, marker, manifest. Nothing is dropped or changed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from splade_connectors.backends.metadata import created as made_by_us
from splade_connectors.backends.protocol import Capabilities, Description
from splade_connectors.errors import AccessDenied, RequestRejected
from splade_connectors.manifest import IndexManifest
from splade_connectors.runtime.effects import Steps
from splade_lucene.address import IndexAddress
from splade_lucene.dialect import Version
from splade_lucene.look import look, there
from splade_lucene.privileges import ATTACH, CREATE, INDEX, Privileges, missing_privileges
from splade_lucene.requests import HttpRequest
from splade_lucene.schema import Schema, choose_kind, merged_meta, properties
from splade_lucene.server import Remembered

# By default the server maps fractions to float, and so filters by seven digits.
_FRACTIONS = {"fractions": {"match_mapping_type": "double", "mapping": {"type": "double"}}}


def created(
    address: IndexAddress,
    remembered: Remembered,
    seen: Description,
    manifest: IndexManifest,
    dense_sizes: Mapping[str, int],
) -> Steps[Description]:
    """Create an index with everything in its mapping; return the resulting description."""
    dense = {name or address.dense: size for name, size in dense_sizes.items()}
    try:
        body = _new_index(address, seen.capabilities.version, manifest, dense)
        yield HttpRequest("PUT", address.path, body)
    except RequestRejected as error:
        # Someone else created it just now, or our first attempt did and its response was lost.
        if "resource_already_exists" not in str(error):
            raise
    # Look again: someone else may have created it with other fields and settings.
    return (yield from look(address, remembered))


def completed(
    address: IndexAddress,
    remembered: Remembered,
    seen: Description,
    manifest: IndexManifest | None,
) -> Steps[Description]:
    """Add field, marker and manifest if they are missing; return the resulting description.

    Args:
        address: of the index.
        remembered: what is known about the server.
        seen: the description of the index.
        manifest: the manifest to store, unless one is stored; None stores none.
    """
    schema = there(seen, address)
    change = _change(address, schema, seen.capabilities, manifest)
    if not change:
        return seen
    yield HttpRequest("PUT", f"{address.path}/_mapping", change)
    # Someone else may have attached to it at the same time, with other settings.
    return (yield from look(address, remembered))


def check_privileges(
    address: IndexAddress, seen: Description, *, write_manifest: bool
) -> Steps[None]:
    """Check the user's privileges by one request before the first write, rather than midway."""
    if not address.dialect.tells_privileges:
        return
    needed = _needed(seen.schema, write_manifest)
    lacking = yield from missing_privileges(address.index, needed)
    if lacking:
        raise AccessDenied(
            f"{address.location}: this user lacks privileges on {address.index}: "
            f"{', '.join(lacking)}; ask an admin to grant them. Nothing was written"
        )


def is_complete(schema: Schema) -> bool:
    """Whether field and marker are mapped."""
    return bool(schema.kind and schema.marker)


def _needed(schema: Schema | None, write_manifest: bool) -> Privileges:
    if schema is None:
        return CREATE
    writes = write_manifest and schema.manifest is None
    return INDEX if is_complete(schema) and not writes else ATTACH


def _change(
    address: IndexAddress, schema: Schema, found: Capabilities, manifest: IndexManifest | None
) -> dict[str, Any]:
    change: dict[str, Any] = {}
    if not is_complete(schema):
        kind = schema.kind or choose_kind(address, found.version)
        wanted = properties(schema.field, kind, found.version, {}, address.dialect)
        if schema.kind:
            del wanted[schema.field]
        change["properties"] = wanted
    if manifest is not None and schema.manifest is None:
        meta = merged_meta(schema.meta, schema.field, manifest.to_json())
        change["_meta"] = made_by_us(meta) if found.created_by_us else meta
    return change


def _new_index(
    address: IndexAddress, version: Version, manifest: IndexManifest, dense: Mapping[str, int]
) -> dict[str, Any]:
    field, dialect = address.field, address.dialect
    texts = {name: {"type": "text"} for name in manifest.text_fields}
    ours = properties(field, choose_kind(address, version), version, dense, dialect)
    body: dict[str, Any] = {
        "mappings": {
            "_meta": made_by_us(merged_meta({}, field, manifest.to_json())),
            "properties": {**texts, **ours},
            "dynamic_templates": [_FRACTIONS],
        }
    }
    if dense and dialect.dense_settings:
        body["settings"] = dict(dialect.dense_settings)
    return body
