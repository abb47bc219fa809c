"""Text indexes of payload fields, over which Qdrant (1.20 and later) scores BM25.

A payload field has one index, and a new one replaces the old: so the owner's index is rebuilt only
on request, and its former settings are kept in the metadata.
"""

from __future__ import annotations

import shlex
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

from splade_connectors.backends.metadata import (
    Metadata,
    text_indexes_of,
    with_text_index,
    without_text_index,
)
from splade_connectors.backends.protocol import Description
from splade_connectors.backends.text_indexing import TextIndexOrder, TextIndexSurvey
from splade_connectors.backends.versions import version_text
from splade_connectors.errors import SchemaConflict
from splade_connectors.files.json_files import read_json_object, write_json_object
from splade_connectors.payloads import texts_at, values_at
from splade_connectors.runtime.effects import Steps
from splade_connectors.shown import quoted
from splade_qdrant.address import Address
from splade_qdrant.documents import payload_of
from splade_qdrant.look import Server, look, schema_of
from splade_qdrant.prepare import change_metadata
from splade_qdrant.schema import TEXT_SCORING, PayloadIndex, Schema

# Points looked at for text in a field.
_SAMPLE = 20


class QdrantTextIndexing:
    """As `TextIndexBackend`.

    Args:
        address: of the collection.
        server: what is known about the server.
    """

    def __init__(self, address: Address, server: Server) -> None:
        self._address = address
        self._server = server

    def survey(self, seen: Description, order: TextIndexOrder) -> Steps[TextIndexSurvey]:
        """Check the collection's schema, and whether points have each field."""
        schema = schema_of(seen, self._address)
        if schema.server < TEXT_SCORING:
            return TextIndexSurvey(refusals=(too_old(schema),))
        refusals, changes, notes = [], [], []
        for field in order.fields:
            index = schema.indexes.get(field)
            if refusal := _refusal(field, index, order):
                refusals.append(refusal)
            elif absent := (yield from self._absent(schema, field)):
                refusals.append(absent)
            elif index is None or _is_lacking(schema, field, order):
                changes.append(_change(field, index, order))
            else:
                note = f"the text index of {field!r} (tokenizer {index.tokenizer}) stays as it is"
                notes.append(f"{note}: BM25 can search it")
        return TextIndexSurvey(
            lacking=tuple(field for field in order.fields if _is_lacking(schema, field, order)),
            changes=tuple(changes),
            notes=tuple(notes),
            refusals=tuple(refusals),
        )

    def create(self, seen: Description, order: TextIndexOrder) -> Steps[Description]:
        """Create the record first: an index without a record would never be removed."""
        schema = schema_of(seen, self._address)
        lacking = [field for field in order.fields if _is_lacking(schema, field, order)]
        for field in lacking:
            index = schema.indexes.get(field)
            former = index.settings if index else None
            yield from self._record(partial(with_text_index, field=field, former=former))
            yield from self._index(field, _settings(index, order))
        if not lacking:
            return seen
        # The collection's owner may have created another index at the same time.
        now = yield from look(self._address, self._server)
        for field in lacking:
            refusal = search_refusal(schema_of(now, self._address), field, self._address.location)
            if refusal:
                raise SchemaConflict(refusal)
        return now

    def made(self, seen: Description) -> Sequence[str]:
        """The indexes in this package's records that still exist."""
        schema = schema_of(seen, self._address)
        return sorted(field for field in self._made(schema) if field in schema.indexes)

    def rebuilt(self, seen: Description) -> Sequence[str]:
        """The indexes whose former settings are in the records."""
        records = self._made(schema_of(seen, self._address))
        return [field for field in self.made(seen) if records[field] is not None]

    def remove(self, seen: Description, fields: Sequence[str]) -> Steps[Description]:
        """Remove the index first: as long as it exists, its record must exist too."""
        made = self._made(schema_of(seen, self._address))
        for field in fields:
            former = made.get(field)
            if former is None:
                yield self._address.request("delete_payload_index", {"field": field})
            else:
                yield from self._index(field, former)
            yield from self._record(partial(without_text_index, field=field))
        return (yield from look(self._address, self._server))

    def _absent(self, schema: Schema, field: str) -> Steps[str]:
        """Why the points have nothing to index; "" if they do, or if strict mode forbids to ask."""
        strict = schema.limits.get("unindexed_filtering_retrieve") is False
        if strict and field not in schema.indexes:
            return ""
        body = {"filter": _has(field), "limit": schema.at_most(_SAMPLE), "offset": None}
        request = {**body, "with_payload": True, "with_vector": False}
        points = (yield self._address.request("scroll", request))["points"]
        if not points:
            return f"no point has a payload field {field!r}"
        path = field.replace("[]", "")
        if any(texts_at(payload_of(point), path) for point in points):
            return ""
        found = next(iter(values_at(payload_of(points[0]), path)), None)
        return f"the payload field {field!r} holds no text, but values such as {quoted(found)}"

    def _index(self, field: str, settings: Mapping[str, Any]) -> Steps[None]:
        index = {"data_type": "text", "params": {"type": "text", **settings}}
        yield self._address.request("create_payload_index", {"field": field, "index": index})

    def _record(self, change: Callable[[Metadata], dict[str, Any]]) -> Steps[None]:
        file = self._address.manifest_file
        if file is not None:
            write_json_object(file, change(read_json_object(file)))
            return
        yield from change_metadata(self._address, self._server, change)

    def _made(self, schema: Schema) -> Mapping[str, Any]:
        file = self._address.manifest_file
        return text_indexes_of(read_json_object(file) if file else schema.metadata)


