"""The verbs of an Elasticsearch or OpenSearch index."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any
from urllib.parse import quote

from splade_connectors.backends.protocol import Description, Plan
from splade_connectors.backends.sizes import document_size
from splade_connectors.documents import (
    DocumentId,
    EncodedDocument,
    Hit,
    Outcome,
    StoredDocument,
    Total,
)
from splade_connectors.errors import AccessDenied, ConfigurationError, NotFound, RequestRejected
from splade_connectors.manifest import IndexManifest
from splade_connectors.options import SearchOptions
from splade_connectors.runtime.effects import Steps
from splade_connectors.shown import ADVICE, counted, quoted
from splade_connectors.vectors import SparseVector
from splade_lucene.address import IndexAddress
from splade_lucene.answers import asked
from splade_lucene.attach.attaching import LuceneAttaching
from splade_lucene.bulk import index_lines, outcomes
from splade_lucene.compile.filters import Fields
from splade_lucene.compile.search import GroupedPlan, compile_search
from splade_lucene.documents import attached_fields, source
from splade_lucene.fetch import deleted, fetched, present
from splade_lucene.hits import hits_of
from splade_lucene.hybrid import LuceneHybrid
from splade_lucene.look import look, there
from splade_lucene.prepare import check_privileges, completed, created
from splade_lucene.queries import EVERYTHING, has_vector
from splade_lucene.refusals import check_update, refusal
from splade_lucene.requests import HttpRequest
from splade_lucene.routing import (
    check_kept,
    check_routing,
    moved,
    needs_routing,
    routing_of,
    routings,
)
from splade_lucene.schema import merged_meta
from splade_lucene.server import Remembered
from splade_lucene.text_indexing import LuceneTextIndexing
from splade_lucene.together import check_writable

log = logging.getLogger(__name__)

_BYTES_PER_TERM = 30


class LuceneBackend:
    """An index and a sparse field in it.

    Args:
        address: of both.
        remembered: what is known about the server; None if nothing is.
    """

    def __init__(self, address: IndexAddress, remembered: Remembered | None = None) -> None:
        self.location = address.location
        self._address = address
        self._remembered = remembered or Remembered()
        self.hybrid = LuceneHybrid(address, self._remembered, self._at)
        self.attaching = LuceneAttaching(address, self._remembered, self._at)
        self.copying = None
        self.text_indexing = LuceneTextIndexing(address, self._remembered)

    def describe(self) -> Steps[Description]:
        """The version, read once, and the mapping; as `Backend.describe`."""
        return look(self._address, self._remembered)

    def prepare(
        self,
        seen: Description,
        manifest: IndexManifest,
        dense_sizes: Mapping[str, int],
        *,
        write_manifest: bool,
    ) -> Steps[Description]:
        """Create the index, or add field and manifest to its mapping; as `Backend.prepare`."""
        address, remembered = self._address, self._remembered
        check_writable(seen, address)
        if seen.schema is not None:
            check_routing(seen.schema, address)
        yield from check_privileges(address, seen, write_manifest=write_manifest)
        if seen.schema is None:
            seen = yield from created(address, remembered, seen, manifest, dense_sizes)
        written = manifest if write_manifest else None
        return (yield from completed(address, remembered, seen, written))

    def write_manifest(self, manifest: IndexManifest) -> Steps[Description]:
        """Write to this package's part of the mapping's current `_meta`."""
        # Writing replaces all of `_meta`: read it now, or others could lose their part.
        now = yield from self.describe()
        check_writable(now, self._address)
        schema = there(now, self._address)
        meta = merged_meta(schema.meta, schema.field, manifest.to_json())
        yield HttpRequest("PUT", f"{self._address.path}/_mapping", {"_meta": meta})
        return (yield from self.describe())

    def check(self, seen: Description, document: EncodedDocument) -> str | None:
        """Why the index would refuse the document: reserved fields, dense vectors, long ids."""
        return refusal(document, there(seen, self._address), self._address)

    def key_of(self, id: DocumentId) -> DocumentId:
        """As `Backend.key_of`: ids are strings here, so 5 and "5" are one document."""
        return str(id)

    def size(self, document: EncodedDocument) -> int:
        """Approximate size of the document in bytes."""
        return document_size(document, _BYTES_PER_TERM)

    def write(
        self, seen: Description, documents: Sequence[EncodedDocument]
    ) -> Steps[list[Outcome]]:
        """Send one bulk request of index actions."""
        elsewhere: Mapping[DocumentId, Outcome] = {}
        if self._address.routing:
            elsewhere = yield from moved(self._address, documents)
        sent = [document for document in documents if document.id not in elsewhere]
        written = iter((yield from self._indexed(seen, sent)) if sent else ())
        return [elsewhere.get(document.id) or next(written) for document in documents]

    def _indexed(
        self, seen: Description, documents: Sequence[EncodedDocument]
    ) -> Steps[list[Outcome]]:
        keys, dense = self._address.keys_in(seen), self._address.dense
        sources = [source(document, seen.vector, dense, keys) for document in documents]
        routings = [routing_of(document.payload, self._address) for document in documents]
        lines = index_lines(documents, sources, routings)
        request = HttpRequest("POST", f"{self._address.path}/_bulk", lines)

        def parse(answer: Any) -> list[Outcome]:
            return outcomes(documents, answer, self.location)

        return (yield from asked(request, parse, self._address))

    def update(
        self,
        seen: Description,
        id: DocumentId,
        payload: Mapping[str, Any],
        vector: SparseVector | None,
        marker: str,
    ) -> Steps[None]:
        """Send one partial update; like `_update`, it merges objects into stored ones."""
        check_writable(seen, self._address)
        check_update(payload, there(seen, self._address), self.location)
        yield from check_kept(self._address, str(id), payload)
        changes = dict(payload)
        if vector is not None:
            changes |= attached_fields(vector, marker, seen.vector, self._address.keys_in(seen))
        path = f"{self._address.path}/_update/{quote(str(id), safe='')}"
        params = {"refresh": "true", "retry_on_conflict": "3"}
        request = HttpRequest("POST", path, {"doc": changes}, params)
        try:
            yield request
        except (NotFound, RequestRejected) as error:
            if not isinstance(error, NotFound) and not needs_routing(error):
                raise
            known = yield from routings(self._address, [str(id)])
            if not known:
                raise
            yield replace(request, params=params | {"routing": known[0][1]})

    def refresh(self) -> Steps[None]:
        """Make all writes visible to searches.

        A user with write access may lack the privilege `maintenance`, which refreshing needs: then
        documents become visible at the index's next refresh, a second later by default.
        """
        try:
            yield HttpRequest("POST", f"{self._address.path}/_refresh")
        except AccessDenied as error:
            log.info("the index was not refreshed: %s", error)

    def plan(self, seen: Description, query: SparseVector, options: SearchOptions) -> Plan:
        """The request that computes the dot product for the field's type."""
        schema = there(seen, self._address)
        return compile_search(
            self._address.index,
            schema.field,
            schema.kind or self._address.dialect.kinds[0],
            self._address.keys_in(seen),
            query,
            options,
            schema.hidden,
            Fields.of(schema.mapping, self._address),
        )

    def search(self, plan: Plan) -> Steps[list[Hit]]:
        """Send the request of a plan; before the first one with groups, look at their field."""
        if isinstance(plan, GroupedPlan):
            yield from self._warn_of_ungrouped(plan)
        request = HttpRequest(plan.method, plan.url_path, plan.body)
        try:
            hits = partial(hits_of, address=self._address)
            return (yield from asked(request, hits, self._address))
        except RequestRejected as error:
            if "collapse" in plan.body and "single valued" in str(error):
                raise ConfigurationError(
                    f"{self.location}: group_by needs a field with one value per document, but a "
                    f"document has several in {plan.body['collapse']['field']!r}"
                ) from error
            raise

    def _warn_of_ungrouped(self, plan: GroupedPlan) -> Steps[None]:
        field = (self._address.index, plan.group_by)
        if plan.ungrouped is None or field in self._remembered.grouped_by:
            return
        self._remembered.grouped_by.add(field)
        count = yield from self._count(plan.ungrouped)
        if count:
            ADVICE.warning(
                "group_by omits %s of %s: %s is longer than the mapping's ignore_above",
                counted(count, "document"),
                self.location,
                quoted(plan.group_by),
            )

    def total(self, plan: Plan) -> Steps[Total]:
        """Count the matches of the plan's query, without scoring."""
        value = yield from self._count(plan.body["query"])
        return Total(value=value)

    def fetch(
        self,
        seen: Description,
        ids: Sequence[DocumentId],
        *,
        with_vectors: bool,
        fields: Sequence[str] | None = None,
    ) -> Steps[list[StoredDocument]]:
        """Fetch by multi-get, which sees writes before a refresh."""
        return fetched(self._address, seen, ids, with_vectors, fields)

    def present(self, seen: Description, ids: Sequence[DocumentId]) -> Steps[set[DocumentId]]:
        """Multi-get without `_source`; only writing needs this."""
        check_writable(seen, self._address)
        return present(self._address, ids)

    def delete(self, seen: Description, ids: Sequence[DocumentId]) -> Steps[None]:
        """Send one bulk request of delete actions, and one for documents with their own routing."""
        check_writable(seen, self._address)
        if ids:
            yield from deleted(self._address, ids, self.refresh())

    def documents(self, seen: Description) -> Steps[int]:
        """The number of documents."""
        return self._count(EVERYTHING)

    def count(self, seen: Description) -> Steps[int]:
        """The number of documents with our marker and vector; without markers, with the field."""
        return self._count(has_vector(there(seen, self._address)))

    def _count(self, query: Mapping[str, Any]) -> Steps[int]:
        request = HttpRequest("POST", f"{self._address.path}/_count", {"query": query})
        return asked(request, lambda answer: int(answer["count"]), self._address)

    def _at(self, address: IndexAddress) -> LuceneBackend:
        """The backend of another address on the same server."""
        return self if address == self._address else LuceneBackend(address, self._remembered)
