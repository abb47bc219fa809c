"""What an adapter implements beside `Backend`, so that vectors can be attached to what it has."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Protocol, Self, runtime_checkable

from splade_connectors.attach.report import CopyReport
from splade_connectors.attach.values import (
    Attachment,
    Conflict,
    Found,
    Gone,
    Page,
    Selection,
    Survey,
)
from splade_connectors.backend import Backend, Outcome
from splade_connectors.errors import NotSupported, SpladeConnectorsError
from splade_connectors.manifest import IndexManifest
from splade_connectors.steps import Steps


class CursorLost(SpladeConnectorsError):
    """The store has forgotten where a reading stood: it is to begin anew."""


AttachOutcome = Outcome | Conflict | Gone


@runtime_checkable
class AttachBackend(Protocol):
    """The verbs of attaching, as steps. None of them touches what is not ours."""

    vector_name: str
    """The vector or field that is written, as the store calls it."""

    def pinned(self) -> Steps[Self]:
        """The same collection or index, whatever becomes of its alias or its name.

        What it writes goes there, or nowhere. Where there is none, this backend itself.
        """

    def marks(self, asked: bool) -> Steps[bool]:
        """Whether documents carry a marker of what their vector was made of, or are to."""

    def names(self) -> Steps[list[str]]:
        """Collections or indices on the server, to suggest one; [] where they may not be read."""

    def survey(self, selection: Selection) -> Steps[Survey]:
        """What is there, and what is in the way. Writes nothing."""

    def ensure(self, manifest: IndexManifest, *, write_manifest: bool, mark: bool) -> Steps[None]:
        """Add what is absent: vector or field, marker, manifest. Changes nothing else."""

    def read(self, selection: Selection, cursor: Any) -> Steps[Page]:
        """A page of the selected documents; the first one with the cursor None.

        Safe to repeat: the same cursor gives the same page, or what took its place.

        Raises:
            CursorLost: when there is no next page to be had, because the server was restarted.
        """

    def read_again(self, selection: Selection, found: Sequence[Found]) -> Steps[list[Found]]:
        """These documents as they are now, whatever the selection says of which; no deleted ones.

        Sees what was written a moment ago.
        """

    def draw(self, selection: Selection, size: int) -> Steps[list[Found]]:
        """Documents that have a vector from us, drawn at random, with it."""

    def missing(self, selection: Selection) -> Steps[int]:
        """How many documents lack a vector of these settings."""

    def attachment_size(self, item: Attachment) -> int:
        """About how many bytes it takes in a request."""

    def attach(self, items: Sequence[Attachment]) -> Steps[list[AttachOutcome]]:
        """Write these vectors and markers to the documents; an outcome for each."""

    def clear(self, found: Sequence[Found]) -> Steps[list[AttachOutcome]]:
        """Remove vector and marker from the documents; an outcome for each."""

    def withdrawal(self) -> Steps[tuple[tuple[str, ...], tuple[str, ...]]]:
        """What `withdraw` removes, and what cannot be removed, in sentences."""

    def withdraw(self) -> Steps[None]:
        """Remove manifest and, where the store can, the vector or field itself."""

    def renamed(self, vector_name: str) -> Self:
        """The same collection or index with exactly this vector or field."""

    def switch(self, vector_name: str) -> Steps[None]:
        """From now on our name stands for this vector or field."""

    def former(self) -> Steps[str | None]:
        """The vector or field that our name stood for before a switch, None without one."""


@runtime_checkable
class CopyBackend(Protocol):
    """The further verbs of a backend that can copy a collection."""

    location: str
    """Where it is, for messages."""

    def copied_to(self, name: str) -> Any:
        """The backend of a collection beside this one."""

    def copy_to(self, other: Any, on_points: Callable[[int], None]) -> Steps[CopyReport]:
        """Make or complete the copy, and compare it."""

    def switch_alias(self, alias: str, name: str) -> Steps[None]:
        """From now on this alias names the collection."""


def attach_backend(backend: Backend) -> AttachBackend:
    """The backend with the verbs of attaching.

    Raises:
        NotSupported: when its adapter does not have them.
    """
    if not isinstance(backend, AttachBackend):
        raise NotSupported(f"{backend.location}: this adapter cannot attach vectors")
    return backend
