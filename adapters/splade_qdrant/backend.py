"""The verbs of a Qdrant collection, for servers and for the embedded engine alike."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from splade_connectors.backends.attaching import AttachBackend, CopyBackend
from splade_connectors.backends.grouping import MOST_COUNTED
from splade_connectors.backends.metadata import is_marked
from splade_connectors.backends.protocol import Description, HybridBackend, Plan
from splade_connectors.backends.sizes import document_size
from splade_connectors.backends.text_indexing import TextIndexBackend
from splade_connectors.documents import (
    DocumentId,
    EncodedDocument,
    Hit,
    Outcome,
    StoredDocument,
    Total,
    Written,
)
from splade_connectors.errors import InvalidDocument
from splade_connectors.manifest import IndexManifest
from splade_connectors.options import SearchOptions
from splade_connectors.payloads import top_level
from splade_connectors.runtime.effects import Steps
from splade_connectors.vectors import SparseVector
from splade_qdrant.address import Address
from splade_qdrant.attach.backend import QdrantAttaching
from splade_qdrant.attach.copy import QdrantCopying
from splade_qdrant.checks import changes_reason, document_reason, terms_reason
from splade_qdrant.compile.search import GroupedPlan, SearchPlan, compile_groups, compile_search
from splade_qdrant.documents import (
    ID_KEY,
    changed_json,
    marker_key,
    payload_selector,
    point,
    point_id,
    stored,
)
from splade_qdrant.grouping import search_groups
from splade_qdrant.hybrid import QdrantHybrid
from splade_qdrant.look import Server, look, schema_of
from splade_qdrant.paging import search_page
from splade_qdrant.prepare import prepare, write_manifest
from splade_qdrant.text_index import QdrantTextIndexing

# One term takes about this many bytes of JSON: "29871," and "1.2345678901234567,".
_BYTES_PER_TERM = 28


class QdrantBackend:
    """A sparse vector of a collection.

    Args:
        address: of the sparse vector.
        server: what is known about the server; shared with the backends of its other collections.
    """

    def __init__(self, address: Address, server: Server) -> None:
        self.address = address
        self.location = address.location
        self._server = server

        def at(other: Address) -> QdrantBackend:
            return QdrantBackend(other, server)

        self.hybrid: HybridBackend | None = QdrantHybrid(address, server, at)
        self.attaching: AttachBackend | None = QdrantAttaching(address, server, self, at)
        self.text_indexing: TextIndexBackend | None = QdrantTextIndexing(address, server)
        # The embedded engine can add a vector to an existing shard: no copy is needed.
        self.copying: CopyBackend | None = (
            None if address.is_embedded else QdrantCopying(address, server, at)
        )

    def describe(self) -> Steps[Description]:
        """Version, vectors and manifest: one request, plus one for the version the first time."""
        return (yield from look(self.address, self._server))

    def prepare(
        self,
        seen: Description,
        manifest: IndexManifest,
        dense_sizes: Mapping[str, int],
        *,
        write_manifest: bool,
    ) -> Steps[Description]:
        """Create what is missing, as `Backend.prepare`."""
        return (
            yield from prepare(
                self.address,
                self._server,
                seen,
                manifest,
                dense_sizes,
                write_manifest=write_manifest,
            )
        )

    def write_manifest(self, manifest: IndexManifest) -> Steps[Description]:
        """Write to the manifest file, or to this package's part of the current metadata."""
        return (yield from write_manifest(self.address, self._server, manifest))

    def check(self, seen: Description, document: EncodedDocument) -> str | None:
        """Why the document would be refused: dense vectors, reserved keys, too many terms."""
        schema = schema_of(seen, self.address)
        return document_reason(document, schema, seen.vector, self.address.dense)

    def key_of(self, id: DocumentId) -> DocumentId:
        """As `Backend.key_of`: a UUID is the same point in every spelling."""
        return point_id(id)

    def size(self, document: EncodedDocument) -> int:
        """Approximate size of the point in bytes."""
        return document_size(document, _BYTES_PER_TERM)

    def write(
        self, seen: Description, documents: Sequence[EncodedDocument]
    ) -> Steps[list[Outcome]]:
        """Upsert the points and wait: with wait=false Qdrant answers 200 and drops invalid ones."""
        mark = is_marked(schema_of(seen, self.address).metadata, seen.vector)
        dense = self.address.dense
        points = [point(document, seen.vector, dense, mark=mark) for document in documents]
        yield self.address.request("upsert", {"points": points})
        return [Written(id=document.id) for document in documents]

    def update(
        self,
        seen: Description,
        id: DocumentId,
        payload: Mapping[str, Any],
        vector: SparseVector | None,
        marker: str,
    ) -> Steps[None]:
        """Set these payload keys and the sparse vector; dense vectors stay untouched."""
        schema, changed = schema_of(seen, self.address), dict(payload)
        reason = changes_reason(payload)
        if reason is None and vector is not None:
            reason = terms_reason(schema, seen.vector, vector)
        if reason:
            raise InvalidDocument(f"document {id!r}: {reason}")
        if vector is not None and is_marked(schema.metadata, seen.vector):
            changed[marker_key(seen.vector)] = marker
        operations: list[Any] = [{"set_payload": {"payload": changed, "points": [point_id(id)]}}]
        if vector is not None:
            points = [{"id": point_id(id), "vector": {seen.vector: changed_json(vector)}}]
            operations.append({"update_vectors": {"points": points}})
        # One request, payload first: if the server refuses the payload, the old vector stays.
        yield self.address.request("batch_update", {"operations": operations})
        yield from self.refresh()

    def refresh(self) -> Steps[None]:
        """Flush an embedded shard; a server has already applied what it acknowledged."""
        if self.address.is_embedded:
            yield self.address.request("flush")

    def plan(self, seen: Description, query: SparseVector, options: SearchOptions) -> Plan:
        """One sparse query."""
        schema = schema_of(seen, self.address)
        most = schema.limits.get("max_query_limit")
        collection, filterable = self.address.collection, schema.filterable
        compiled = compile_groups if options.group_by else compile_search
        return compiled(collection, seen.vector, query, options, most, filterable)

    def search(self, plan: Plan) -> Steps[list[Hit]]:
        """Send the query; send more for groups, or if equal scores straddle a page boundary."""
        if isinstance(plan, GroupedPlan):
            return (yield from search_groups(self.address, plan))
        assert isinstance(plan, SearchPlan)
        return (yield from search_page(self.address, plan))

    def total(self, plan: Plan) -> Steps[Total]:
        """Count the points that match the query, up to `MOST_COUNTED`; `exact` below that."""
        assert isinstance(plan, SearchPlan)
        most = min(MOST_COUNTED, plan.most or MOST_COUNTED)
        body = {name: value for name, value in plan.body.items() if name != "offset"}
        found = yield self.address.request("query", {**body, "limit": most, "with_payload": False})
        return Total(value=len(found), exact=len(found) < most)

    def fetch(
        self,
        seen: Description,
        ids: Sequence[DocumentId],
        *,
        with_vectors: bool,
        fields: Sequence[str] | None = None,
    ) -> Steps[list[StoredDocument]]:
        """Retrieve by point id."""
        schema_of(seen, self.address)
        points = [point_id(id) for id in ids]
        body = {
            "ids": points,
            "with_payload": fields is None or payload_selector([ID_KEY, *top_level(fields)]),
            "with_vector": [seen.vector] if with_vectors else False,
        }
        answer = yield self.address.request("retrieve", body)
        found = {str(item["id"]): stored(item, seen.vector) for item in answer}
        return [found[str(point)] for point in points if str(point) in found]

    def present(self, seen: Description, ids: Sequence[DocumentId]) -> Steps[set[DocumentId]]:
        """Retrieve the ids only."""
        points = {str(point_id(id)): id for id in ids}
        body = {"ids": [point_id(id) for id in ids], "with_payload": False, "with_vector": False}
        answer = yield self.address.request("retrieve", body)
        return {points[str(item["id"])] for item in answer if str(item["id"]) in points}

    def delete(self, seen: Description, ids: Sequence[DocumentId]) -> Steps[None]:
        """Delete the points."""
        schema_of(seen, self.address)
        yield self.address.request("delete", {"points": [point_id(id) for id in ids]})
        yield from self.refresh()

    def documents(self, seen: Description) -> Steps[int]:
        """The exact number of points."""
        schema_of(seen, self.address)
        answer = yield self.address.request("count", {"filter": {}, "exact": True})
        return int(answer["count"])

    def count(self, seen: Description) -> Steps[int]:
        """The exact number of points that have the vector."""
        if seen.vector not in schema_of(seen, self.address).sparse:
            return 0
        has_vector = {"must": [{"has_vector": seen.vector}]}
        answer = yield self.address.request("count", {"filter": has_vector, "exact": True})
        return int(answer["count"])
