"""The survey of an index before attaching."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from splade_connectors.backends.attaching import Counts, Found, Selection, Survey
from splade_connectors.backends.protocol import Description
from splade_connectors.errors import AccessDenied, RequestRejected
from splade_connectors.payloads import text_paths, texts_at
from splade_connectors.runtime.effects import Steps
from splade_lucene.address import IndexAddress
from splade_lucene.answers import asked, check_shards, understood
from splade_lucene.attach.checks import (
    LiteralFloat,
    blocked,
    changed_numbers,
    hidden_ours,
    is_data_stream,
    lost_fields,
    text_field_names,
)
from splade_lucene.attach.reading import found_in
from splade_lucene.dialect import Version
from splade_lucene.documents import is_marker
from splade_lucene.look import there
from splade_lucene.prepare import is_complete
from splade_lucene.privileges import ATTACH, ATTACH_AGAIN, missing_privileges
from splade_lucene.queries import at_random, lacks, marked
from splade_lucene.requests import HttpRequest
from splade_lucene.schema import Schema, choose_kind
from splade_lucene.terms import names_in

_SAMPLE = 200
_NAMES_SHOWN = 5
# A term takes about 5 bytes in the index, and 11 in _source for its name and weight, compressed
# [SciFact with 248 terms per document, 9.3.2 and 7.17.29].
_STORED_BYTES_PER_TERM = 16.0


@dataclass(frozen=True, kw_only=True, slots=True)
class _Sample:
    """Some whole documents, drawn at random, with the literals of their numbers; and counts."""

    hits: Sequence[Mapping[str, Any]]
    counts: Counts


def surveyed(address: IndexAddress, seen: Description, selection: Selection) -> Steps[Survey]:
    """As `AttachBackend.survey`: one search, plus requests for privileges and markers."""
    schema, version = there(seen, address), seen.capabilities.version
    refusals = _refusals(address, schema, version)
    refusals += yield from _privilege_refusals(address, schema)
    refusals += yield from _owners_marker(address, schema)
    sample = yield from _drawn(address, schema, version, selection)
    # The changes may depend on facts that this user is not permitted to read.
    changes = () if refusals else _changes(address, schema, version)
    with understood(address):
        found = tuple(found_in(sample.hits, schema, address.keys_in(seen)))
        return Survey(
            counts=sample.counts,
            sample=found,
            present=_present(schema, found),
            absent=_absent(selection.fields, found, schema.mapping),
            feature_names=_feature_names(sample.hits, schema),
            refusals=tuple(refusals),
            changes=changes,
            notes=tuple(_notes(address, schema, version, sample.hits)),
            bytes_per_term=_STORED_BYTES_PER_TERM,
        )


def counted(address: IndexAddress, schema: Schema, selection: Selection) -> Steps[Counts]:
    """As `AttachBackend.counts`, by one search that returns no hits."""
    body = {"size": 0, **_counting(schema, selection)}
    request = HttpRequest("POST", f"{address.path}/_search", body)

    def parse(answer: Any) -> Counts:
        return _counts(answer, address)

    return asked(request, parse, address)


def _drawn(
    address: IndexAddress, schema: Schema, version: Version, selection: Selection
) -> Steps[_Sample]:
    body: dict[str, Any] = {"size": _SAMPLE, "query": at_random(), **_counting(schema, selection)}
    if address.dialect.keeps_vectors_apart(version):
        # Existing sparse vectors matter, dense vectors do not.
        body["_source"] = {"exclude_vectors": False, "excludes": list(schema.dense)}

    def parse(answer: Any) -> _Sample:
        hits = [dict(hit) for hit in answer["hits"]["hits"]]
        return _Sample(hits=hits, counts=_counts(answer, address))

    path = f"{address.path}/_search"
    request = HttpRequest("POST", path, body, parse_float=LiteralFloat)
    return (yield from asked(request, parse, address))


def _counting(schema: Schema, selection: Selection) -> dict[str, Any]:
    """The part of a search body that counts all documents, and those without their vector."""
    missing = {"filter": lacks(schema, selection.settings)}
    return {"track_total_hits": True, "aggs": {"missing": missing}}


def _counts(answer: Any, address: IndexAddress) -> Counts:
    check_shards(answer, address)
    return Counts(
        documents=int(answer["hits"]["total"]["value"]),
        missing=int(answer["aggregations"]["missing"]["doc_count"]),
    )


def _refusals(address: IndexAddress, schema: Schema, version: Version) -> list[str]:
    index, mapping, settings = schema.index, schema.mapping, schema.settings
    refusals = blocked(settings, index)
    if is_data_stream(index) and address.name != index:
        refusals.append(
            f"{address.name} is a data stream, whose documents cannot be updated: name the index "
            f"behind it, {index}"
        )
    marker = schema.marker_field
    for reason in (
        lost_fields(mapping, settings, version, address.dialect),
        hidden_ours(mapping, [schema.field, marker]),
    ):
        if reason:
            refusals.append(f"{index}: {reason}")
    if (mapping.get("properties") or {}).get(marker, {}).get("type", "keyword") != "keyword":
        refusals.append(f"{index} already has its own field {marker!r}: choose another ?field=")
    return refusals


def _privilege_refusals(address: IndexAddress, schema: Schema) -> Steps[list[str]]:
    """Missing privileges, checked at the start rather than after an hour."""
    if not address.dialect.tells_privileges:
        return []
    changes = not (is_complete(schema) and schema.manifest)
    lacking = yield from missing_privileges(schema.index, ATTACH if changes else ATTACH_AGAIN)
    if not lacking:
        return []
    names = ", ".join(lacking)
    return [f"this user lacks privileges on {schema.index}: {names}; ask an admin to grant them"]


def _owners_marker(address: IndexAddress, schema: Schema) -> Steps[list[str]]:
    """A refusal if a field with the marker's name and type holds values that are not ours."""
    if not schema.marker or schema.manifest:
        return []
    name = schema.marker_field
    body = {"size": _SAMPLE, "query": marked(schema), "_source": [name]}
    request = HttpRequest("POST", f"{address.path}/_search", body)

    def parse(answer: Any) -> bool:
        sources = [hit.get("_source") or {} for hit in answer["hits"]["hits"]]
        return all(is_marker(source.get(name)) for source in sources)

    try:
        ours = yield from asked(request, parse, address)
    except (AccessDenied, RequestRejected):
        return []  # a closed index, or a missing privilege: other checks refuse these
    owners = f"{schema.index} already has its own field {name!r}: choose another ?field="
    return [] if ours else [owners]


