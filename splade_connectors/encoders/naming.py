"""The names of terms, the same for every encoder with a tokenizer."""

from __future__ import annotations

from collections.abc import Iterable
from functools import cached_property

from splade_connectors.encoders.base import SparseEncoder
from splade_connectors.encoders.normalization import Normalization
from splade_connectors.encoders.text_tokens import MOST_CHARACTERS, TextTokens


class NamingEncoder(SparseEncoder):
    """An encoder whose terms are the tokens of a tokenizer, which a subclass keeps as `_texts`."""

    _texts: TextTokens

    def tokens(self, ids: Iterable[int]) -> list[str]:
        """The vocabulary's spelling, never the decoder's, which merges ids."""
        # Heads are padded beyond the vocabulary for the hardware: those terms have no spelling.
        return [self._texts.token(int(index)) or f"[{index}]" for index in ids]

    def readable(self, ids: Iterable[int]) -> list[str]:
        """As `SparseEncoder.readable`."""
        return [self._texts.readable(token) for token in self.tokens(ids)]

    @property
    def normalization(self) -> Normalization:
        """As `SparseEncoder.normalization`."""
        return self._texts.normalization

    def token_id(self, token: str) -> int | None:
        """The id of a token, or of the "[ID]" by which `tokens` names a term without one."""
        known = self._vocabulary.get(token)
        return self._unnamed(token) if known is None else known

    def _unnamed(self, token: str) -> int | None:
        number = token[1:-1]
        if token != f"[{number}]" or not (number.isascii() and number.isdecimal()):
            return None
        at = int(number)
        named = at >= self.spec.vocabulary or self._texts.token(at) is not None
        return None if named or str(at) != number else at

    def own_terms(self, text: str) -> set[int]:
        """The ids of the text's tokens, up to the length of a document."""
        return set(self._texts.all_of(text, MOST_CHARACTERS).tolist())

    @cached_property
    def _vocabulary(self) -> dict[str, int]:
        return self._texts.vocabulary()
