"""Rows that were encoded before: what `encode` writes, `index` reads."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Protocol

from splade_connectors.errors import ConfigurationError, InvalidDocument, ManifestMismatch
from splade_connectors.manifest import IndexManifest
from splade_connectors.shown import quoted
from splade_connectors.vectors import SparseVector

ID, TERMS, PAYLOAD, MADE_BY = "id", "terms", "payload", "made_by"


class Vocabulary(Protocol):
    """What reading terms needs of an encoder."""

    def token_id(self, token: str) -> int | None:
        """The id of a token, None if the vocabulary has none."""


def encoded_row(
    id: Any, terms: Mapping[str, float], made_by: Mapping[str, Any], payload: Any = None
) -> dict[str, Any]:
    """One row as `encode` writes it.

    Args:
        id: of the document.
        terms: token, or id of a term, -> weight.
        made_by: the settings, as `IndexManifest.to_json` has them; how terms are named is one.
        payload: the document's fields; None leaves them out.
    """
    row = {ID: id, TERMS: terms, MADE_BY: made_by}
    return row if payload is None else {**row, PAYLOAD: payload}


def is_encoded(row: Mapping[str, Any]) -> bool:
    """Whether a row is one that `encode` wrote."""
    return isinstance(row.get(TERMS), Mapping) and isinstance(row.get(MADE_BY), Mapping)


class Encoded:
    """The rows of a file that `encode` wrote.

    Args:
        first: its first row.
        name: of the file.

    Attributes:
        made_by: the settings that all of them were made with.
        vocabulary: gives that of the encoder; None until the store is known that they are for.

    Raises:
        ConfigurationError: when it does not say which settings.
    """

    def __init__(self, first: Mapping[str, Any], name: str) -> None:
        self._made_by = first[MADE_BY]
        self._name = name
        self._ids: dict[str, int | None] = {}
        self.vocabulary: Callable[[], Vocabulary] | None = None
        try:
            self.made_by = IndexManifest.from_json(self._made_by)
        except (ManifestMismatch, TypeError) as error:
            raise ConfigurationError(
                f"{name} does not say with which settings it was encoded ({MADE_BY!r}): encode it "
                f"again"
            ) from error

    def vector(self, row: Mapping[str, Any]) -> SparseVector:
        """The vector of a row.

        Raises:
            InvalidDocument: when it is none, or one of other settings.
        """
        terms = row.get(TERMS)
        if not isinstance(terms, Mapping):
            raise InvalidDocument(f"the row has no vector ({TERMS!r})")
        if row.get(MADE_BY) != self._made_by:
            raise InvalidDocument("the row was encoded with other settings than the first one")
        if not all(type(weight) in (int, float) for weight in terms.values()):
            raise InvalidDocument("a weight of the row's vector is not a number")
        ids = [self._id(name) for name in terms]
        unknown = ids.count(None)
        if unknown:
            raise InvalidDocument(
                f"{unknown} of the row's {len(ids)} terms are not in the vocabulary of "
                f"{quoted(self.made_by.model)}"
            )
        pairs = zip(ids, terms.values(), strict=True)
        return SparseVector.from_pairs([(id, weight) for id, weight in pairs if id is not None])[0]

    def _id(self, name: str) -> int | None:
        if self.made_by.key_style == "id":
            return int(name) if name.isascii() and name.isdecimal() and len(name) < 10 else None
        if name not in self._ids:
            if self.vocabulary is None:
                raise ConfigurationError(
                    f"{self._name} holds vectors, whose terms only an encoder knows: hand the "
                    "reader to store.index, and not its documents"
                )
            self._ids[name] = self.vocabulary().token_id(name)
        return self._ids[name]
