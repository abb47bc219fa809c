"""A store that keeps nothing, to measure the cost of everything before it."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from splade_connectors.backends.attaching import (
    Attachment,
    AttachOutcome,
    Counts,
    Found,
    Page,
    Selection,
    Survey,
)
from splade_connectors.backends.protocol import Description, Opened
from splade_connectors.documents import EncodedDocument, Outcome, Written
from splade_connectors.encoders.base import SparseEncoder
from splade_connectors.operations.session import Session
from splade_connectors.options import PruneOptions, RetryOptions
from splade_connectors.runtime.effects import Steps
from splade_connectors.store import Store
from splade_connectors.testing.memory import Address, MemoryAttaching, MemoryBackend
from splade_connectors.vectors import SparseVector

# One term takes about this many bytes of JSON.
_BYTES_PER_TERM = 28
_SAMPLE = 64


class DiscardingBackend(MemoryBackend):
    """Serializes documents to JSON, as other backends do, and discards them.

    Attributes:
        received: number of documents written.
        sent_bytes: size of their JSON in bytes.
    """

    def __init__(self) -> None:
        super().__init__()
        self.location = "nowhere"
        self.received = 0
        self.sent_bytes = 0

    def size(self, document: EncodedDocument) -> int:
        """As `Backend.size`."""
        return len(document.document.text) + _BYTES_PER_TERM * len(document.vector)

    def write(
        self, seen: Description, documents: Sequence[EncodedDocument]
    ) -> Steps[list[Outcome]]:
        """As `Backend.write`."""
        yield from ()
        body = json.dumps([_json(document) for document in documents]).encode()
        self.received += len(documents)
        self.sent_bytes += len(body)
        return [Written(id=document.id) for document in documents]


class EndlessCollection(DiscardingBackend):
    """Existing documents, generated when read; vectors attached to them are discarded.

    Args:
        count: number of documents.
        payload: makes the payload of a document from its number.
    """

    def __init__(self, count: int, payload: Callable[[int], Mapping[str, Any]]) -> None:
        super().__init__()
        self._count = count
        self.collection.exists = True
        self.attaching = _EndlessAttaching(self, count, payload)

    def documents(self, seen: Description) -> Steps[int]:
        """As `Backend.documents`."""
        yield from ()
        return self._count


class _EndlessAttaching(MemoryAttaching):
    """The attaching part of an `EndlessCollection`, with the same arguments."""

    def __init__(
        self,
        backend: EndlessCollection,
        count: int,
        payload: Callable[[int], Mapping[str, Any]],
    ) -> None:
        super().__init__(backend, Address(backend.collection))
        self._endless = backend
        self._count = count
        self._payload = payload

    def survey(self, seen: Description, selection: Selection) -> Steps[Survey]:
        """As `AttachBackend.survey`."""
        sample = yield from self.read(seen, replace(selection, size=_SAMPLE), None)
        return Survey(
            counts=(yield from self.counts(seen, selection)),
            sample=tuple(sample.documents),
            present=selection.fields,
        )

    def counts(self, seen: Description, selection: Selection) -> Steps[Counts]:
        """As `AttachBackend.counts`."""
        yield from ()
        return Counts(documents=self._count, missing=self._count - self._endless.received)

    def missing(self, seen: Description, selection: Selection) -> Steps[int]:
        """As `AttachBackend.missing`."""
        return (yield from self.counts(seen, selection)).missing

    def read(self, seen: Description, selection: Selection, cursor: Any) -> Steps[Page]:
        """As `AttachBackend.read`."""
        yield from ()
        start = cursor or 0
        end = min(start + selection.size, self._count)
        documents = [Found(id=at, payload=self._payload(at)) for at in range(start, end)]
        return Page(documents=documents, next=end if end < self._count else None)

    def draw(self, seen: Description, selection: Selection, size: int) -> Steps[list[Found]]:
        """Nothing: no vector is kept."""
        yield from ()
        return []

    def attach(self, seen: Description, items: Sequence[Attachment]) -> Steps[list[AttachOutcome]]:
        """As `AttachBackend.attach`."""
        yield from ()
        body = [{"id": item.id, "vector": _sparse_json(item.vector)} for item in items]
        self._endless.received += len(items)
        self._endless.sent_bytes += len(json.dumps(body).encode())
        return [Written(id=item.id) for item in items]


class DiscardingStore(Store):
    """A `Store` that acknowledges every document and keeps none.

    Args:
        encoder: of the documents.
        backend: holds documents to attach to; None for a backend without documents.

    Attributes:
        backend: counts the documents that it receives.
    """

    def __init__(self, encoder: SparseEncoder, backend: DiscardingBackend | None = None) -> None:
        self.backend = backend or DiscardingBackend()
        session = Session(self.backend, lambda: encoder, PruneOptions(), False)
        opened = Opened(backend=self.backend, send=lambda request: None, close=lambda: None)
        super().__init__(session, opened, RetryOptions())


def _json(document: EncodedDocument) -> dict[str, object]:
    sparse = _sparse_json(document.vector)
    return {"id": document.id, "payload": dict(document.payload), "vector": sparse}


def _sparse_json(vector: SparseVector | None) -> dict[str, object]:
    vector = SparseVector.empty() if vector is None else vector
    return {"indices": vector.indices.tolist(), "values": vector.values.tolist()}
