"""Record a store's requests by purpose: their number is part of the contract too."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any

from splade_connectors.runtime.effects import Request
from splade_connectors.store import Store


@dataclass(slots=True)
class Sent:
    """Requests of a store, in order.

    Attributes:
        purposes: purposes of the requests without documents.
        writes: purposes of the requests with documents.
    """

    purposes: list[str] = field(default_factory=list)
    writes: list[str] = field(default_factory=list)

    def note(self, request: Request) -> None:
        """Record a request."""
        (self.writes if request.has_documents else self.purposes).append(request.purpose)


@contextmanager
def counted(store: Store) -> Iterator[Sent]:
    """Record what a blocking store sends within the block."""
    sent, opened = Sent(), store._opened

    def send(request: Request) -> Any:
        sent.note(request)
        return opened.send(request)

    store._opened = replace(opened, send=send)
    try:
        yield sent
    finally:
        store._opened = opened
