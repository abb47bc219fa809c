"""Finding, counting and deleting stored documents that are no longer in the source."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from splade_connectors.backends.attaching import CursorLost, Selection, attach_backend
from splade_connectors.backends.protocol import Backend, Description
from splade_connectors.documents import DocumentId
from splade_connectors.errors import ConfigurationError, DeletionRefused
from splade_connectors.operations.session import Session
from splade_connectors.options import WriteOptions
from splade_connectors.runtime.effects import Steps
from splade_connectors.shown import counted, listed
from splade_connectors.writing.report import IndexReport
from splade_connectors.writing.seen_ids import SeenIds

# Ids per page, and per delete request.
_READ_AT_ONCE = 5_000
_DELETED_AT_ONCE = 500


class Source:
    """The documents that a run has seen, rejected ones included, which are not missing.

    Args:
        key_of: normalizes an id the way the store does.

    Attributes:
        nameless: number of rejected rows without an id.
        empty_files: files of the source that have no rows.
    """

    def __init__(self, key_of: Callable[[DocumentId], DocumentId]) -> None:
        self._key_of = key_of
        self._accepted = SeenIds()
        self._rejected = SeenIds()
        self.nameless = 0
        self.empty_files: Sequence[object] = ()

    def add(self, id: DocumentId) -> bool:
        """Add a document of the source; return whether it is the first with its id."""
        return self._accepted.add(self._key_of(id))

    def reject(self, id: DocumentId | None) -> None:
        """Add a rejected row, an earlier version of which may be stored."""
        if id is None:
            self.nameless += 1
        else:
            self._rejected.add(self._key_of(id))

    def __contains__(self, id: DocumentId) -> bool:
        key = self._key_of(id)
        return key in self._accepted or key in self._rejected


def check_mirroring(session: Session, before: Description, options: WriteOptions) -> None:
    """Refuse to delete from another tool's collection, before anything is written.

    Raises:
        NotSupported: if the adapter cannot list stored documents.
        ConfigurationError: if this package did not create the collection or index.
    """
    attach_backend(session.backend)
    found = before.capabilities
    if found.exists and not (found.created_by_us or options.replace):
        raise ConfigurationError(
            f"{session.backend.location} was not created by this package, so delete_missing would "
            "also delete documents that other tools wrote; omit it (--delete-missing), or confirm "
            "with WriteOptions(replace=True) (--replace)"
        )


def missing_ids(
    backend: Backend, seen: Description, source: Source
) -> Steps[tuple[list[DocumentId], int]]:
    """Return ids of attached documents that are not in the source, and the number attached."""
    selection = Selection(
        which="attached", settings="", fields=(), size=_READ_AT_ONCE, ids_only=True
    )
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
    """Delete documents that are no longer in the source.

    Args:
        backend: backend of the store.
        seen: description of the collection or index.
        source: documents that were read.
        options: how large a fraction may be deleted.
        report: receives the numbers of missing and deleted documents.
        told: called once the number of missing documents is known, before any is deleted.

    Raises:
        DeletionRefused: if too many are missing or a row had no id; nothing is deleted.
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
            f"{counted(source.nameless, 'row')} in the source had no id, so it is unknown which "
            f"documents are missing; none of the {len(ids):,} candidates were deleted"
        )
    if source.empty_files and options.most_deleted < 1:
        # A failed export looks like this; its share may be small among many files.
        return (
            f"there are no rows in {listed(list(map(str, source.empty_files)))}, so it is unknown "
            f"which documents are missing; none of the {len(ids):,} candidates were deleted. If "
            "the source is complete, use WriteOptions(most_deleted=1) (--most-deleted 1)"
        )
    if len(ids) <= options.most_deleted * stored:
        return ""
    return (
        f"{len(ids):,} of {counted(stored, 'document')} ({len(ids) / stored:.0%}) are not in the "
        f"source, more than the {options.most_deleted:.0%} that may be deleted (first: "
        f"{listed(ids)}); nothing was deleted. If the source is complete, use "
        f"WriteOptions(most_deleted=1) (--most-deleted 1)"
    )
