"""Inference-free queries: a query's vector is its tokens, each with a weight from a table."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from splade_connectors.encoders.base import EncodesQueries
from splade_connectors.encoders.naming import NamingEncoder
from splade_connectors.encoders.query_cache import QueryCache
from splade_connectors.encoders.spec import EncoderSpec
from splade_connectors.encoders.static_weights import StaticWeights
from splade_connectors.encoders.text_tokens import (
    MOST_CHARACTERS_OF_A_QUERY,
    Cut,
    TextTokens,
)
from splade_connectors.encoders.tokenizer_settings import FolderTokenizer
from splade_connectors.encoders.tokenizing import refuse_one_text
from splade_connectors.options import EncodeOptions, PruneOptions
from splade_connectors.vectors import SparseBatch, SparseVector


class InferenceFreeEncoder(EncodesQueries, NamingEncoder):
    """The query side of an inference-free model: a tokenizer and a weight for each of its tokens.

    Needs only numpy and tokenizers. Documents need the other side.

    Args:
        tokenizer: of the query side.
        weights: float32[terms], all >= 0.
        spec: of the model, as far as the query side knows it.
        options: only `query_cache` is used.
        refusal: the message if documents are encoded.
    """

    def __init__(
        self,
        tokenizer: FolderTokenizer,
        weights: StaticWeights,
        spec: EncoderSpec,
        options: EncodeOptions,
        refusal: str,
    ) -> None:
        self.spec = spec
        self._weights = weights
        self._texts = TextTokens(tokenizer)
        self._queries = QueryCache(options.query_cache)
        self._refusal = refusal
        self._cut = Cut(
            max_length=spec.query_max_length or spec.max_length,
            side=spec.truncation_side,
            overlap=None,
            most_characters=MOST_CHARACTERS_OF_A_QUERY,
        )
        self._texts.check(self._cut)

    def encode_queries(self, texts: Sequence[str]) -> SparseBatch:
        """Encode queries, as `SparseEncoder.encode_queries`."""
        refuse_one_text(texts)
        return self._queries.encode(texts, self._encode)

    def _encode(self, texts: Sequence[str]) -> SparseBatch:
        rows = [self._terms(text) for text in texts]
        if len(rows) == 1:
            # Services send one query at a time: batch overhead would be visible beside tokenizing.
            (row,) = rows
            return SparseBatch.of_checked(np.array([0, len(row)]), row.indices, row.values)
        return SparseBatch.from_vectors(rows)

    def _terms(self, text: str) -> SparseVector:
        ids = self._texts.without_special(self.spec.query_prompt, text, self._cut)
        indices = np.array(sorted(set(ids)), np.uint32)
        if indices.size and indices[-1] >= self._weights.size:
            # A vocabulary with gaps: a token without a weight is not a query term.
            indices = indices[indices < self._weights.size]
        values = self._weights[indices]
        if not values.all():
            kept = np.flatnonzero(values)
            indices, values = indices[kept], values[kept]
        vector = SparseVector.of_checked(indices, values)
        limit = self.spec.max_active_dims
        return vector if limit is None else vector.prune(PruneOptions(top_k=limit))
