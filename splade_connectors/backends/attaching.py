"""What an adapter implements beside `Backend`, so that vectors can be attached to what it has."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

from splade_connectors.backends.protocol import Backend, Description
from splade_connectors.documents import DocumentId, Outcome, Stamp
from splade_connectors.errors import NotSupported, SpladeConnectorsError
from splade_connectors.manifest import IndexManifest
from splade_connectors.runtime.effects import Steps
from splade_connectors.vectors import SparseVector


class CursorLost(SpladeConnectorsError):
    """The store has forgotten where a reading stood: it has to start over."""


Which = Literal["all", "missing", "attached", "stored"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Selection:
    """Which stored documents are read, and what of them.

    Attributes:
        which: all, those that lack a vector of these settings, those that have any from us, or
            those that have any, whoever wrote it (on `rank_features`, which cannot be asked for,
            all).
        settings: fingerprint of the settings.
        fields: text fields, as paths.
        with_vectors: whether the stored sparse vectors are read, too.
        size: most documents of a page.
        part: as in `AttachOptions`.
        mark: whether documents carry a marker, or are to.
        whole: the whole payload is read, whatever `fields` says, and dense vectors with the sparse.
    """

    which: Which
    settings: str
    fields: tuple[str, ...]
    with_vectors: bool = False
    size: int = 512
    part: tuple[int, int] | None = None
    mark: bool = False
    whole: bool = False


@dataclass(frozen=True, kw_only=True, slots=True)
class Found:
    """A stored document, as attaching reads it.

    Attributes:
        id: its id.
        payload: the selected fields.
        marker: what its vector was made of, as it is marked; None if it is not.
        vector: the stored sparse vector, None if it was not asked for or is not there.
        dense: its dense vectors by name, where the whole document was asked for with vectors.
        handle: what the backend needs to write to exactly this version of it.
    """

    id: DocumentId
    payload: Mapping[str, Any]
    marker: str | None = None
    vector: SparseVector | None = None
    dense: Mapping[str, Sequence[float]] = field(default_factory=dict)
    handle: Any = field(default=None, repr=False)


@dataclass(frozen=True, kw_only=True, slots=True)
class Page:
    """Some of the selected documents.

    Attributes:
        documents: in the store's order.
        next: the cursor of the next page, None after the last one.
    """

    documents: Sequence[Found]
    next: Any


@dataclass(frozen=True, kw_only=True, slots=True)
class Attachment:
    """A sparse vector for a stored document.

    Attributes:
        found: the document, in the version whose text was encoded.
        vector: encoded and pruned; empty for a document without text. None leaves the one that
            was found as it is: its marker alone is written.
        marker: what it was made of.
        text: what was encoded.
        fields: where the text was found.
    """

    found: Found
    vector: SparseVector | None
    marker: str
    text: str = field(default="", repr=False)
    fields: tuple[str, ...] = ()

    @property
    def id(self) -> DocumentId:
        """The document's id."""
        return self.found.id

    @property
    def terms(self) -> int:
        """Terms to be written."""
        return len(self.vector or ())


@dataclass(frozen=True, kw_only=True, slots=True)
class Conflict:
    """A document that was changed after it had been read: it is to be read again."""

    id: DocumentId


@dataclass(frozen=True, kw_only=True, slots=True)
class Gone:
    """A document that was deleted after it had been read."""

    id: DocumentId


AttachOutcome = Outcome | Conflict | Gone


@dataclass(frozen=True, kw_only=True, slots=True)
class Counts:
    """How far attaching has come.

    Attributes:
        documents: in the collection or index.
        missing: those without a vector of the selection's settings.
    """

    documents: int
    missing: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Survey:
    """What a backend sees before anything is written.

    Attributes:
        counts: of the documents.
        sample: some documents, with the text fields.
        present: paths with text in the sample.
        absent: selected fields that no document has.
        feature_names: of terms that the sparse field of the sample holds already.
        needs_copy: why vectors can only be attached to a copy; "" where that is not so.
        refusals: why attaching would lose or mix something; empty when it is safe.
        changes: what is to be created.
        notes: what attaching does that an owner should know.
        bytes_per_term: about how much room a term takes.
    """

    counts: Counts
    sample: tuple[Found, ...]
    present: tuple[str, ...]
    absent: tuple[str, ...] = ()
    feature_names: tuple[str, ...] = ()
    needs_copy: str = ""
    refusals: tuple[str, ...] = ()
    changes: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    bytes_per_term: float = 16.0