def _present(schema: Schema, sample: Sequence[Found]) -> tuple[str, ...]:
    hidden = set(schema.hidden)
    paths = (path for item in sample for path in text_paths(item.payload))
    return tuple(path for path in dict.fromkeys(paths) if path.split(".")[0] not in hidden)


def _absent(
    fields: Sequence[str], sample: Sequence[Found], mapping: Mapping[str, Any]
) -> tuple[str, ...]:
    """Fields that are neither text fields in the mapping nor in a document of the sample."""
    known = set(text_field_names(mapping))
    return tuple(
        field
        for field in fields
        if field not in known and not any(texts_at(item.payload, field) for item in sample)
    )


def _feature_names(hits: Sequence[Mapping[str, Any]], schema: Schema) -> tuple[str, ...]:
    return tuple(dict.fromkeys(name for hit in hits for name in names_in(hit, schema)))


def _changes(address: IndexAddress, schema: Schema, version: Version) -> tuple[str, ...]:
    changes = []
    if not schema.kind:
        kind = choose_kind(address, version)
        changes.append(f"the mapping gets the field {schema.field!r} ({kind})")
    if not schema.marker:
        changes.append(f"the mapping gets the field {schema.marker_field!r} (keyword)")
    if not schema.manifest:
        changes.append("the mapping's _meta gets a manifest; its other entries stay")
    return tuple(changes)


def _notes(
    address: IndexAddress, schema: Schema, version: Version, hits: Sequence[Mapping[str, Any]]
) -> list[str]:
    notes = []
    if is_data_stream(schema.index):
        notes.append(
            "this is one index of a data stream: later ones have no vectors until you attach to "
            "them too"
        )
    numbers = [
        f"{change} (document {hit['_id']!r})"
        for hit in hits
        for change in changed_numbers(hit.get("_source") or {})
    ]
    if numbers:
        shown = "; ".join(numbers[:_NAMES_SHOWN])
        notes.append(
            "an update rewrites some numbers in _source, with the same value in double precision: "
            f"{shown}"
        )
    cosine = [name for name in schema.dense if _is_cosine(schema.dense_mapping(name))]
    if cosine and address.dialect.keeps_vectors_apart(version):
        notes.append(
            f"an update may change the vectors in {', '.join(map(repr, cosine))} by up to 3e-7: "
            "the server stores them normalized and multiplies them by their length again"
        )
    return notes


def _is_cosine(mapping: Mapping[str, Any]) -> bool:
    return (
        mapping.get("index", True) is not False and mapping.get("similarity", "cosine") == "cosine"
    )
