"""One pass over a collection's texts: document frequencies of tokens, and a sample."""

from __future__ import annotations

import random
from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from splade_connectors.encoders.base import SparseEncoder
from splade_connectors.errors import ConfigurationError

Frequencies = NDArray[np.int64]


class Collection:
    """What query weights need to know of a collection.

    Args:
        encoder: whose tokens are counted.
        size: most texts of the sample.
        seed: of the drawing.

    Attributes:
        texts: number of texts that have words.
        frequencies: int64[terms]: of each token, how many texts have it.
        sample: texts, each as likely as the others.
    """

    def __init__(self, encoder: SparseEncoder, size: int, seed: int = 0) -> None:
        self._encoder = encoder
        self._size = size
        # Repeatable on purpose: nothing depends on its being unguessable.
        self._random = random.Random(seed)  # noqa: S311
        self.texts = 0
        self.frequencies: Frequencies = np.zeros(encoder.spec.vocabulary, np.int64)
        self.sample: list[str] = []

    def read(self, texts: Iterable[str]) -> None:
        """Count the tokens of all texts; those without words are passed over.

        Raises:
            ConfigurationError: when there is no text with words.
        """
        for text in texts:
            if text.strip():
                self._add(text)
        if not self.texts:
            raise ConfigurationError("the collection has no texts: there is nothing to count")

    def idf(self) -> NDArray[np.float64]:
        """float64[terms]: ln(1 + (N - n + 0.5) / (n + 0.5)) of N texts, n of which have the token.

        As BM25 has it in Lucene: above 0 for every token, also for those that all texts have.
        """
        n = self.frequencies
        return np.log1p((self.texts - n + 0.5) / (n + 0.5))

    def _add(self, text: str) -> None:
        own = [at for at in self._encoder.own_terms(text) if at < self.frequencies.size]
        self.frequencies[own] += 1
        self.texts += 1
        # Reservoir sampling: the whole is never held.
        if len(self.sample) < self._size:
            self.sample.append(text)
        elif (at := self._random.randrange(self.texts)) < self._size:
            self.sample[at] = text
