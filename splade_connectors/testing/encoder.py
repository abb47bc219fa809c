"""An encoder without a model, for tests of everything except encoding."""

from __future__ import annotations

import re
import zlib
from collections.abc import Iterable, Sequence

from splade_connectors.encoders.base import EncodeStats, SparseEncoder
from splade_connectors.encoders.spec import EncoderSpec
from splade_connectors.options import OnProgress, Progress
from splade_connectors.vectors import SparseBatch, SparseVector

_WORD = re.compile(r"\w+|[^\w\s]")


class HashEncoder(SparseEncoder):
    """Every word is a term and expands to one more: deterministic, fast, and without a model.

    Args:
        model: name in the spec; manifests treat another name as another model.
        vocabulary: number of terms; words with the same hash share a term.
    """

    def __init__(self, model: str = "hash", vocabulary: int = 30_000) -> None:
        self.spec = EncoderSpec(
            model=model,
            revision="1",
            tokenizer="words",
            vocabulary=vocabulary,
            activation="log1p",
            max_length=100_000,
        )

    def encode_documents(
        self,
        texts: Sequence[str],
        *,
        stats: EncodeStats | None = None,
        on_progress: OnProgress | None = None,
    ) -> SparseBatch:
        """Encode documents: one row per text."""
        if stats:
            stats.texts += len(texts)
        if on_progress:
            on_progress(Progress(done=len(texts), total=len(texts)))
        return SparseBatch.from_vectors(self._vector(text) for text in texts)

    def encode_queries(self, texts: Sequence[str]) -> SparseBatch:
        """Encode queries: one row per text."""
        return self.encode_documents(texts)

    def tokens(self, ids: Iterable[int]) -> list[str]:
        """Decimal numbers after a dot, so that feature names need escaping."""
        return [f".{index}" for index in ids]

    def token_id(self, token: str) -> int | None:
        """The inverse of `tokens`."""
        number = token.removeprefix(".")
        known = token.startswith(".") and number.isdecimal()
        return int(number) if known and int(number) < self.spec.vocabulary else None

    def own_terms(self, text: str) -> set[int]:
        """The terms of the words, without their expansions."""
        return {self._term(word) for word in _WORD.findall(text.lower())}

    def _vector(self, text: str) -> SparseVector:
        weights: dict[int, float] = {}
        for word in _WORD.findall(text.lower()):
            term = self._term(word)
            weights[term] = 0.5 + (term % 977) / 500
            weights.setdefault((term * 31 + 7) % self.spec.vocabulary, 0.1 + (term % 61) / 400)
        vector, _ = SparseVector.from_pairs(weights)
        return vector

    def _term(self, word: str) -> int:
        return zlib.crc32(word.encode("utf-8", "replace")) % self.spec.vocabulary
