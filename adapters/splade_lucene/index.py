"""The verbs of an index of Elasticsearch, or of OpenSearch."""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any
from urllib.parse import quote

from splade_connectors.backends.feature_names import Keys
from splade_connectors.backends.metadata import vector_of
from splade_connectors.backends.protocol import Capabilities, Plan
from splade_connectors.backends.versions import parse_version
from splade_connectors.documents import DocumentId, EncodedDocument, Hit, Outcome, StoredDocument
from splade_connectors.errors import (
    AccessDenied,
    InvalidDocument,
    NotFound,
    NotSupported,
    RequestRejected,
)
from splade_connectors.manifest import MANIFEST_KEY, IndexManifest, parse_manifest
from splade_connectors.options import SearchOptions
from splade_connectors.payloads import payload_reason
from splade_connectors.runtime.effects import Steps
from splade_connectors.vectors import SparseVector
from splade_lucene.bulk import index_lines, outcomes, reason
from splade_lucene.compile.search import compile_search
from splade_lucene.dialect import Dialect, Kind
from splade_lucene.documents import EMPTY, attached_fields, source, stored
from splade_lucene.privileges import ATTACH, CREATE, INDEX, Privileges, missing_privileges
from splade_lucene.requests import HttpRequest
from splade_lucene.routing import needs_routing, not_found, routings
from splade_lucene.schema import (
    Schema,
    check_kind,
    choose_kind,
    marker_name,
    merged_meta,
    parse_index,
    properties,
)

log = logging.getLogger(__name__)

# The clause limit is at least 1,024 on every version; some of it is left to the user's filter.
MAX_QUERY_TERMS = 1000
_MAX_ID_BYTES = 512
_BYTES_PER_TERM = 30
_NOT_ALLOWED = 405


