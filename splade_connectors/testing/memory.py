"""A store in memory, exact by construction: the simplest adapter, and a double for tests."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from splade_connectors.backend import (
    Capabilities,
    EncodedDocument,
    Opened,
    Outcome,
    Plan,
    Written,
)
from splade_connectors.documents import DocumentId, Hit, StoredDocument
from splade_connectors.encoders.base import SparseEncoder
from splade_connectors.encoders.load import load_encoder
from splade_connectors.errors import ConfigurationError, NotFound
from splade_connectors.manifest import IndexManifest
from splade_connectors.options import PruneOptions, RetryOptions, SearchOptions
from splade_connectors.steps import Steps
from splade_connectors.store import Store
from splade_connectors.testing.oracle import exact_ranking, exact_scores
from splade_connectors.vectors import SparseBatch, SparseVector
from splade_connectors.verbs import Verbs


class MemoryBackend:
    """The verbs over a dictionary. It yields no requests: there is nothing to send."""

    def __init__(self) -> None:
        self.location = "memory"
        self._documents: dict[DocumentId, StoredDocument] = {}
        self._manifest: IndexManifest | None = None
        self._exists = False

    def describe(self) -> Steps[Capabilities]:
        """As `Backend.describe`."""
        yield from ()
        return Capabilities(
            backend="memory",
            exists=self._exists,
            has_field=self._exists,
            documents=len(self._documents),
        )

    def read_manifest(self) -> Steps[IndexManifest | None]:
        """As `Backend.read_manifest`."""
        yield from ()
        return self._manifest

    def prepare(
        self, manifest: IndexManifest, dense_sizes: Mapping[str, int], *, write_manifest: bool
    ) -> Steps[None]:
        """As `Backend.prepare`."""
        yield from ()
        self._exists = True
        if write_manifest:
            self._manifest = manifest

    def write_manifest(self, manifest: IndexManifest) -> Steps[None]:
        """As `Backend.write_manifest`."""
        yield from ()
        self._manifest = manifest

    def check(self, document: EncodedDocument) -> str | None:
        """Nothing is refused."""
        return None

    def size(self, document: EncodedDocument) -> int:
        """About the size of the text."""
        return len(document.document.text)

    def write(self, documents: Sequence[EncodedDocument]) -> Steps[list[Outcome]]:
        """As `Backend.write`."""
        yield from ()
        for document in documents:
            self._documents[document.id] = StoredDocument(
                id=document.id, payload=dict(document.payload), vector=document.vector
            )
        return [Written(id=document.id) for document in documents]

    def update(
        self,
        id: DocumentId,
        payload: Mapping[str, Any],
        vector: SparseVector | None,
        marker: str,
    ) -> Steps[None]:
        """As `Backend.update`."""
        yield from ()
        old = self._documents[id]
        self._documents[id] = replace(
            old, payload={**old.payload, **payload}, vector=old.vector if vector is None else vector
        )

    def refresh(self) -> Steps[None]:
        """Nothing to do."""
        yield from ()

    def plan(self, query: SparseVector, options: SearchOptions) -> Steps[Plan]:
        """As `Backend.plan`; a filter maps payload fields to the values they must have."""
        yield from ()
        if options.filter is not None and not isinstance(options.filter, Mapping):
            raise ConfigurationError("a filter of the memory store maps fields to values")
        return Plan(
            path="memory",
            reason="exact dot product in numpy",
            method="",
            url_path="",
            body={"query": query, "options": options},
        )

    def search(self, plan: Plan) -> Steps[list[Hit]]:
        """As `Backend.search`."""
        yield from ()
        options: SearchOptions = plan.body["options"]
        wanted = (options.filter or {}).items()
        found = [
            document
            for document in self._documents.values()
            if all(document.payload.get(name) == value for name, value in wanted)
        ]
        vectors = SparseBatch.from_vectors(_vector(item) for item in found)
        scores = exact_scores(plan.body["query"], vectors)
        ranking = exact_ranking([item.id for item in found], scores, options.offset + options.limit)
        payloads = {item.id: item.payload if options.with_payload else {} for item in found}
        return [
            Hit(id=id, score=score, payload=payloads[id]) for id, score in ranking[options.offset :]
        ]

    def fetch(
        self, ids: Sequence[DocumentId], *, with_vectors: bool
    ) -> Steps[list[StoredDocument]]:
        """As `Backend.fetch`."""
        yield from ()
        found = [self._documents[id] for id in ids if id in self._documents]
        return found if with_vectors else [replace(item, vector=None) for item in found]

    def delete(self, ids: Sequence[DocumentId]) -> Steps[None]:
        """As `Backend.delete`."""
        yield from ()
        if not self._exists:
            raise NotFound("memory does not exist")
        for id in ids:
            self._documents.pop(id, None)

    def count(self) -> Steps[int]:
        """As `Backend.count`."""
        yield from ()
        return len(self._documents)


def _vector(document: StoredDocument) -> SparseVector:
    return SparseVector.empty() if document.vector is None else document.vector


class MemoryStore(Store):
    """A `Store` in memory.

    Args:
        encoder: None is the bundled model.
        prune: applied to documents.
    """

    def __init__(
        self, encoder: SparseEncoder | None = None, prune: PruneOptions | None = None
    ) -> None:
        backend = MemoryBackend()
        verbs = Verbs(backend, lambda: encoder or load_encoder(), prune or PruneOptions(), False)
        opened = Opened(backend=backend, send=lambda request: None, close=lambda: None)
        super().__init__(verbs, opened, RetryOptions())
