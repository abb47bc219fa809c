"""One pass over a collection's texts: token document frequencies and a random sample."""

from __future__ import annotations

import random
from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from splade_connectors.encoders.base import SparseEncoder
from splade_connectors.errors import ConfigurationError

Frequencies = NDArray[np.int64]


class Collection:
    """Statistics of a collection, for query weights.

    Args:
        encoder: encoder whose tokens are counted.
        size: maximum number of texts in the sample.
        seed: random seed of the sample.

    Attributes:
        texts: number of non-blank texts.
        frequencies: int64[terms]: number of texts that contain each token.
        sample: uniform random sample of the texts.
    """

    def __init__(self, encoder: SparseEncoder, size: int, seed: int = 0) -> None:
        self._encoder = encoder
        self._size = size
        # Reproducible on purpose; not used for security.
        self._random = random.Random(seed)  # noqa: S311
        self.texts = 0
        self.frequencies: Frequencies = np.zeros(encoder.spec.vocabulary, np.int64)
        self.sample: list[str] = []

    def read(self, texts: Iterable[str]) -> None:
        """Count the tokens of all texts, skipping blank ones.

        Raises:
            ConfigurationError: if there is no non-blank text.
        """
        for text in texts:
            if text.strip():
                self._add(text)
        if not self.texts:
            raise ConfigurationError("the collection has no texts, so there is nothing to count")

    def idf(self) -> NDArray[np.float64]:
        """Return float64[terms]: ln(1 + (N - n + 0.5) / (n + 0.5)) for n of N texts with the token.

        The IDF of Lucene's BM25: above 0 for every token, even one that all texts contain.
        """
        n = self.frequencies
        return np.log1p((self.texts - n + 0.5) / (n + 0.5))

    def _add(self, text: str) -> None:
        own = [at for at in self._encoder.own_terms(text) if at < self.frequencies.size]
        self.frequencies[own] += 1
        self.texts += 1
        # Reservoir sampling, which never holds all texts.
        if len(self.sample) < self._size:
            self.sample.append(text)
        elif (at := self._random.randrange(self.texts)) < self._size:
            self.sample[at] = text
