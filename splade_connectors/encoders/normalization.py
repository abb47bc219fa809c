"""What a tokenizer makes of a text's characters before it cuts it: found out by trying, and said.

Tokenizers differ in it, nothing of it is added here, and what they leave apart has to be the same
in documents and queries.
"""

from __future__ import annotations

import unicodedata
from dataclasses import dataclass

from tokenizers import Tokenizer


@dataclass(frozen=True, slots=True)
class Normalization:
    """Which spellings are one to a tokenizer.

    Attributes:
        lower_case: "É" is "é".
        accents_removed: "é" is "e".
        composed: "é" as one character is "e" with an accent behind it (NFC and NFD), in Latin
            letters and in Hangul: what the tokenizers library takes from SentencePiece does it for
            the former only.
        wide: full-width letters, ligatures and the like are plain ones (NFKC, NFKD).
    """

    lower_case: bool
    accents_removed: bool
    composed: bool
    wide: bool

    def __str__(self) -> str:
        """A sentence on it, and what to do where forms are left apart."""
        parts = [
            "lower case" if self.lower_case else "case is kept",
            "accents are removed" if self.accents_removed else "accents are kept",
        ]
        if self.composed:
            parts.append(
                "composed and decomposed letters are one"
                + (", and full-width letters and ligatures are plain ones" if self.wide else "")
            )
        else:
            parts.append(
                "composed and decomposed letters may differ: bring documents and queries into "
                "one form (NFC) first"
            )
        return "; ".join(parts)


def normalization_of(tokenizer: Tokenizer) -> Normalization:
    """What the tokenizer's normalizer does, by trying it."""
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