def search_refusal(schema: Schema, field: str, where: str) -> str:
    """Why BM25 cannot search a payload field, and the command that helps; "" if it can."""
    index = schema.indexes.get(field)
    if index is not None and index.scores:
        return ""
    if schema.server < TEXT_SCORING:
        return f"{where}: {too_old(schema)}"
    attach = f"splade-connectors attach {shlex.quote(where)} --text-index {shlex.quote(field)}"
    if index is None:
        return f"the payload field {field!r} of {where} has no text index; {attach} creates one"
    if not index.is_text:
        return f"{where}: {_other_kind(field, index)}"
    return (
        f"the text index of {field!r} in {where} (tokenizer {index.tokenizer}) does not score; "
        f"{attach} --rebuild-text-index rebuilds it"
    )


def too_old(schema: Schema) -> str:
    """Why this server is too old for BM25 of payload text."""
    first, version = version_text(TEXT_SCORING), version_text(schema.server)
    return f"BM25 of payload text needs Qdrant {first}, but the server is {version}"


def _refusal(field: str, index: PayloadIndex | None, order: TextIndexOrder) -> str:
    if index is None:
        return ""
    if not index.is_text:
        return _other_kind(field, index)
    if order.rebuild:
        return ""
    if not index.scores:
        return (
            f"the text index of {field!r} (tokenizer {index.tokenizer}) was not created by "
            "splade-connectors and does not score: --rebuild-text-index rebuilds it with scoring "
            "and keeps its other settings; filters on the field are slow meanwhile"
        )
    if order.tokenizer not in (None, index.tokenizer):
        return (
            f"the text index of {field!r} has the tokenizer {index.tokenizer!r}, not "
            f"{order.tokenizer!r}: omit --text-tokenizer to search it as it is, or add "
            "--rebuild-text-index to rebuild it"
        )
    return ""


def _other_kind(field: str, index: PayloadIndex) -> str:
    return (
        f"the payload field {field!r} has an index of type {index.kind}, and Qdrant keeps one "
        "index per field: copy the text to another field"
    )


def _is_lacking(schema: Schema, field: str, order: TextIndexOrder) -> bool:
    index = schema.indexes.get(field)
    if index is None or not index.scores:
        return True
    return order.rebuild and order.tokenizer not in (None, index.tokenizer)


def _change(field: str, index: PayloadIndex | None, order: TextIndexOrder) -> str:
    tokenizer = _settings(index, order)["tokenizer"]
    if index is None:
        return f"the payload field {field!r} gets a text index for BM25 (tokenizer {tokenizer})"
    return (
        f"the text index of {field!r} is rebuilt for BM25 (tokenizer {tokenizer}) and keeps its "
        "other settings"
    )


def _settings(index: PayloadIndex | None, order: TextIndexOrder) -> dict[str, Any]:
    stored = {} if index is None else index.settings
    tokenizer = order.tokenizer or (index.tokenizer if index else "word")
    return {**stored, "tokenizer": tokenizer, "scoring": True}


def _has(field: str) -> dict[str, Any]:
    return {"must_not": [{"is_empty": {"key": field}}]}
