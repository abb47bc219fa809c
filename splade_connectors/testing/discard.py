"""A store that keeps nothing: for measuring what everything before it costs."""

from __future__ import annotations

import json
from collections.abc import Sequence

from splade_connectors.backend import EncodedDocument, Opened, Outcome, Written
from splade_connectors.encoders.base import SparseEncoder
from splade_connectors.options import PruneOptions, RetryOptions
from splade_connectors.steps import Steps
from splade_connectors.store import Store
from splade_connectors.testing.memory import MemoryBackend
from splade_connectors.verbs import Verbs

# JSON spends about this many bytes on one term.
_BYTES_PER_TERM = 28


class DiscardingBackend(MemoryBackend):
    """Writes documents as JSON, as other backends do, and forgets them.

    Attributes:
        documents: that were written.
        sent_bytes: of their JSON.
    """

    def __init__(self) -> None:
        super().__init__()
        self.location = "nowhere"
        self.documents = 0
        self.sent_bytes = 0

    def size(self, document: EncodedDocument) -> int:
        """As `Backend.size`."""
        return len(document.document.text) + _BYTES_PER_TERM * len(document.vector)

    def write(self, documents: Sequence[EncodedDocument]) -> Steps[list[Outcome]]:
        """As `Backend.write`."""
        yield from ()
        body = json.dumps([_json(document) for document in documents]).encode()
        self.documents += len(documents)
        self.sent_bytes += len(body)
        return [Written(id=document.id) for document in documents]


class DiscardingStore(Store):
    """A `Store` that acknowledges every document and keeps none.

    Args:
        encoder: of the documents.

    Attributes:
        backend: counts what it was given.
    """

    def __init__(self, encoder: SparseEncoder) -> None:
        self.backend = DiscardingBackend()
        verbs = Verbs(self.backend, lambda: encoder, PruneOptions(), False)
        opened = Opened(backend=self.backend, send=lambda request: None, close=lambda: None)
        super().__init__(verbs, opened, RetryOptions())


def _json(document: EncodedDocument) -> dict[str, object]:
    vector = document.vector
    sparse = {"indices": vector.indices.tolist(), "values": vector.values.tolist()}
    return {"id": document.id, "payload": dict(document.payload), "vector": sparse}
