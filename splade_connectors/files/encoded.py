"""Precomputed rows, as `encode` and `export` write them and `index` reads them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

from splade_connectors.errors import ConfigurationError, InvalidDocument, ManifestMismatch
from splade_connectors.manifest import IndexManifest
from splade_connectors.shown import counted, quoted
from splade_connectors.vectors import SparseVector

ID, TERMS, DENSE, PAYLOAD, MADE_BY = "id", "terms", "dense", "payload", "made_by"


class Vocabulary(Protocol):
    """The part of an encoder needed to read terms."""

    def token_id(self, token: str) -> int | None:
        """Return the id of a token; None if the vocabulary does not contain it."""


def encoded_row(
    id: Any, terms: Mapping[str, float], made_by: Mapping[str, Any], payload: Any = None
) -> dict[str, Any]:
    """Return one row as `encode` writes it.

    Args:
        id: document id.
        terms: token or term id -> weight.
        made_by: settings, as of `IndexManifest.to_json`, including how terms are named.
        payload: fields of the document; None omits them.
    """
    row = {ID: id, TERMS: terms, MADE_BY: made_by}
    return row if payload is None else {**row, PAYLOAD: payload}


def exported_row(
    id: Any,
    terms: Mapping[str, float] | None,
    made_by: Mapping[str, Any] | None,
    dense: Mapping[str, Sequence[float]],
    payload: Mapping[str, Any],
) -> dict[str, Any]:
    """Return one row as `export` writes it with vectors: that of `encode`, with dense vectors.

    Args:
        id: document id.
        terms: token -> weight; None for a document that was never encoded.
        made_by: settings, as of `IndexManifest.to_json`; None omits them.
        dense: name -> dense vector; an unnamed one has the name ''.
        payload: fields of the document. Nested, because they may have any name.
    """
    row = {ID: id, TERMS: terms} | ({} if made_by is None else {MADE_BY: made_by})
    if dense:
        row[DENSE] = dense[""] if dense.keys() == {""} else dict(dense)
    return {**row, PAYLOAD: payload}


def is_encoded(row: Mapping[str, Any]) -> bool:
    """Return whether `encode` wrote a row, or `export` with vectors."""
    terms = row.get(TERMS, "")
    return isinstance(terms, Mapping | None) and isinstance(row.get(MADE_BY), Mapping)


class Encoded:
    """Reads the rows of a file that `encode` or `export --vectors` wrote.

    Args:
        first: first row.
        name: file name.

    Attributes:
        made_by: settings that all rows were encoded with.
        vocabulary: returns the encoder's vocabulary; None until the target store is known.

    Raises:
        ConfigurationError: if the file does not record its settings.
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
                f"{name} does not record the settings that it was encoded with ({MADE_BY!r}); "
                "encode it again"
            ) from error

    def vector(self, row: Mapping[str, Any]) -> SparseVector | None:
        """Return the vector of a row; None if its terms are null: the text is encoded then.

        Raises:
            InvalidDocument: if the row has no valid vector, or one with other settings.
        """
        terms = row.get(TERMS, "")
        if not isinstance(terms, Mapping | None):
            raise InvalidDocument(f"the row has no vector ({TERMS!r})")
        if row.get(MADE_BY) != self._made_by:
            raise InvalidDocument("the row was encoded with different settings from the first row")
        return None if terms is None else self._vector(terms)

    def _vector(self, terms: Mapping[str, Any]) -> SparseVector:
        if not all(type(weight) in (int, float) for weight in terms.values()):
            raise InvalidDocument("a weight of the row's vector is not a number")
        ids = [self._id(name) for name in terms]
        unknown = ids.count(None)
        if unknown:
            raise InvalidDocument(
                f"the vocabulary of {quoted(self.made_by.model)} lacks {unknown:,} of the row's "
                f"{counted(len(ids), 'term')}"
            )
        pairs = zip(ids, terms.values(), strict=True)
        return SparseVector.from_pairs([(id, weight) for id, weight in pairs if id is not None])[0]

    def _id(self, name: str) -> int | None:
        if self.made_by.key_style == "id":
            return int(name) if name.isascii() and name.isdecimal() and len(name) < 10 else None
        if name not in self._ids:
            if self.vocabulary is None:
                raise ConfigurationError(
                    f"{self._name} contains vectors, whose terms need an encoder to read; pass the "
                    "reader itself to store.index, not its documents"
                )
            self._ids[name] = self.vocabulary().token_id(name)
        return self._ids[name]
