"""The `export` verb: every document, a page at a time."""

from __future__ import annotations

from typing import Any

from splade_connectors.backends.attaching import CursorLost, Found, Selection, attach_backend
from splade_connectors.backends.protocol import Description
from splade_connectors.documents import StoredDocument
from splade_connectors.errors import Unavailable
from splade_connectors.operations.session import Session, check_exists
from splade_connectors.runtime.effects import Steps

_DOCUMENTS_AT_ONCE = 1_000
# With vectors, a document takes several kilobytes.
_VECTORS_AT_ONCE = 250


class Exporting:
    """One export; call `page` until `done`.

    Args:
        session: session of the store.
        with_vectors: whether to read sparse and dense vectors.
    """

    def __init__(self, session: Session, with_vectors: bool) -> None:
        self.done = False
        self._session = session
        self._seen: Description | None = None
        self._cursor: Any = None
        self._selection = Selection(
            which="all",
            settings="",
            fields=(),
            with_vectors=with_vectors,
            whole=True,
            size=_VECTORS_AT_ONCE if with_vectors else _DOCUMENTS_AT_ONCE,
        )

    def page(self) -> Steps[list[StoredDocument]]:
        """Return the next documents.

        Raises:
            ManifestMismatch: if another model's terms would be read.
            Unavailable: if the server's cursor was lost.
        """
        if self._seen is None:
            # The description that an earlier verb read may be stale.
            self._seen = yield from self._session.look_again()
            check_exists(self._session, self._seen)
            if self._selection.with_vectors:
                # Term names and ids are meaningful only for the model that wrote them.
                self._session.check_for_queries(self._seen)
        reading = attach_backend(self._session.backend)
        try:
            page = yield from reading.read(self._seen, self._selection, self._cursor)
        except CursorLost as error:
            # Starting over here would return documents twice.
            raise Unavailable(f"the export was interrupted; start it again: {error}") from error
        self._cursor = page.next
        self.done = page.next is None
        return [self._stored(found) for found in page.documents]

    def _stored(self, found: Found) -> StoredDocument:
        if not self._selection.with_vectors:
            return StoredDocument(id=found.id, payload=found.payload)
        return StoredDocument(
            id=found.id, payload=found.payload, vector=found.vector, dense=found.dense
        )
