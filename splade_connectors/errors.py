"""What can go wrong, sorted by what the reader can do about it.

Every error carries one sentence: what happened, with which values, and what to do. Fields that a
program may want are attributes with defaults, so that each error survives pickling.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any


class SpladeConnectorsError(Exception):
    """Base of every error that this package raises on purpose."""


class ConfigurationError(SpladeConnectorsError, ValueError):
    """An argument, option, target or file is wrong: change the call."""


class MissingDependency(ConfigurationError, ImportError):
    """An optional package is not installed; the message holds the pip line."""

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
        differences: setting -> (what the index was written with, what was asked for now).
    """

    def __init__(
        self, message: str, *, differences: Mapping[str, tuple[object, object]] | None = None
    ) -> None:
        super().__init__(message)
        self.differences = dict(differences or {})


class SchemaConflict(SpladeConnectorsError):
    """The collection or index exists, but not in a shape that can hold these vectors."""


class NotSupported(SpladeConnectorsError):
    """This server, version or licence cannot do what was asked."""


class NotFound(SpladeConnectorsError):
    """The collection, index or document does not exist."""


class AccessDenied(SpladeConnectorsError):
    """The server refused the credentials (401) or the privilege is missing (403)."""


class Unavailable(SpladeConnectorsError):
    """The server cannot be reached or is overloaded; trying again later may help.

    Attributes:
        retry_after_s: seconds that the server asked to wait, when it said so.
    """

    def __init__(self, message: str, *, retry_after_s: float | None = None) -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s


class StoreLocked(SpladeConnectorsError):
    """An embedded store is open in another process."""


class StorageFull(SpladeConnectorsError):
    """The disk that holds the store is full; what was acknowledged is kept."""


class WriteBlocked(SpladeConnectorsError):
    """The index is closed, or takes no writes for now (a block by its owner); nothing was lost."""


class AttachRefused(SpladeConnectorsError):
    """Attaching would lose or mix something, so nothing was written.

    Attributes:
        refusals: each reason, in a sentence.
    """

    def __init__(self, message: str, *, refusals: Sequence[str] = ()) -> None:
        super().__init__(message)
        self.refusals = tuple(refusals)


class WouldReplace(SpladeConnectorsError):
    """Documents of others have these ids, and indexing would replace them whole."""


class DeletionRefused(SpladeConnectorsError):
    """The source seems to have lost too many documents, so none was deleted; the rest was written.

    Attributes:
        report: the `IndexReport` of the run.
    """

    def __init__(self, message: str, *, report: Any = None) -> None:
        super().__init__(message)
        self.report = report


class RequestRejected(SpladeConnectorsError):
    """The server understood the request and said no (400, 413, …).

    Attributes:
        status: the HTTP status, or None if the store has none.
        detail: the server's own words where they may quote a document, which the message does not.
    """

    def __init__(self, message: str, *, status: int | None = None, detail: str = "") -> None:
        super().__init__(message)
        self.status = status
        self.detail = detail


class IndexingInterrupted(KeyboardInterrupt):
    """Ctrl-C during indexing. What was acknowledged is in the store; `report` says how much.

    Attributes:
        report: the `IndexReport` up to the moment of the interrupt.
    """

    def __init__(self, message: str = "", *, report: object = None) -> None:
        super().__init__(message)
        self.report = report