class ElasticsearchBackend:
    """An index and the sparse field in it.

    Args:
        index: its name, or an alias of one index.
        field: name of the sparse field.
        kind: its type; None takes what is there, or the best that the server has.
        dense_name: field that documents' unnamed dense vectors go to.
        keys: feature names.
        location: the target, for messages.
        dialect: which of the two servers it is.
    """

    def __init__(
        self,
        index: str,
        *,
        field: str,
        kind: Kind | None,
        dense_name: str,
        keys: Keys,
        location: str,
        dialect: Dialect,
    ) -> None:
        self.location = location
        self._dialect = dialect
        self._index = index
        self._path = f"/{quote(index, safe='')}"
        # What users call it; it stands for another field after the model was replaced.
        self._asked_field = field
        self._exactly = False
        self._field = field
        self._asked_kind = kind
        self._dense = dense_name
        self._keys = keys
        self._version: tuple[int, ...] = ()
        self._schema: Schema | None = None

    def describe(self) -> Steps[Capabilities]:
        """Version, mapping and size. As `Backend.describe`."""
        version = yield from self._read_version()
        try:
            schema = yield from self._read_schema()
        except NotFound:
            self._schema = None
            return self._capabilities(version, None, None)
        if schema.kind:
            check_kind(self._asked_kind, schema.kind, self._field, self.location)
        answer = yield HttpRequest("POST", f"{self._path}/_count")
        return self._capabilities(version, schema, int(answer["count"]))

    def read_manifest(self) -> Steps[IndexManifest | None]:
        """Our part of the mapping's `_meta`."""
        schema = yield from self._read_schema()
        return parse_manifest(self._manifest_in(schema), self.location)

    def prepare(
        self, manifest: IndexManifest, dense_sizes: Mapping[str, int], *, write_manifest: bool
    ) -> Steps[None]:
        """Create the index, or add field and manifest to its mapping. As `Backend.prepare`."""
        yield from self._check_privileges(manifest, write_manifest)
        yield from self._prepare(manifest, dense_sizes, write_manifest)

    def _prepare(
        self, manifest: IndexManifest, dense_sizes: Mapping[str, int], write_manifest: bool
    ) -> Steps[None]:
        version = yield from self._read_version()
        dense = {name or self._dense: size for name, size in dense_sizes.items()}
        try:
            schema = yield from self._read_schema()
        except NotFound:
            yield from self._create(version, dense, manifest)
            schema = yield from self._read_schema()
        kind = schema.kind or self._kind_for(version)
        check_kind(self._asked_kind, kind, self._field, self.location)
        update: dict[str, Any] = {}
        if not schema.kind or not schema.marker:
            update["properties"] = properties(self._field, kind, version, {}, self._dialect)
            if schema.kind:
                del update["properties"][self._field]
        if write_manifest and self._manifest_in(schema) != manifest.to_json():
            update["_meta"] = merged_meta(schema.meta, self._field, manifest.to_json())
        if update:
            yield HttpRequest("PUT", f"{self._path}/_mapping", update)
            yield from self._read_schema()

    def _check_privileges(self, manifest: IndexManifest, write_manifest: bool) -> Steps[None]:
        """Before the first write, instead of in the middle: one request, and a sentence."""
        if not self._dialect.tells_privileges:
            return
        lacking = yield from missing_privileges(self._index, self._needed(manifest, write_manifest))
        if lacking:
            raise AccessDenied(
                f"{self.location}: this user lacks privileges on {self._index}: "
                f"{', '.join(lacking)}; an admin grants them. Nothing was written"
            )

    def _needed(self, manifest: IndexManifest, write_manifest: bool) -> Privileges:
        """By what `describe` has seen."""
        schema = self._schema
        if schema is None:
            return CREATE
        fits = schema.kind and schema.marker
        writes = write_manifest and self._manifest_in(schema) != manifest.to_json()
        return INDEX if fits and not writes else ATTACH

    def write_manifest(self, manifest: IndexManifest) -> Steps[None]:
        """Into our part of the mapping's `_meta` as it is now."""
        schema = yield from self._read_schema()
        meta = merged_meta(schema.meta, self._field, manifest.to_json())
        yield HttpRequest("PUT", f"{self._path}/_mapping", {"_meta": meta})
        yield from self._read_schema()

    def check(self, document: EncodedDocument) -> str | None:
        """Reserved fields, wrong dense vectors, ids that are too long."""
        assert self._schema is not None
        dense = document.document.dense_vectors()
        reserved = self._reserved(document.payload, [name or self._dense for name in dense])
        if reserved:
            return f"the payload has the field {reserved!r}, which holds vectors here; rename it"
        if len(str(document.id).encode()) > _MAX_ID_BYTES:
            return f"the id is longer than {_MAX_ID_BYTES} bytes"
        for name, values in dense.items():
            reason = self._dense_reason(name or self._dense, len(values))
            if reason:
                return reason
        return payload_reason(document.payload)

    def size(self, document: EncodedDocument) -> int:
        """About how many bytes the document takes."""
        dense = sum(len(values) for values in document.document.dense_vectors().values())
        payload = len(json.dumps(document.payload))
        return payload + _BYTES_PER_TERM * (len(document.vector) + dense) + 100

    def write(self, documents: Sequence[EncodedDocument]) -> Steps[list[Outcome]]:
        """One bulk request of index actions."""
        sources = [source(document, self._field, self._dense, self._keys) for document in documents]
        lines = index_lines(documents, sources)
        answer = yield HttpRequest("POST", f"{self._path}/_bulk", lines)
        return outcomes(documents, answer, self.location)

    def update(
        self,
        id: DocumentId,
        payload: Mapping[str, Any],
        vector: SparseVector | None,
        marker: str,
    ) -> Steps[None]:
        """One partial update. Object values are merged into stored ones: so `_update` does."""
        self._check_update(payload)
        changes = dict(payload)
        if vector is not None:
            changes |= attached_fields(vector, marker, self._field, self._keys)
        path = f"{self._path}/_update/{quote(str(id), safe='')}"
        params = {"refresh": "true", "retry_on_conflict": "3"}
        request = HttpRequest("POST", path, {"doc": changes}, params)
        try:
            yield request
        except (NotFound, RequestRejected) as error:
            if not isinstance(error, NotFound) and not needs_routing(error):
                raise
            known = yield from routings(self._path, [str(id)])
            if not known:
                raise
            yield replace(request, params=params | {"routing": known[0][1]})

    def refresh(self) -> Steps[None]:
        """Make everything written visible to searches.

        Who may write may not always refresh (the privilege is `maintenance`): then the documents
        are visible at the index's own next refresh, a second later by default.
        """
        try:
            yield HttpRequest("POST", f"{self._path}/_refresh")
        except AccessDenied as error:
            log.info("no refresh: %s", error)

    def plan(self, query: SparseVector, options: SearchOptions) -> Steps[Plan]:
        """The dot product as the field's kind allows it."""
        if self._schema is None:
            yield from self._read_schema()
        assert self._schema is not None
        assert self._schema.kind is not None
        return compile_search(
            self._index,
            self._field,
            self._schema.kind,
            self._keys,
            query,
            options,
            self._hidden_fields(),
        )

    def search(self, plan: Plan) -> Steps[list[Hit]]:
        """Send the request of a plan."""
        answer = yield HttpRequest(plan.method, plan.url_path, plan.body)
        return [
            Hit(id=hit["_id"], score=float(hit["_score"]), payload=hit.get("_source") or {})
            for hit in answer["hits"]["hits"]
        ]

    def fetch(
        self, ids: Sequence[DocumentId], *, with_vectors: bool
    ) -> Steps[list[StoredDocument]]:
        """Multi-get, which sees what has not been refreshed yet."""
        if self._schema is None:
            yield from self._read_version()
            yield from self._read_schema()
        hidden = [name for name in self._hidden_fields() if name != self._field or not with_vectors]
        params = {"_source_excludes": ",".join(hidden)}
        found = yield from self._multi_get({"ids": [str(id) for id in ids]}, params, with_vectors)
        absent = [str(id) for id in ids if str(id) not in found]
        elsewhere = dict((yield from routings(self._path, absent)))
        if elsewhere:
            docs = [{"_id": id, "routing": routing} for id, routing in elsewhere.items()]
            found |= yield from self._multi_get({"docs": docs}, params, with_vectors)
        return [
            stored(id, found[id].get("_source") or {}, self._field, self._keys)
            for id in map(str, ids)
            if id in found
        ]

    def _multi_get(
        self, body: Mapping[str, Any], params: Mapping[str, str], with_vectors: bool
    ) -> Steps[dict[str, Any]]:
        """What is found, by id."""
        without = HttpRequest("POST", f"{self._path}/_mget", body, params)
        # A version that is not known (see _read_version) is taken for a new one.
        known = self._version or self._dialect.vectors_apart or ()
        if with_vectors and self._dialect.keeps_vectors_apart(known):
            params = {**params, "_source_exclude_vectors": "false"}
        answer = yield from self._first_accepted(replace(without, params=params), without)
        for item in answer["docs"]:
            if item.get("error") and not needs_routing(item["error"]):
                raise RequestRejected(
                    f"{self.location}: {item['_id']!r} could not be read: {reason(item['error'])}"
                )
        return {item["_id"]: item for item in answer["docs"] if item.get("found")}

    def delete(self, ids: Sequence[DocumentId]) -> Steps[None]:
        """One bulk request of delete actions; another one for those that lie elsewhere."""
        if not ids:
            return
        yield from self._read_schema()  # a bulk delete would create an index that is absent
        items = yield from self._delete([{"_id": str(id)} for id in ids])
        absent = [item["_id"] for item in items if not_found(item)]
        failed = [item for item in items if item.get("error") and not not_found(item)]
        if absent:
            yield from self.refresh()
            elsewhere = yield from routings(self._path, absent)
            items = yield from self._delete([{"_id": i, "routing": r} for i, r in elsewhere])
            failed += [item for item in items if item.get("error")]
        if failed:
            raise RequestRejected(
                f"{self.location}: {len(failed)} of {len(ids)} documents could not be deleted, "
                f"the first is {failed[0]['_id']!r}: {failed[0]['error']}"
            )

    def _delete(self, actions: Sequence[Mapping[str, Any]]) -> Steps[list[Any]]:
        """What the server says of each."""
        if not actions:
            return []
        lines = [{"delete": action} for action in actions]
        answer = yield HttpRequest("POST", f"{self._path}/_bulk", lines, {"refresh": "true"})
        return [item["delete"] for item in answer["items"]]

    def count(self) -> Steps[int]:
        """Documents with our marker and its vector; where there is none, those with the field.

        `rank_features` has no `exists` query: without a marker all documents are counted.
        """
        schema = yield from self._read_schema()
        query: Mapping[str, Any] = {"exists": {"field": self._field}}
        if schema.marker:
            query = self._with_vector({"exists": {"field": marker_name(self._field)}})
        elif schema.kind == "rank_features":
            query = {"match_all": {}}
        body = {"query": query}
        return int((yield HttpRequest("POST", f"{self._path}/_count", body))["count"])

    def _with_vector(self, marked: Mapping[str, Any]) -> Mapping[str, Any]:
        """Of the documents that are marked so, those that have terms, or the sign of having none.

        Applications that write back the `_source` that they have read lose the vector and keep the
        marker: from 9.2 on it is not shown to them. `rank_features` has no `exists` query, so
        nothing is asked of it.
        """
        if self._schema is None or self._schema.kind != "sparse_vector":
            return marked
        terms = {"exists": {"field": self._field}}
        none = {"term": {marker_name(self._field): EMPTY}}
        there = {"bool": {"should": [terms, none], "minimum_should_match": 1}}
        return {"bool": {"must": [marked, there]}}

    def _first_accepted(self, request: HttpRequest, without: HttpRequest) -> Steps[Any]:
        """The answer to a request; where the version is not known, perhaps to a simpler one."""
        try:
            return (yield request)
        except RequestRejected:
            if self._version or request == without:
                raise
        return (yield without)

    def _create(
        self,
        version: tuple[int, ...],
        dense: Mapping[str, int],
        manifest: IndexManifest,
    ) -> Steps[None]:
        kind = self._kind_for(version)
        texts = {name: {"type": "text"} for name in manifest.text_fields}
        mapping = {
            "_meta": merged_meta({}, self._field, manifest.to_json()),
            "properties": {
                **texts,
                **properties(self._field, kind, version, dense, self._dialect),
            },
        }
        body: dict[str, Any] = {"mappings": mapping}
        if dense and self._dialect.dense_settings:
            body["settings"] = dict(self._dialect.dense_settings)
        try:
            yield HttpRequest("PUT", self._path, body)
        except RequestRejected as error:
            # Made by somebody else just now, or by us, if the answer to the first try was lost.
            if "resource_already_exists" not in str(error):
                raise

    def _kind_for(self, version: tuple[int, ...]) -> Kind:
        return choose_kind(self._asked_kind, version, self.location, self._dialect)

    def _read_schema(self) -> Steps[Schema]:
        answer = yield HttpRequest("GET", self._path)
        if len(answer) == 1 and not self._exactly:
            (found,) = answer.values()
            meta = (found.get("mappings") or {}).get("_meta") or {}
            self._field = vector_of(meta, self._asked_field)
        self._schema = parse_index(answer, self._field, self.location, self._dialect)
        return self._schema

    def _read_version(self) -> Steps[tuple[int, ...]]:
        """Kept once it is known; () for users without the cluster privilege `monitor`.

        They may still read and write an index that is there.
        """
        if not self._version:
            try:
                self._version = parse_version((yield from self._version_number()))
            except AccessDenied:
                return ()
        return self._version

    def _version_number(self) -> Steps[str]:
        """From the root; some builds do not answer there, all say it under _nodes."""
        try:
            return self._number_in((yield HttpRequest("GET", "/"))["version"])
        except RequestRejected as error:
            if error.status != _NOT_ALLOWED:
                raise
        params = {"filter_path": "nodes.*.version"}
        nodes = (yield HttpRequest("GET", "/_nodes", None, params))["nodes"]
        return str(min((node["version"] for node in nodes.values()), key=parse_version))

    def _number_in(self, version: Mapping[str, Any]) -> str:
        """The number in what the root says of its version."""
        return str(version["number"])

    def _capabilities(
        self, version: tuple[int, ...], schema: Schema | None, documents: int | None
    ) -> Capabilities:
        details: dict[str, Any] = {"field": self._field}
        if schema:
            details |= {
                "index": schema.index,
                "kind": schema.kind,
                "sparse_fields": sorted(schema.sparse),
                "dense_fields": dict(schema.dense),
            }
        return Capabilities(
            backend=self._dialect.scheme,
            version=version,
            exists=schema is not None,
            has_field=schema is not None and schema.kind is not None,
            key_style="token",
            rounding="lucene",
            max_query_terms=MAX_QUERY_TERMS,
            integer_ids=False,
            documents=documents,
            details=details,
        )

    def _hidden_fields(self) -> list[str]:
        assert self._schema is not None
        names = [self._field, marker_name(self._field), *self._schema.hidden]
        return list(dict.fromkeys(names))

    def _manifest_in(self, schema: Schema) -> Any:
        return (schema.meta.get(MANIFEST_KEY) or {}).get(self._field)

    def _reserved(self, payload: Mapping[str, Any], dense: Sequence[str] = ()) -> str | None:
        """The first payload field in the way of our own; 8.19 and 9.3.2 take "splade.x" for one."""
        ours = {self._field, marker_name(self._field), *dense}
        return next((name for name in sorted(payload) if name.split(".")[0] in ours), None)

    def _check_update(self, changes: Mapping[str, Any]) -> None:
        assert self._schema is not None
        reserved = self._reserved(changes)
        if reserved:
            raise InvalidDocument(f"the field {reserved!r} holds vectors here; change the text")
        if not self._schema.whole_source:
            # `_update` reads `_source`, changes it and writes all fields anew (7.17 and 9.3.2).
            raise NotSupported(
                f"{self.location} leaves fields out of _source, and an update would erase them; "
                "index the document again instead"
            )

    def _dense_reason(self, name: str, dimensions: int) -> str | None:
        assert self._schema is not None
        known = self._schema.dense
        if name not in known:
            names = ", ".join(map(repr, sorted(known))) or "none"
            return f"the index has no {self._dialect.dense_type} field {name!r}; it has {names}"
        if known[name] and dimensions != known[name]:
            return (
                f"the dense vector {name!r} has {dimensions} dimensions, the index's field has "
                f"{known[name]}"
            )
        return None
