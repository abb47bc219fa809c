"""The protocols of an adapter that attaches vectors to stored documents."""

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
    """The server's cursor or scroll has expired: reading has to start over."""


Which = Literal["all", "missing", "attached", "stored"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Selection:
    """Which stored documents to read, and which parts of them.

    Attributes:
        which: "all"; "missing": those without a vector of these settings; "attached": those with
            a vector from this package; "stored": those with a vector from anyone (all documents
            on `rank_features`, which cannot be queried for existence).
        settings: fingerprint of the settings.
        fields: text fields, as paths.
        with_vectors: whether to read the stored sparse vectors too.
        size: maximum number of documents per page.
        part: as in `AttachOptions`.
        mark: whether documents carry a marker, or will.
        whole: whether to read the whole payload, regardless of `fields`, and dense vectors along
            with the sparse ones.
        ids_only: whether the ids suffice; an adapter may read more.
    """

    which: Which
    settings: str
    fields: tuple[str, ...]
    with_vectors: bool = False
    size: int = 512
    part: tuple[int, int] | None = None
    mark: bool = False
    whole: bool = False
    ids_only: bool = False


@dataclass(frozen=True, kw_only=True, slots=True)
class Found:
    """A stored document, as attaching reads it.

    Attributes:
        id: of the document.
        payload: the selected fields.
        marker: fingerprint of what its vector was made from; None if it has no marker.
        vector: the stored sparse vector; None if it was not requested or does not exist.
        dense: its dense vectors by name, if the selection is `whole` with vectors.
        handle: what the backend needs to write to exactly this version of the document.
    """

    id: DocumentId
    payload: Mapping[str, Any]
    marker: str | None = None
    vector: SparseVector | None = None
    dense: Mapping[str, Sequence[float]] = field(default_factory=dict)
    handle: Any = field(default=None, repr=False)


@dataclass(frozen=True, kw_only=True, slots=True)
class Page:
    """A page of the selected documents.

    Attributes:
        documents: in the store's order.
        next: the cursor of the next page; None after the last one.
    """

    documents: Sequence[Found]
    next: Any


@dataclass(frozen=True, kw_only=True, slots=True)
class Attachment:
    """A sparse vector for a stored document.

    Attributes:
        found: the document, in the version whose text was encoded.
        vector: encoded and pruned; empty for a document without text. None keeps the stored
            vector and writes only the marker.
        marker: fingerprint of what the vector was made from.
        text: the text that was encoded.
        fields: paths of the text fields.
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
        """Number of terms to write."""
        return len(self.vector or ())


@dataclass(frozen=True, kw_only=True, slots=True)
class Conflict:
    """A document that someone changed after it was read: it has to be read again."""

    id: DocumentId


@dataclass(frozen=True, kw_only=True, slots=True)
class Gone:
    """A document that someone deleted after it was read."""

    id: DocumentId


AttachOutcome = Outcome | Conflict | Gone


@dataclass(frozen=True, kw_only=True, slots=True)
class Counts:
    """The progress of attaching.

    Attributes:
        documents: number of documents in the collection or index.
        missing: number of those without a vector of the selection's settings.
    """

    documents: int
    missing: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Survey:
    """What a backend finds before anything is written.

    Attributes:
        counts: of the documents.
        sample: some documents, with the text fields.
        present: paths with text in the sample.
        absent: selected fields that no document has.
        feature_names: of the terms already in the sparse field of the sample.
        needs_copy: why vectors can only be attached to a copy; "" if they can be attached directly.
        refusals: why attaching would lose or mix something; empty if it is safe.
        changes: what would be created, in sentences.
        notes: what the owner of the data should know, in sentences.
        bytes_per_term: approximate storage per term in bytes.
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
    """The result of copying a collection.

    Attributes:
        collection: name of the copy.
        points: number of points in the original.
        written: points written to the copy, in all passes.
        checksum: SHA-256 over all points, payload and vectors.
        equal: whether the copy has the same checksum.
    """

    collection: str
    points: int = 0
    written: int = 0
    checksum: str = ""
    equal: bool = False

    def to_json(self) -> dict[str, Any]:
        """The report as a JSON object."""
        return {
            "collection": self.collection,
            "points": self.points,
            "written": self.written,
            "checksum": self.checksum,
            "equal": self.equal,
        }


class AttachBackend(Protocol):
    """The part of a backend that attaches vectors; it never touches anyone else's data."""

    def pinned(self, seen: Description) -> Steps[Backend]:
        """A backend bound to the present collection or index, even if its alias moves.

        Its writes go there or fail. If nothing exists yet, this is the backend itself.
        """

    def marks(self, seen: Description) -> bool:
        """Whether documents carry a marker of what their vector was made from."""

    def stamps(
        self, seen: Description, ids: Sequence[DocumentId]
    ) -> Steps[dict[DocumentId, Stamp]]:
        """The stamps of the ids that exist; an empty stamp for a document without one.

        Sees writes made a moment ago. A document whose vector someone removed counts as having no
        stamp, even if its marker is still there.
        """

    def dense_vectors(
        self, seen: Description, ids: Sequence[DocumentId]
    ) -> Steps[dict[DocumentId, Mapping[str, Sequence[float]]]]:
        """Name -> dense vector of those of the ids that a document has; an unnamed one is ''.

        Sees what was written a moment ago.
        """

    def names(self) -> Steps[list[str]]:
        """The server's collections or indices, to suggest one; [] if they may not be listed."""

    def survey(self, seen: Description, selection: Selection) -> Steps[Survey]:
        """What is stored, and what prevents attaching. Writes nothing."""

    def ensure(
        self, seen: Description, manifest: IndexManifest, *, write_manifest: bool, mark: bool
    ) -> Steps[Description]:
        """Add what is missing: vector or field, marker, manifest. Changes nothing else.

        Returns:
            The resulting description: `seen` itself if nothing was added.
        """

    def read(self, seen: Description, selection: Selection, cursor: Any) -> Steps[Page]:
        """A page of the selected documents; the cursor None gives the first one.

        Idempotent: the same cursor gives the same page, or its current replacement.

        Raises:
            CursorLost: if the server has lost the cursor, for example by a restart.
        """

    def read_again(
        self, seen: Description, selection: Selection, found: Sequence[Found]
    ) -> Steps[list[Found]]:
        """These documents as they are now, regardless of `selection.which`, without deleted ones.

        Sees writes made a moment ago.
        """

    def draw(self, seen: Description, selection: Selection, size: int) -> Steps[list[Found]]:
        """A random sample of the documents with a vector from this package, with their vectors.

        If `selection.which` is "stored", vectors from anyone count.
        """

    def counts(self, seen: Description, selection: Selection) -> Steps[Counts]:
        """The number of documents, and of those without a vector of these settings."""

    def missing(self, seen: Description, selection: Selection) -> Steps[int]:
        """The number of documents without a vector of these settings.

        Sends one request, since `--follow` polls it.
        """

    def attachment_size(self, item: Attachment) -> int:
        """Approximate size in a request, in bytes."""

    def attach(self, seen: Description, items: Sequence[Attachment]) -> Steps[list[AttachOutcome]]:
        """Write these vectors and markers to the documents; one outcome each.

        If documents carry no markers, an attachment without a vector writes nothing.
        """

    def clear(self, seen: Description, found: Sequence[Found]) -> Steps[list[AttachOutcome]]:
        """Remove vector and marker from the documents; one outcome each."""

    def withdrawal(self, seen: Description) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """What `withdraw` would remove, and what would stay, in sentences."""

    def withdraw(self, seen: Description) -> Steps[None]:
        """Remove the manifest and, if the store can, the vector or field itself."""

    def renamed(self, vector_name: str) -> Backend:
        """A backend of the same collection or index with exactly this vector or field."""

    def switch(self, vector_name: str) -> Steps[None]:
        """Make the users' name refer to this vector or field."""

    def former(self, seen: Description) -> str | None:
        """The vector or field that the users' name referred to before a switch, or None."""


class CopyBackend(Protocol):
    """The part of a backend that copies a collection."""

    def copied_to(self, name: str) -> Backend:
        """The backend of another collection on the same server."""

    def copy_to(self, other: Backend, on_points: Callable[[int], None]) -> Steps[CopyReport]:
        """Create or complete the copy, and compare it with the original."""

    def switch_alias(self, alias: str, name: str) -> Steps[None]:
        """Point the alias at the collection."""


def attach_backend(backend: Backend) -> AttachBackend:
    """The part of a backend that attaches vectors.

    Raises:
        NotSupported: if its adapter has none.
    """
    if backend.attaching is None:
        raise NotSupported(f"{backend.location}: this adapter cannot attach vectors")
    return backend.attaching
