"""Documents that are stored and that the source no longer has: found, counted, and deleted."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from splade_connectors.backends.attaching import CursorLost, Selection, attach_backend
from splade_connectors.backends.protocol import Backend, Description
from splade_connectors.documents import DocumentId
from splade_connectors.errors import ConfigurationError, DeletionRefused
from splade_connectors.operations.session import Session
from splade_connectors.options import WriteOptions
from splade_connectors.runtime.effects import Steps
from splade_connectors.shown import listed
from splade_connectors.writing.report import IndexReport
from splade_connectors.writing.seen_ids import SeenIds

# Ids of a page, and of one request that deletes.
_READ_AT_ONCE = 5_000
_DELETED_AT_ONCE = 500


class Source:
    """Which documents a run has met, rejected ones included: they are not missing.

    Args:
        key_of: what the store tells documents apart by.
    """

    def __init__(self, key_of: Callable[[DocumentId], DocumentId]) -> None:
        self._key_of = key_of
        self._accepted = SeenIds()
        self._rejected = SeenIds()
        self.nameless = 0

    def add(self, id: DocumentId) -> bool:
        """A document of the source; whether it is the first with its id."""
        return self._accepted.add(self._key_of(id))

    def reject(self, id: DocumentId | None) -> None:
        """A row that is not stored as it is, and may be stored as it was."""
        if id is None:
            self.nameless += 1
        else:
            self._rejected.add(self._key_of(id))

    def __contains__(self, id: DocumentId) -> bool:
        key = self._key_of(id)
        return key in self._accepted or key in self._rejected


def check_mirroring(session: Session, before: Description, options: WriteOptions) -> None:
    """Refuse to delete where others put documents, before anything is written.

    Raises:
        NotSupported: where the adapter cannot list what is stored.
        ConfigurationError: where this package did not make the collection or index.
    """
    attach_backend(session.backend)
    found = before.capabilities
    if found.exists and not (found.created_by_us or options.replace):
        raise ConfigurationError(
            f"{session.backend.location} was not made by this package, and what others put there "
            "would be deleted as well: omit delete_missing (--delete-missing), or say that "
            "it is meant: WriteOptions(replace=True) (--replace)"
        )


def missing_ids(
    backend: Backend, seen: Description, source: Source
) -> Steps[tuple[list[DocumentId], int]]:
    """Stored documents with a vector of ours that the source does not have; and how many are."""
    selection = Selection(which="attached", settings="", fields=(), size=_READ_AT_ONCE)
    reading = attach_backend(backend)
    missing: list[DocumentId] = []
    stored, cursor = 0, None
    while True:
        try:
            page = yield from reading.read(seen, selection, cursor)
        except CursorLost:
            missing, stored, cursor = [], 0, None
            continue
        stored += len(page.documents)
        missing += [found.id for found in page.documents if found.id not in source]
        if page.next is None:
            return missing, stored
        cursor = page.next


def delete_missing(
    backend: Backend,
    seen: Description,
    source: Source,
    options: WriteOptions,
    report: IndexReport,
    told: Callable[[], None],
) -> Steps[None]:
    """Delete what the source no longer has.

    Args:
        backend: of the store.
        seen: what is there.
        source: what was read.
        options: how large a share may go.
        report: is given how many there are, and how many were deleted.
        told: called when the first number is known, before anything is deleted.

    Raises:
        DeletionRefused: when the share is larger, or a row had no id. Nothing is deleted then.
    """
    ids, stored = yield from missing_ids(backend, seen, source)
    report.missing = len(ids)
    if not ids:
        return
    reason = _refusal(ids, stored, source, options)
    if reason:
        raise DeletionRefused(f"{backend.location}: {reason}", report=report)
    told()
    for start in range(0, len(ids), _DELETED_AT_ONCE):
        portion = ids[start : start + _DELETED_AT_ONCE]
        yield from backend.delete(seen, portion)
        report.deleted += len(portion)


def _refusal(ids: Sequence[DocumentId], stored: int, source: Source, options: WriteOptions) -> str:
    if source.nameless:
        return (
            f"{source.nameless} rows of the source have no id, so nobody knows which documents "
            f"they are; none of the {len(ids)} that seem to be gone was deleted"
        )
    if len(ids) <= options.most_deleted * stored:
        return ""
    return (
        f"{len(ids)} of {stored} documents ({len(ids) / stored:.0%}) are not in the source, more "
        f"than the {options.most_deleted:.0%} that may be deleted (the first are "
        f"{listed(ids)}); nothing was deleted. If the source is whole: "
        f"WriteOptions(most_deleted=1) (--most-deleted 1)"
    )
