"""The protocol beside `Backend` for stores in which BM25 needs an index of a text field."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from splade_connectors.backends.protocol import Backend, Description
from splade_connectors.errors import NotSupported
from splade_connectors.options import TextTokenizer
from splade_connectors.runtime.effects import Steps


@dataclass(frozen=True, kw_only=True, slots=True)
class TextIndexOrder:
    """The text indexes that the caller requests.

    Attributes:
        fields: of the documents, as paths.
        tokenizer: of new indexes; None takes the store's default and accepts existing indexes.
        rebuild: whether an index that someone else made may be rebuilt.
    """

    fields: tuple[str, ...]
    tokenizer: TextTokenizer | None = None
    rebuild: bool = False


@dataclass(frozen=True, kw_only=True, slots=True)
class TextIndexSurvey:
    """What an order would do.

    Attributes:
        lacking: fields whose index has to be created or rebuilt.
        changes: what would be created, in sentences.
        notes: what exists already, or needs nothing.
        refusals: what prevents it; empty if nothing does.
    """

    lacking: tuple[str, ...] = ()
    changes: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    refusals: tuple[str, ...] = ()


class TextIndexBackend(Protocol):
    """The part of a backend that makes text fields searchable with BM25; it changes no document."""

    def survey(self, seen: Description, order: TextIndexOrder) -> Steps[TextIndexSurvey]:
        """What exists, and what prevents the order. Writes nothing."""

    def create(self, seen: Description, order: TextIndexOrder) -> Steps[Description]:
        """Create what `survey` found lacking; idempotent.

        Returns:
            The resulting description: `seen` itself if nothing was lacking.
        """

    def made(self, seen: Description) -> Sequence[str]:
        """The fields whose index `create` made or rebuilt."""

    def rebuilt(self, seen: Description) -> Sequence[str]:
        """Those of `made` that had an index before, which `remove` restores."""

    def remove(self, seen: Description, fields: Sequence[str]) -> Steps[Description]:
        """Remove these indexes; restore one that existed before to its former settings.

        Returns:
            The resulting description.
        """


def text_index_backend(backend: Backend) -> TextIndexBackend:
    """The part of a backend that indexes text.

    Raises:
        NotSupported: if its adapter has none.
    """
    if backend.text_indexing is None:
        raise NotSupported(f"{backend.location}: this adapter has no text indexes")
    return backend.text_indexing
