"""How a tokenizer normalizes characters before splitting a text, found out by trying it.

Tokenizers differ, and this package adds no normalization: spellings that a tokenizer keeps apart
have to be the same in documents and queries.
"""

from __future__ import annotations

import unicodedata
from dataclasses import dataclass

from tokenizers import Tokenizer


@dataclass(frozen=True, slots=True)
class Normalization:
    """Which spellings a tokenizer treats as equal.

    Attributes:
        lower_case: "É" equals "é".
        accents_removed: "é" equals "e".
        composed: "é" as one character equals "e" followed by an accent (NFC and NFD), in Latin
            letters and in Hangul; the normalizer that the tokenizers library takes from
            SentencePiece does this for Latin letters only.
        wide: full-width letters, ligatures and the like equal plain ones (NFKC, NFKD).
    """

    lower_case: bool
    accents_removed: bool
    composed: bool
    wide: bool

    def __str__(self) -> str:
        """A sentence about it, with advice if the tokenizer keeps composed forms apart."""
        parts = [
            "text is lowercased" if self.lower_case else "case is kept",
            "accents are removed" if self.accents_removed else "accents are kept",
        ]
        if self.composed:
            parts.append(
                "composed and decomposed letters are equal"
                + (", and full-width letters and ligatures equal plain ones" if self.wide else "")
            )
        else:
            parts.append(
                "composed and decomposed letters may differ: normalize documents and queries to "
                "one form (NFC) first"
            )
        return "; ".join(parts)


def normalization_of(tokenizer: Tokenizer) -> Normalization:
    """The tokenizer's normalization, found out by trying it."""
    normalizer = tokenizer.normalizer

    def normal(text: str) -> str:
        return str(normalizer.normalize_str(text)) if normalizer else text

    def same(one: str, other: str) -> bool:
        return normal(one) == normal(other)

    return Normalization(
        lower_case=same("É", "é") and same("A", "a"),
        accents_removed=same("é", "e"),
        composed=all(
            same(unicodedata.normalize("NFC", text), unicodedata.normalize("NFD", text))
            for text in ("é", "ü", "Å", "が", "한")
        ),
        wide=same("\uff26\uff49", "Fi") and same("\ufb01", "fi"),
    )