@dataclass(kw_only=True, slots=True)
class CopyReport:
    """A copy of a collection.

    Attributes:
        collection: its name.
        points: in the original.
        written: points written to the copy, in all passes.
        checksum: SHA-256 over all points, payload and vectors.
        equal: whether that of the copy is the same.
    """

    collection: str
    points: int = 0
    written: int = 0
    checksum: str = ""
    equal: bool = False

    def to_json(self) -> dict[str, Any]:
        """A JSON object."""
        return {
            "collection": self.collection,
            "points": self.points,
            "written": self.written,
            "checksum": self.checksum,
            "equal": self.equal,
        }


class AttachBackend(Protocol):
    """The part of a backend that attaches vectors. None of it touches what is not ours."""

    def pinned(self, seen: Description) -> Steps[Backend]:
        """The same collection or index, whatever becomes of its alias or its name.

        What it writes goes there, or nowhere. Where there is none, its own backend.
        """

    def marks(self, seen: Description) -> bool:
        """Whether documents carry a marker of what their vector was made of."""

    def stamps(
        self, seen: Description, ids: Sequence[DocumentId]
    ) -> Steps[dict[DocumentId, Stamp]]:
        """Of those of the ids that a document has: an empty one where it carries none.

        Sees what was written a moment ago. A document whose vector others have removed carries
        none, whatever is left beside it.
        """

    def dense_vectors(
        self, seen: Description, ids: Sequence[DocumentId]
    ) -> Steps[dict[DocumentId, Mapping[str, Sequence[float]]]]:
        """Name -> dense vector of those of the ids that a document has; an unnamed one is ''.

        Sees what was written a moment ago.
        """

    def names(self) -> Steps[list[str]]:
        """Collections or indices on the server, to suggest one; [] if they may not be read."""

    def survey(self, seen: Description, selection: Selection) -> Steps[Survey]:
        """What is there, and what is in the way. Writes nothing."""

    def ensure(
        self, seen: Description, manifest: IndexManifest, *, write_manifest: bool, mark: bool
    ) -> Steps[Description]:
        """Add what is absent: vector or field, marker, manifest. Changes nothing else.

        Returns:
            What is there now: `seen` itself when nothing had to be added, else another look.
        """

    def read(self, seen: Description, selection: Selection, cursor: Any) -> Steps[Page]:
        """A page of the selected documents; the first one with the cursor None.

        Safe to repeat: the same cursor gives the same page, or what took its place.

        Raises:
            CursorLost: when there is no next page to be had, because the server was restarted.
        """

    def read_again(
        self, seen: Description, selection: Selection, found: Sequence[Found]
    ) -> Steps[list[Found]]:
        """These documents as they are now, whatever the selection says of which; no deleted ones.

        Sees what was written a moment ago.
        """

    def draw(self, seen: Description, selection: Selection, size: int) -> Steps[list[Found]]:
        """Documents that have a vector from us, drawn at random, with it.

        Of a selection of what is stored, those that have any.
        """

    def counts(self, seen: Description, selection: Selection) -> Steps[Counts]:
        """How many documents there are, and how many lack a vector of these settings."""

    def missing(self, seen: Description, selection: Selection) -> Steps[int]:
        """How many lack a vector of these settings: one request, sent forever by `--follow`."""

    def attachment_size(self, item: Attachment) -> int:
        """About how many bytes it takes in a request."""

    def attach(self, seen: Description, items: Sequence[Attachment]) -> Steps[list[AttachOutcome]]:
        """Write these vectors and markers to the documents; an outcome for each.

        Where markers are not kept, an attachment without a vector writes nothing.
        """

    def clear(self, seen: Description, found: Sequence[Found]) -> Steps[list[AttachOutcome]]:
        """Remove vector and marker from the documents; an outcome for each."""

    def withdrawal(self, seen: Description) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """What `withdraw` removes, and what cannot be removed, in sentences."""

    def withdraw(self, seen: Description) -> Steps[None]:
        """Remove manifest and, where the store can, the vector or field itself."""

    def renamed(self, vector_name: str) -> Backend:
        """The same collection or index with exactly this vector or field."""

    def switch(self, vector_name: str) -> Steps[None]:
        """From now on our name stands for this vector or field."""

    def former(self, seen: Description) -> str | None:
        """The vector or field that our name stood for before a switch, None without one."""


class CopyBackend(Protocol):
    """The part of a backend that copies a collection."""

    def copied_to(self, name: str) -> Backend:
        """The backend of a collection beside this one."""

    def copy_to(self, other: Backend, on_points: Callable[[int], None]) -> Steps[CopyReport]:
        """Make or complete the copy, and compare it."""

    def switch_alias(self, alias: str, name: str) -> Steps[None]:
        """From now on this alias names the collection."""


def attach_backend(backend: Backend) -> AttachBackend:
    """The part of a backend that attaches.

    Raises:
        NotSupported: when its adapter does not have one.
    """
    if backend.attaching is None:
        raise NotSupported(f"{backend.location}: this adapter cannot attach vectors")
    return backend.attaching
