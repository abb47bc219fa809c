"""What attaching reads of a collection: the survey before it, and points."""

from __future__ import annotations

import zlib
from collections.abc import Collection, Mapping, Sequence
from typing import Any

from splade_connectors.backends.attaching import Found, Page, Selection, Survey
from splade_connectors.backends.metadata import is_marked
from splade_connectors.backends.versions import version_text
from splade_connectors.errors import AccessDenied, RequestRejected
from splade_connectors.manifest import MANIFEST_KEY
from splade_connectors.payloads import text_paths
from splade_connectors.runtime.effects import Steps
from splade_qdrant.collection import ADD_VECTOR, METADATA, QdrantBackend
from splade_qdrant.documents import ID_KEY, marker_key, payload_selector, point_id, stored
from splade_qdrant.schema import Schema

_SAMPLE = 64
# 8 bytes in storage and 8 in the index (a u32 and a float32 each), and the growth of both.
_STORED_BYTES_PER_TERM = 20.0


class AttachReads(QdrantBackend):
    """A collection that is looked at, and read. Arguments as `QdrantBackend`."""

    _mark = False

    def names(self) -> Steps[list[str]]:
        """Collections that may be seen."""
        try:
            return list((yield self._request("collections")))
        except (AccessDenied, RequestRejected):
            return []

    def survey(self, selection: Selection) -> Steps[Survey]:
        """Vectors, counts and a sample."""
        schema = yield from self._read_schema()
        version = yield from self._read_version()
        answer = yield self._request(
            "scroll",
            {"limit": self._at_most(_SAMPLE), "offset": None, "with_payload": True}
            | {"with_vector": False},
        )
        sample = tuple(self._found(record) for record in answer["points"])
        paths = dict.fromkeys(path for item in sample for path in text_paths(item.payload))
        answer = yield self._request("count", {"filter": {}, "exact": True})
        return Survey(
            documents=int(answer["count"]),
            missing=(yield from self.missing(selection)),
            sample=sample,
            present=tuple(paths),
            absent=(yield from self._absent(selection.fields, paths)),
            needs_copy=self._needs_copy(schema, version),
            feature_names=(yield from self._feature_names(schema)),
            refusals=(*self._refusals(version), *(yield from self._access_refusals())),
            changes=tuple(self._changes(schema)),
            notes=self._notes(),
            bytes_per_term=_STORED_BYTES_PER_TERM,
        )

    def read(self, selection: Selection, cursor: Any) -> Steps[Page]:
        """A page in the order of the points' ids."""
        body: dict[str, Any] = {
            "limit": self._at_most(selection.size),
            "offset": cursor,
            "with_payload": self._payload_of(selection.fields),
            "with_vector": [self._vector] if selection.with_vectors else False,
        }
        condition = self._condition(selection)
        if condition:
            body["filter"] = condition
        answer = yield self._request("scroll", body)
        found = [self._found(record) for record in answer["points"]]
        return Page(
            documents=[item for item in found if _is_in_part(item, selection.part)],
            next=answer["next"],
        )

    def read_again(self, selection: Selection, found: Sequence[Found]) -> Steps[list[Found]]:
        """By id."""
        body = {
            "ids": [item.handle for item in found],
            "with_payload": self._payload_of(selection.fields),
            "with_vector": [self._vector] if selection.with_vectors else False,
        }
        return [self._found(record) for record in (yield self._request("retrieve", body))]

    def draw(self, selection: Selection, size: int) -> Steps[list[Found]]:
        """By a random query among the points with the vector."""
        body = {
            "query": {"sample": "random"},
            "limit": self._at_most(size),
            "filter": {"must": [{"has_vector": self._vector}]},
            "with_payload": [ID_KEY],
        }
        ids = [point["id"] for point in (yield self._request("query", body))]
        drawn = [Found(id=id, payload={}, handle=id) for id in ids]
        return (yield from self.read_again(selection, drawn))

    def missing(self, selection: Selection) -> Steps[int]:
        """Points without the vector."""
        schema = self._schema or (yield from self._read_schema())
        lacking: Mapping[str, Any] = {}
        if self._vector in schema.sparse:
            lacking = {"must_not": [{"has_vector": self._vector}]}
        answer = yield self._request("count", {"filter": lacking, "exact": True})
        return int(answer["count"])

    def _condition(self, selection: Selection) -> dict[str, Any]:
        has = {"has_vector": self._vector}
        match selection.which:
            case "missing":
                return {"must_not": [has]}
            case "attached":
                return {"must": [has]}
        return {}

    def _payload_of(self, fields: Sequence[str]) -> list[str] | bool:
        # The first name of a path brings all below it: the path of a list would be another one.
        names = dict.fromkeys(field.split(".")[0] for field in fields)
        return payload_selector([*names, ID_KEY, marker_key(self._vector)])

    def _found(self, record: Mapping[str, Any]) -> Found:
        marker = (record.get("payload") or {}).get(marker_key(self._vector))
        document = stored(record, self._vector)
        return Found(
            id=document.id,
            payload=document.payload,
            marker=marker if isinstance(marker, str) else None,
            vector=document.vector,
            handle=record["id"],
        )

    def _feature_names(self, schema: Schema) -> Steps[tuple[str, ...]]:
        """Terms of some points; Qdrant's are numbers."""
        if self._vector not in schema.sparse:
            return ()
        selection = Selection(
            which="attached", settings="", fields=(), with_vectors=True, size=_SAMPLE
        )
        page = yield from self.read(selection, None)
        indices = {
            int(index)
            for item in page.documents
            if item.vector is not None
            for index in item.vector.indices
        }
        return tuple(map(str, sorted(indices)))

    def _refusals(self, version: tuple[int, ...]) -> list[str]:
        if self._manifest_file or version >= METADATA:
            return []
        return [
            f"Qdrant {version_text(version)} cannot keep a manifest (collection metadata came with "
            "1.16): keep it in a file, --manifest FILE"
        ]

    def _access_refusals(self) -> Steps[list[str]]:
        """Before anything is encoded: a server tells what a key may do when it is used only."""
        if not self._collection:
            return []  # the embedded engine has no keys
        try:
            yield self._request("delete", {"points": []})  # deletes nothing, and needs the right to
        except AccessDenied as error:
            return [f"this key may not write: {error}"]
        except RequestRejected:
            return []  # nothing to be learned here
        return []

    def _needs_copy(self, schema: Schema, version: tuple[int, ...]) -> str:
        if self._vector in schema.sparse or version >= ADD_VECTOR:
            return ""
        return (
            f"Qdrant {version_text(version)} cannot add a sparse vector to a collection that "
            "exists (1.18 and later can): upgrade, or --copy-to NEW copies it with all its points"
        )

    def _absent(self, fields: Sequence[str], paths: Collection[str]) -> Steps[tuple[str, ...]]:
        """Fields that neither the sample nor any other point has."""
        absent = []
        for field in fields:
            if field in paths:
                continue
            present = {"must_not": [{"is_empty": {"key": field}}]}
            answer = yield self._request("count", {"filter": present, "exact": True})
            if not answer["count"]:
                absent.append(field)
        return tuple(absent)

    def _changes(self, schema: Schema) -> list[str]:
        changes = []
        if self._vector not in schema.sparse:
            changes.append(f"the collection gets the sparse vector {self._vector!r}")
        if self._vector not in ((schema.metadata or {}).get(MANIFEST_KEY) or {}):
            where = self._manifest_file or "the collection's metadata"
            changes.append(f"{where} gets a manifest; what is in it stays")
        if self._mark and not is_marked(schema.metadata or {}, self._vector):
            changes.append(f"each payload gets the key {marker_key(self._vector)!r}")
        return changes

    def _notes(self) -> tuple[str, ...]:
        if self._mark:
            return ()
        return (
            "points keep no hash of their text, so texts edited later are found by verify --all "
            "and attach --recheck, which encode them; --mark keeps one in the payload",
        )

    def _at_most(self, size: int) -> int:
        most = (self._schema.limits if self._schema else {}).get("max_query_limit")
        return min(size, most) if most else size


def _is_in_part(found: Found, part: tuple[int, int] | None) -> bool:
    """By a hash of the point's id, the same on every machine."""
    if part is None:
        return True
    number, parts = part
    return zlib.crc32(str(point_id(found.id)).encode()) % parts == number
