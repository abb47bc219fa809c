"""Checking whether a model knows the language of the queries it is evaluated on."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import islice

from splade_connectors.encoders.base import SparseEncoder

# Number of queries to check.
_LOOKED_AT = 200
# Prefixes that tokenizers add to word pieces or words.
_MARKS = ("##", "▁", "Ġ")
_UNKNOWN = {"[UNK]", "<unk>"}
# The bundled model: English queries have shares up to 0.06 (0.2 if they are codes) and up to 1.7
# pieces per word; French and Spanish from 0.1 with 1.9 pieces, German and Polish from 0.14 with
# 2.7; other scripts from 0.85.
_FOREIGN, _STRANGE, _PIECES = 0.3, 0.08, 1.8


def language_warning(encoder: SparseEncoder, queries: Iterable[str]) -> str | None:
    """Return a warning if queries split into unknown or single-letter pieces; otherwise None.

    Args:
        encoder: encoder whose tokenizer splits the queries.
        queries: query texts; the first 200 are checked.
    """
    pieces = words = odd = 0
    for text in islice(queries, _LOOKED_AT):
        found = encoder.tokens(encoder.own_terms(text))
        pieces += len(found)
        words += len(set(text.split()))
        odd += sum(map(_is_odd, found))
    share = odd / pieces if pieces else 0.0
    in_pieces = pieces / words if words else 0.0
    if share < _FOREIGN and (share < _STRANGE or in_pieces < _PIECES):
        return None
    return (
        f"{encoder.spec.model} splits these queries into {in_pieces:.1f} pieces per word, of which "
        f"{share:.0%} are unknown or single letters; it may not know their language, and a model "
        "that does would find more"
    )


def _is_odd(piece: str) -> bool:
    if piece in _UNKNOWN:
        return True
    for mark in _MARKS:
        piece = piece.removeprefix(mark)
    # Two English words are single letters.
    return len(piece) == 1 and piece.isalpha() and piece.lower() not in ("a", "i")
