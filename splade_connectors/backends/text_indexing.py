"""What an adapter implements beside `Backend` where BM25 needs an index of a text field."""

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
    """The text indexes that are asked for.

    Attributes:
        fields: of the documents, as paths.
        tokenizer: of new ones; None takes the store's, and those that are there as they are.
        rebuild: whether an index of the owner's may be rebuilt.
    """

    fields: tuple[str, ...]
    tokenizer: TextTokenizer | None = None
    rebuild: bool = False


@dataclass(frozen=True, kw_only=True, slots=True)
class TextIndexSurvey:
    """What would become of an order.

    Attributes:
        lacking: fields whose index has to be made or rebuilt.
        changes: what is to be created, in sentences.
        notes: what is there already, or needs nothing.
        refusals: what is in the way; empty when nothing is.
    """

    lacking: tuple[str, ...] = ()
    changes: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    refusals: tuple[str, ...] = ()


class TextIndexBackend(Protocol):
    """The part of a backend that makes text fields searchable by BM25. It changes no document."""

    def survey(self, seen: Description, order: TextIndexOrder) -> Steps[TextIndexSurvey]:
        """What is there, and what is in the way. Writes nothing."""

    def create(self, seen: Description, order: TextIndexOrder) -> Steps[Description]:
        """Make what `survey` found lacking; safe to repeat.

        Returns:
            What is there now: `seen` itself when nothing was lacking, else another look.
        """

    def made(self, seen: Description) -> Sequence[str]:
        """Fields whose index `create` made or rebuilt."""

    def remove(self, seen: Description, fields: Sequence[str]) -> Steps[Description]:
        """Remove these indexes of ours; one of the owner's becomes what it was.

        Returns:
            What is there then.
        """


def text_index_backend(backend: Backend) -> TextIndexBackend:
    """The part of a backend that indexes text.

    Raises:
        NotSupported: when its adapter does not have one.
    """
    if backend.text_indexing is None:
        raise NotSupported(f"{backend.location}: this adapter has no text indexes")
    return backend.text_indexing
