"""Exceptions, sorted by what the reader can do about them.

Every error is one sentence: what happened, with which values, and what to do. Fields useful to a
program are attributes with defaults, so that every error can be pickled.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any


class SpladeConnectorsError(Exception):
    """Base of every error that this package raises on purpose."""


class ConfigurationError(SpladeConnectorsError, ValueError):
    """An argument, option, target or file is wrong: change the call."""


class MissingDependency(ConfigurationError, ImportError):
    """An optional package is not installed; the message contains the pip command."""

    def __init__(self, message: str, *, extra: str = "") -> None:
        super().__init__(message)
        self.extra = extra


class InvalidVector(ConfigurationError):
    """A sparse vector breaks an invariant (NaN, negative weight, duplicate index, …)."""


class InvalidDocument(ConfigurationError):
    """A row or a document cannot be indexed as it is (no id, text that is not text, …).

    Attributes:
        detail: the value in question where the message does not quote it; for dead letters.
    """

    def __init__(self, message: str, *, detail: str = "") -> None:
        super().__init__(message)
        self.detail = detail


class ModelError(SpladeConnectorsError):
    """A model folder cannot be used: missing or corrupt files, or not a SPLADE model."""


class ManifestMismatch(SpladeConnectorsError):
    """The index was written with another model or other settings.

    Attributes:
        differences: setting -> (value in the index, value requested).
    """

    def __init__(
        self, message: str, *, differences: Mapping[str, tuple[object, object]] | None = None
    ) -> None:
        super().__init__(message)
        self.differences = dict(differences or {})


class SchemaConflict(SpladeConnectorsError):
    """The collection or index exists, but its schema cannot hold these vectors."""


class NotSupported(SpladeConnectorsError):
    """This server, version or licence does not support the request."""


class NotFound(SpladeConnectorsError):
    """The collection, index or document does not exist."""


class AccessDenied(SpladeConnectorsError):
    """The server rejected the credentials (401), or they lack a privilege (403)."""


class Unavailable(SpladeConnectorsError):
    """The server is unreachable or overloaded; retrying later may help.

    Attributes:
        retry_after_s: seconds that the server asked to wait; None if it did not say.
    """

    def __init__(self, message: str, *, retry_after_s: float | None = None) -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s


class StoreLocked(SpladeConnectorsError):
    """An embedded store is open in another process."""


class StorageFull(SpladeConnectorsError):
    """The store's disk is full; acknowledged documents are kept."""


class WriteBlocked(SpladeConnectorsError):
    """The index is closed or write-blocked by its owner; nothing was lost."""


class AttachRefused(SpladeConnectorsError):
    """Attaching would lose data or mix vectors of two models, so nothing was written.

    Attributes:
        refusals: the reasons, one sentence each.
    """

    def __init__(self, message: str, *, refusals: Sequence[str] = ()) -> None:
        super().__init__(message)
        self.refusals = tuple(refusals)


class WouldReplace(SpladeConnectorsError):
    """Indexing would replace documents, losing what another tool or a dense model added."""


class DeletionRefused(SpladeConnectorsError):
    """Too many documents are missing from the source, so none were deleted; the rest was written.

    Attributes:
        report: the `IndexReport` of the run.
    """

    def __init__(self, message: str, *, report: Any = None) -> None:
        super().__init__(message)
        self.report = report


class RequestRejected(SpladeConnectorsError):
    """The server understood the request and rejected it (400, 413, …).

    Attributes:
        status: the HTTP status, or None if the store has none.
        detail: the server's own message if it may quote a document, which ours never does.
    """

    def __init__(self, message: str, *, status: int | None = None, detail: str = "") -> None:
        super().__init__(message)
        self.status = status
        self.detail = detail


class IndexingInterrupted(KeyboardInterrupt):
    """Ctrl-C during a run. Acknowledged documents are in the store; `report` says how many.

    Attributes:
        report: the report of the run up to the interrupt, such as an `IndexReport`.
    """

    def __init__(self, message: str = "", *, report: object = None) -> None:
        super().__init__(message)
        self.report = report
