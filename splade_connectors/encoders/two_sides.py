"""Encoders with two sides: queries are encoded differently from documents."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace

from splade_connectors.encoders.base import EncodesQueries, EncodeStats, SparseEncoder
from splade_connectors.encoders.normalization import Normalization
from splade_connectors.encoders.spec import EncoderSpec
from splade_connectors.options import LongText, OnProgress, Precision
from splade_connectors.vectors import SparseBatch


class _NamedBy(SparseEncoder):
    """An encoder that has the terms of another encoder.

    Args:
        names: the encoder that names the terms.
    """

    def __init__(self, names: SparseEncoder) -> None:
        self._names = names

    def tokens(self, ids: Iterable[int]) -> list[str]:
        """The vocabulary's spelling."""
        return self._names.tokens(ids)

    def readable(self, ids: Iterable[int]) -> list[str]:
        """As `SparseEncoder.readable`."""
        return self._names.readable(ids)

    @property
    def normalization(self) -> Normalization | None:
        """As `SparseEncoder.normalization`."""
        return self._names.normalization

    def token_id(self, token: str) -> int | None:
        """The id of a token."""
        return self._names.token_id(token)

    def own_terms(self, text: str) -> set[int]:
        """The ids of the text's tokens."""
        return self._names.own_terms(text)


class TwoSidedEncoder(_NamedBy):
    """Encodes documents with one encoder and queries with another over the same vocabulary.

    Args:
        queries: encodes queries.
        documents: encodes documents and names terms; its spec becomes the spec of both.
    """

    def __init__(self, queries: SparseEncoder, documents: SparseEncoder) -> None:
        super().__init__(documents)
        self._queries = queries
        self._documents = documents
        self.spec = replace(
            documents.spec,
            query_max_length=queries.spec.query_max_length or queries.spec.max_length,
            query_prompt=queries.spec.query_prompt,
            query_side=queries.spec.query_side,
        )

    def encode_documents(
        self,
        texts: Sequence[str],
        *,
        stats: EncodeStats | None = None,
        on_progress: OnProgress | None = None,
    ) -> SparseBatch:
        """Encode documents with their side."""
        return self._documents.encode_documents(texts, stats=stats, on_progress=on_progress)

    def encode_queries(self, texts: Sequence[str]) -> SparseBatch:
        """Encode queries with their side."""
        return self._queries.encode_queries(texts)

    def fitted(
        self,
        max_length: int,
        long_text: LongText,
        passage_overlap: int | None = None,
        precision: Precision | None = None,
    ) -> SparseEncoder:
        """As `SparseEncoder.fitted`, for documents; queries stay."""
        documents = self._documents.fitted(max_length, long_text, passage_overlap, precision)
        if documents is self._documents:
            return self
        fitted = TwoSidedEncoder(self._queries, documents)
        fitted.loaded = self.loaded
        return fitted


class QueriesOnly(EncodesQueries, _NamedBy):
    """Restricts an encoder to queries.

    Args:
        encoder: encodes the queries.
        refusal: the message if documents are encoded.
        spec: of the queries; None takes the encoder's.
    """

    def __init__(
        self, encoder: SparseEncoder, refusal: str, spec: EncoderSpec | None = None
    ) -> None:
        super().__init__(encoder)
        self._encoder = encoder
        self._refusal = refusal
        self._own_spec = spec
        self.spec = spec or encoder.spec

    def encode_queries(self, texts: Sequence[str]) -> SparseBatch:
        """Encode queries with the encoder."""
        return self._encoder.encode_queries(texts)

    def fitted(
        self,
        max_length: int,
        long_text: LongText,
        passage_overlap: int | None = None,
        precision: Precision | None = None,
    ) -> SparseEncoder:
        """As `SparseEncoder.fitted`, unless these queries have a separate side."""
        if self._own_spec is not None:
            return self
        encoder = self._encoder.fitted(max_length, long_text, passage_overlap, precision)
        if encoder is self._encoder:
            return self
        fitted = QueriesOnly(encoder, self._refusal)
        fitted.loaded = self.loaded
        return fitted
