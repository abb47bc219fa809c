"""The one look at a server and an index: version, schema and manifest."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import Any

from splade_connectors.backends.metadata import is_created
from splade_connectors.backends.protocol import Capabilities, Description
from splade_connectors.errors import NotFound
from splade_connectors.manifest import parse_manifest
from splade_connectors.runtime.effects import Compute, Steps
from splade_lucene.address import IndexAddress
from splade_lucene.answers import asked
from splade_lucene.compile.filters import Fields
from splade_lucene.dialect import Version
from splade_lucene.requests import HttpRequest
from splade_lucene.schema import Schema
from splade_lucene.server import Remembered, read_version
from splade_lucene.terms import term_names
from splade_lucene.together import parse_indices

# The clause limit is at least 1,024 on every version; the rest is left for the caller's filter.
MAX_QUERY_TERMS = 1000
# `http.max_content_length` is 100 MiB by default; 1 MiB is reserved for the request's lines and
# for the vectors, which are not known yet when a document is checked.
MAX_REQUEST_BYTES = 99 * 2**20


def look(address: IndexAddress, remembered: Remembered) -> Steps[Description]:
    """As `Backend.describe`."""
    version = yield from read_version(address, remembered)
    request = HttpRequest("GET", address.path)
    try:
        schema = yield from asked(request, partial(parse_indices, address=address), address)
    except NotFound:
        absent = _capabilities(address, version, None)
        return Description(capabilities=absent, manifest=None, vector=address.field)
    manifest = parse_manifest(schema.manifest, address.location)
    found = _capabilities(address, version, schema)
    if manifest is not None:
        found = replace(found, key_style=manifest.key_style)
    elif schema.kind:
        found = yield from _with_terms(found, address, schema)
    return Description(
        capabilities=found,
        manifest=manifest,
        vector=schema.field,
        schema=schema,
        knows=Fields.of(schema.mapping, address).knows,
    )


def there(seen: Description, address: IndexAddress) -> Schema:
    """The schema of an existing index.

    Raises:
        NotFound: if the index does not exist.
    """
    if seen.schema is None:
        raise NotFound(f"{address.location} does not exist")
    schema: Schema = seen.schema
    return schema


def _with_terms(found: Capabilities, address: IndexAddress, schema: Schema) -> Steps[Capabilities]:
    """Detect from some stored terms how terms are named, since no manifest says it."""
    names = yield from term_names(address, schema, found.version)
    if not names:
        return found
    style = yield Compute(lambda: address.keys.style_of(names))
    return replace(found, key_style=style, term_names=names)


def _capabilities(address: IndexAddress, version: Version, schema: Schema | None) -> Capabilities:
    details: dict[str, Any] = {"field": address.field}
    if schema:
        details = {
            "field": schema.field,
            "index": schema.index,
            **({"indices": list(schema.members)} if schema.members else {}),
            "kind": schema.kind,
            "sparse_fields": sorted(schema.sparse),
            "dense_fields": dict(schema.dense),
        }
    return Capabilities(
        backend=address.dialect.scheme,
        version=version,
        exists=schema is not None,
        has_field=schema is not None and schema.kind is not None,
        created_by_us=schema is not None and is_created(schema.meta),
        key_style="token",
        rounding="lucene",
        max_query_terms=MAX_QUERY_TERMS,
        max_request_bytes=MAX_REQUEST_BYTES,
        details=details,
    )
