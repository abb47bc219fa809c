"""The part of the backend that attaches to collections, on servers and in the embedded engine."""

from __future__ import annotations

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
from splade_connectors.backends.metadata import (
    former_of,
    is_marked,
    switched,
    text_indexes_of,
    without_vector,
)
from splade_connectors.backends.protocol import Backend, Description
from splade_connectors.backends.versions import version_text
from splade_connectors.documents import DocumentId, Stamp
from splade_connectors.errors import AccessDenied, RequestRejected
from splade_connectors.manifest import IndexManifest
from splade_connectors.runtime.effects import Steps
from splade_qdrant.address import Address
from splade_qdrant.attach.read import counts, dense_vectors, draw, missing, read, read_again, stamps
from splade_qdrant.attach.survey import survey
from splade_qdrant.attach.write import attach, clear
from splade_qdrant.documents import marker_key
from splade_qdrant.look import Server, schema_of
from splade_qdrant.prepare import ADD_VECTOR, change_metadata, ensure

_BYTES_PER_TERM = 28


class QdrantAttaching:
    """Attaches vectors to the points of a collection.

    Args:
        address: of the sparse vector.
        server: what is known about the server.
        own: the backend that this object is a part of.
        at: makes the backend of another address on the same server.
    """

    def __init__(
        self, address: Address, server: Server, own: Backend, at: Callable[[Address], Backend]
    ) -> None:
        self._address = address
        self._server = server
        self._own = own
        self._at = at

    def pinned(self, seen: Description) -> Steps[Backend]:
        """A backend bound to the collection itself: an alias may be moved."""
        if self._address.is_embedded:
            return self._own
        name = self._address.collection
        try:
            collection = (yield self._address.request("aliases")).get(name)
        except (AccessDenied, RequestRejected):
            collection = None
        if collection is None:
            return self._own
        return self._at(replace(self._address, collection=collection))

    def marks(self, seen: Description) -> bool:
        """Whether points are marked, according to the collection's metadata."""
        return is_marked(schema_of(seen, self._address).metadata, seen.vector)

    def stamps(
        self, seen: Description, ids: Sequence[DocumentId]
    ) -> Steps[dict[DocumentId, Stamp]]:
        """Read the stamps from the payload key of the marker."""
        return (yield from stamps(self._address, seen, ids))

    def dense_vectors(
        self, seen: Description, ids: Sequence[DocumentId]
    ) -> Steps[dict[DocumentId, Mapping[str, Sequence[float]]]]:
        """By point id."""
        return (yield from dense_vectors(self._address, ids))

    def names(self) -> Steps[list[str]]:
        """The collections that this key may list."""
        try:
            return list((yield self._address.request("collections")))
        except (AccessDenied, RequestRejected):
            return []

    def survey(self, seen: Description, selection: Selection) -> Steps[Survey]:
        """Vectors, counts and a sample."""
        return (yield from survey(self._address, seen, selection))

    def ensure(
        self, seen: Description, manifest: IndexManifest, *, write_manifest: bool, mark: bool
    ) -> Steps[Description]:
        """Add the vector and the manifest, and record whether points are marked."""
        return (
            yield from ensure(
                self._address,
                self._server,
                seen,
                manifest,
                write_manifest=write_manifest,
                mark=mark,
            )
        )

    def read(self, seen: Description, selection: Selection, cursor: Any) -> Steps[Page]:
        """A page in the order of the points' ids."""
        return (yield from read(self._address, seen, selection, cursor))

    def read_again(
        self, seen: Description, selection: Selection, found: Sequence[Found]
    ) -> Steps[list[Found]]:
        """Read these points again, by id."""
        return (yield from read_again(self._address, seen, selection, found))

    def draw(self, seen: Description, selection: Selection, size: int) -> Steps[list[Found]]:
        """Draw from the points with the vector, by a random query."""
        return (yield from draw(self._address, seen, selection, size))

    def counts(self, seen: Description, selection: Selection) -> Steps[Counts]:
        """The number of points, and of those without the vector."""
        return (yield from counts(self._address, seen))

    def missing(self, seen: Description, selection: Selection) -> Steps[int]:
        """The number of points without the vector."""
        return (yield from missing(self._address, seen))

    def attachment_size(self, item: Attachment) -> int:
        """Approximate size in bytes."""
        return _BYTES_PER_TERM * item.terms + 150

    def attach(self, seen: Description, items: Sequence[Attachment]) -> Steps[list[AttachOutcome]]:
        """Write vectors and markers, then compare the texts."""
        return (yield from attach(self._address, seen, items))

    def clear(self, seen: Description, found: Sequence[Found]) -> Steps[list[AttachOutcome]]:
        """Remove the vector, and the marker if there is one."""
        return (yield from clear(self._address, seen, found))

    def withdrawal(self, seen: Description) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """Vector and manifest are removed; before 1.18 an empty vector stays."""
        schema, vector = schema_of(seen, self._address), seen.vector
        removes = [f"the manifest of {vector!r} in the collection's metadata"]
        if is_marked(schema.metadata, vector):
            removes.append(f"the payload key {marker_key(vector)!r}")
        stay = tuple(
            f"the text index of {field!r} stays: detach --text-index {field} removes it"
            for field in text_indexes_of(schema.metadata)
        )
        if schema.server >= ADD_VECTOR:
            return (f"the sparse vector {vector!r}", *removes), stay
        return tuple(removes), (
            f"the sparse vector {vector!r} stays, empty: Qdrant {version_text(schema.server)} "
            "cannot remove one (1.18 and later can)",
            *stay,
        )

    def withdraw(self, seen: Description) -> Steps[None]:
        """Metadata first: a vector without a manifest can be found, a manifest alone misleads."""
        schema = schema_of(seen, self._address)
        if self._address.manifest_file is None and schema.metadata:
            yield from change_metadata(
                self._address,
                self._server,
                lambda metadata: without_vector(metadata, seen.vector),
            )
        if schema.server >= ADD_VECTOR:
            yield self._address.request("delete_vector_name", {"name": seen.vector})
        yield from self._own.refresh()

    def renamed(self, vector_name: str) -> Backend:
        """A backend of the same collection with exactly this sparse vector."""
        return self._at(replace(self._address, vector=vector_name, exactly=True))

    def switch(self, vector_name: str) -> Steps[None]:
        """Switch by one change of the collection's metadata."""
        yield from change_metadata(
            self._address,
            self._server,
            lambda metadata: switched(metadata, self._address.vector, vector_name),
        )

    def former(self, seen: Description) -> str | None:
        """The former vector recorded in the metadata."""
        return former_of(schema_of(seen, self._address).metadata, self._address.vector)
