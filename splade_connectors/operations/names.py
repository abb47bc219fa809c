"""What the terms of a vector are called in explanations: tokens of a model, or numbers."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Protocol

from splade_connectors.backends.protocol import Description
from splade_connectors.operations.session import Session
from splade_connectors.vectors import SparseVector


class Names(Protocol):
    """The part of an encoder that explanations need."""

    def tokens(self, ids: Iterable[int]) -> list[str]:
        """The vocabulary's spelling of these term ids."""

    def readable(self, ids: Iterable[int]) -> list[str]:
        """These terms in readable form."""

    def token_id(self, token: str) -> int | None:
        """The id of a token; None if the vocabulary lacks it."""

    def own_terms(self, text: str) -> set[int]:
        """The ids of the text's own terms."""


class Numbers:
    """Names for the terms of an unknown vocabulary: their ids. No text is known to contain any."""

    def tokens(self, ids: Iterable[int]) -> list[str]:
        """The ids as decimal numbers."""
        return [str(int(index)) for index in ids]

    readable = tokens

    def token_id(self, token: str) -> int | None:
        """The inverse of `tokens`."""
        return int(token) if token.isdecimal() else None

    def own_terms(self, text: str) -> set[int]:
        """The empty set: only the model knows which terms a text has."""
        return set()


def names_of(session: Session, seen: Description, query: str | SparseVector) -> Names:
    """Return the encoder if the terms are of its vocabulary, otherwise numbers.

    A text was encoded by the session's encoder, which was compared with the manifest. A vector is
    sent as is to a store whose terms are numbers, so another model may have made it.
    """
    encoder, manifest = session.encoder(), seen.manifest
    unchecked = isinstance(query, SparseVector) and seen.capabilities.key_style == "id"
    if not unchecked or manifest is None:
        return encoder
    # Hashes in an outdated manifest may have been computed differently.
    same = manifest.outdated or encoder.spec.tokenizer == manifest.tokenizer
    return encoder if encoder.spec.model == manifest.model and same else Numbers()


def own_terms(names: Names, query: str | SparseVector) -> set[int]:
    """Return the ids of the query's own terms; none if they are called by numbers."""
    if isinstance(query, str):
        return names.own_terms(query)
    # The text of a query vector is unknown, so all its terms count as its own.
    return set() if isinstance(names, Numbers) else set(query.to_dict())
