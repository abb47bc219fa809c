"""What attaching reads of an index: the survey before it, and documents."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from splade_connectors.backends.attaching import Found, Page, Selection, Survey
from splade_connectors.errors import AccessDenied, NotFound, RequestRejected
from splade_connectors.payloads import text_paths, texts_at
from splade_connectors.runtime.effects import Steps
from splade_lucene.attach.checks import (
    LiteralFloat,
    blocked,
    changed_numbers,
    hidden_ours,
    is_data_stream,
    lost_fields,
    text_field_names,
)
from splade_lucene.attach.paging import read_page
from splade_lucene.documents import is_marker, marker_of, stored
from splade_lucene.index import ElasticsearchBackend
from splade_lucene.privileges import ATTACH, ATTACH_AGAIN, missing_privileges
from splade_lucene.requests import HttpRequest
from splade_lucene.schema import Schema, marker_name

_SAMPLE = 200
_NAMES_SHOWN = 5
# A term costs about 5 bytes in the index, and its name and weight in _source 11, compressed
# [SciFact with 248 terms a document, 9.3.2 and 7.17.29].
_STORED_BYTES_PER_TERM = 16.0


class AttachReads(ElasticsearchBackend):
    """An index that is looked at, and read. Arguments as `ElasticsearchBackend`."""

    def names(self) -> Steps[list[str]]:
        """Indices and aliases that may be seen."""
        try:
            answer = yield HttpRequest("GET", "/_alias")
        except (AccessDenied, NotFound, RequestRejected):
            return []
        aliases = [name for entry in answer.values() for name in entry.get("aliases") or ()]
        return sorted({name for name in [*answer, *aliases] if not name.startswith(".")})

    def survey(self, selection: Selection) -> Steps[Survey]:
        """Mapping, settings, counts and a sample."""
        answer = yield HttpRequest("GET", self._path)
        schema = yield from self._read_schema()
        found = answer[schema.index]
        mapping = found.get("mappings") or {}
        settings = (found.get("settings") or {}).get("index") or {}
        refusals = self._refusals(schema.index, mapping, settings)
        refusals += yield from self._privilege_refusals(schema)
        refusals += yield from self._owners_marker(schema)
        closed = any("is closed" in refusal for refusal in refusals)
        hits = [] if closed else (yield from self._literal_sample())
        sample = tuple(self._found(hit) for hit in hits)
        count = 0 if closed else int((yield HttpRequest("POST", f"{self._path}/_count"))["count"])
        missing = 0 if closed else (yield from self.missing(selection))
        return Survey(
            documents=count,
            missing=missing,
            sample=sample,
            present=self._present(sample),
            absent=self._absent(selection.fields, sample, mapping),
            feature_names=self._feature_names(hits),
            refusals=tuple(refusals),
            # What would be made may depend on what this user may not ask.
            changes=() if refusals else self._changes(schema),
            notes=tuple(self._notes(hits, schema)),
            bytes_per_term=_STORED_BYTES_PER_TERM,
        )

    def read(self, selection: Selection, cursor: Any) -> Steps[Page]:
        """A page of a point in time, or of a scroll."""
        yield from self._known_schema()
        body = {"query": self._query(selection), "_source": self._source(selection)}
        by_scroll = not self._dialect.point_in_time
        hits, after = yield from read_page(self._path, body, selection, cursor, by_scroll)
        return Page(documents=[self._found(hit) for hit in hits], next=after)

    def read_again(self, selection: Selection, found: Sequence[Found]) -> Steps[list[Found]]:
        """Multi-get, which sees what has not been refreshed yet."""
        source = self._source(selection)
        docs = [
            {
                "_id": item.handle["id"],
                "_source": source["includes"],
                **({"routing": item.handle["routing"]} if item.handle.get("routing") else {}),
            }
            for item in found
        ]
        answer = yield HttpRequest("POST", f"{self._path}/_mget", {"docs": docs})
        return [self._found(doc) for doc in answer["docs"] if doc.get("found")]

    def draw(self, selection: Selection, size: int) -> Steps[list[Found]]:
        """By random scores among the documents with our marker and, where known, a vector."""
        yield from self._known_schema()
        marked = self._with_vector({"exists": {"field": marker_name(self._field)}})
        body = {
            "size": size,
            "query": {"function_score": {"query": marked, "random_score": {}}},
            "_source": self._source(selection),
        }
        answer = yield HttpRequest("POST", f"{self._path}/_search", body)
        return [self._found(hit) for hit in answer["hits"]["hits"]]

    def missing(self, selection: Selection) -> Steps[int]:
        """Documents that are not marked with these settings, or lack their vector all the same."""
        if self._schema is None:
            yield from self._read_schema()
        body = {"query": self._missing(selection.settings)}
        return int((yield HttpRequest("POST", f"{self._path}/_count", body))["count"])

    def _known_schema(self) -> Steps[Schema]:
        yield from self._read_version()
        return self._schema or (yield from self._read_schema())

    def _query(self, selection: Selection) -> dict[str, Any]:
        match selection.which:
            case "missing":
                return self._missing(selection.settings)
            case "attached":
                return {"exists": {"field": marker_name(self._field)}}
        return {"match_all": {}}

    def _missing(self, settings: str) -> dict[str, Any]:
        """An unmapped field matches nothing, so all documents are missing then."""
        marked = {"term": {marker_name(self._field): settings}}
        return {"bool": {"must_not": [self._with_vector(marked)]}}

    def _source(self, selection: Selection) -> dict[str, Any]:
        names = [*selection.fields, marker_name(self._field)]
        if not selection.with_vectors:
            return {"includes": names}
        source: dict[str, Any] = {"includes": [*names, self._field]}
        if self._dialect.keeps_vectors_apart(self._version):
            source["exclude_vectors"] = False
        return source

    def _found(self, hit: Mapping[str, Any]) -> Found:
        source = hit.get("_source") or {}
        document = stored(hit["_id"], source, self._field, self._keys)
        handle = {
            "id": hit["_id"],
            "seq_no": hit.get("_seq_no"),
            "term": hit.get("_primary_term"),
            "routing": hit.get("_routing"),
        }
        return Found(
            id=document.id,
            payload=document.payload,
            marker=marker_of(source, self._field),
            vector=document.vector,
            handle=handle,
        )

    def _refusals(
        self, index: str, mapping: Mapping[str, Any], settings: Mapping[str, Any]
    ) -> list[str]:
        refusals = blocked(settings, index)
        if is_data_stream(index) and self._index != index:
            refusals.append(
                f"{self._index} is a data stream, which takes no updates of its documents: name "
                f"the index behind it, {index}"
            )
        ours = [self._field, marker_name(self._field)]
        for reason in (
            lost_fields(mapping, settings, self._version, self._dialect),
            hidden_ours(mapping, ours),
        ):
            if reason:
                refusals.append(f"{index}: {reason}")
        if (mapping.get("properties") or {}).get(ours[1], {}).get("type", "keyword") != "keyword":
            refusals.append(f"{index} has a field {ours[1]!r} of its owner: choose another ?field=")
        return refusals

    def _privilege_refusals(self, schema: Schema) -> Steps[list[str]]:
        """In the beginning, instead of after an hour."""
        if not self._dialect.tells_privileges:
            return []
        changes = not (schema.kind and schema.marker and self._manifest_in(schema))
        needed = ATTACH if changes else ATTACH_AGAIN
        lacking = yield from missing_privileges(schema.index, needed)
        if not lacking:
            return []
        names = ", ".join(lacking)
        return [f"this user lacks privileges on {schema.index}: {names}; an admin grants them"]

    def _owners_marker(self, schema: Schema) -> Steps[list[str]]:
        """A field of the marker's name and type, with values that are not ours."""
        if not schema.marker or self._manifest_in(schema):
            return []
        name = marker_name(self._field)
        body = {"size": _SAMPLE, "query": {"exists": {"field": name}}, "_source": [name]}
        try:
            answer = yield HttpRequest("POST", f"{self._path}/_search", body)
        except (AccessDenied, RequestRejected):
            return []  # a closed index, or what this user may not: refused for that
        sources = [hit.get("_source") or {} for hit in answer["hits"]["hits"]]
        if all(is_marker(source.get(name)) for source in sources):
            return []
        return [f"{schema.index} has a field {name!r} of its owner: choose another ?field="]

    def _literal_sample(self) -> Steps[list[Any]]:
        """Some documents whole, drawn at random, with their numbers as they are written."""
        assert self._schema is not None
        body: dict[str, Any] = {
            "size": _SAMPLE,
            "query": {"function_score": {"random_score": {}}},
        }
        if self._dialect.keeps_vectors_apart(self._version):
            # What the sparse field holds already is of interest, dense vectors are not.
            body["_source"] = {"exclude_vectors": False, "excludes": list(self._schema.dense)}
        request = HttpRequest("POST", f"{self._path}/_search", body, parse_float=LiteralFloat)
        return (yield request)["hits"]["hits"]  # type: ignore[no-any-return]

    def _present(self, sample: Sequence[Found]) -> tuple[str, ...]:
        hidden = set(self._hidden_fields())
        paths = (path for item in sample for path in text_paths(item.payload))
        return tuple(path for path in dict.fromkeys(paths) if path.split(".")[0] not in hidden)

    def _absent(
        self, fields: Sequence[str], sample: Sequence[Found], mapping: Mapping[str, Any]
    ) -> tuple[str, ...]:
        """Fields that are none of text in the mapping, and in no document of the sample."""
        known = set(text_field_names(mapping))
        return tuple(
            field
            for field in fields
            if field not in known and not any(texts_at(item.payload, field) for item in sample)
        )

    def _feature_names(self, hits: Sequence[Any]) -> tuple[str, ...]:
        names: dict[str, None] = {}
        for hit in hits:
            value = (hit.get("_source") or {}).get(self._field)
            for part in value if isinstance(value, list) else [value]:
                names |= dict.fromkeys(part or ())
        return tuple(names)

    def _changes(self, schema: Schema) -> tuple[str, ...]:
        changes = []
        if not schema.kind:
            kind = self._kind_for(self._version)
            changes.append(f"the mapping gets the field {self._field!r} ({kind})")
        if not schema.marker:
            name = marker_name(self._field)
            changes.append(f"the mapping gets the field {name!r} (keyword)")
        if not self._manifest_in(schema):
            changes.append("the mapping's _meta gets a manifest; what is in it stays")
        return tuple(changes)

    def _notes(self, hits: Sequence[Any], schema: Schema) -> list[str]:
        notes = []
        if is_data_stream(schema.index):
            notes.append(
                "this is one index of a data stream: later ones have no vectors until they are "
                "attached to, too"
            )
        numbers = [
            f"{change} (document {hit['_id']!r})"
            for hit in hits
            for change in changed_numbers(hit.get("_source") or {})
        ]
        if numbers:
            shown = "; ".join(numbers[:_NAMES_SHOWN])
            notes.append(
                "an update spells some numbers of _source in another way, with the same value in "
                f"double precision: {shown}"
            )
        moves = self._dialect.keeps_vectors_apart(self._version)
        cosine = [name for name in schema.dense if _is_cosine(schema.dense_mappings[name])]
        if moves and cosine:
            notes.append(
                f"an update may move the vectors in {', '.join(map(repr, cosine))} by up to 3e-7: "
                "the server keeps them normalized and multiplies them by their length again"
            )
        return notes


def _is_cosine(mapping: Mapping[str, Any]) -> bool:
    return (
        mapping.get("index", True) is not False and mapping.get("similarity", "cosine") == "cosine"
    )
