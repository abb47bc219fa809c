"""The base of encoders with a tokenizer and a forward pass: texts to tokens to batches."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from splade_connectors.encoders.base import EncodeStats, SparseEncoder
from splade_connectors.encoders.batching import Tokens, ahead, pad, plan_batches, slices_by_size
from splade_connectors.encoders.naming import NamingEncoder
from splade_connectors.encoders.query_cache import QueryCache
from splade_connectors.encoders.spec import EncoderSpec
from splade_connectors.encoders.text_tokens import (
    MOST_CHARACTERS,
    MOST_CHARACTERS_IN_PASSAGES,
    MOST_CHARACTERS_OF_A_QUERY,
    Cut,
    TextTokens,
    not_a_text,
)
from splade_connectors.encoders.tokenizer_settings import FolderTokenizer
from splade_connectors.errors import ConfigurationError
from splade_connectors.options import (
    EncodeOptions,
    LongText,
    OnProgress,
    Precision,
    Progress,
    PruneOptions,
)
from splade_connectors.vectors import SparseBatch, SparseVector

# Characters tokenized at a time: bounds the tokenizer's objects, which are far larger than the ids.
_TOKENIZER_CHARACTERS = 250_000


class TokenizingEncoder(NamingEncoder):
    """An encoder with a Hugging Face tokenizer and a forward pass over token ids.

    A subclass implements `forward`; this class handles batches, order, passages, counts, progress.

    Args:
        tokenizer: of the model folder.
        spec: what the model computes.
        options: how texts become vectors.
        default_batch_tokens: tokens in one forward pass, unless the options set it.

    Raises:
        ModelError: if the tokenizer does not fit the model.
        ConfigurationError: if passages would overlap completely.
    """

    def __init__(
        self,
        tokenizer: FolderTokenizer,
        spec: EncoderSpec,
        options: EncodeOptions,
        default_batch_tokens: int,
    ) -> None:
        self.spec = spec
        self.options = options
        self._max_batch_tokens = options.max_batch_tokens or default_batch_tokens
        self._texts = TextTokens(tokenizer)
        self._padding_id = tokenizer.padding_id
        self._queries = QueryCache(options.query_cache)
        # Makes this model in another precision; None if the caller chose the precision.
        self.in_precision: Callable[[Precision], SparseEncoder] | None = None
        self._cuts(spec)

    @abstractmethod
    def forward(self, input_ids: Tokens, attention_mask: Tokens) -> NDArray[np.float32]:
        """Pooled term weights of one batch.

        Args:
            input_ids: int64[batch, tokens].
            attention_mask: int64[batch, tokens], 1 on tokens and 0 on padding.

        Returns:
            float32[batch, vocabulary], all >= 0.
        """

    def encode_documents(
        self,
        texts: Sequence[str],
        *,
        stats: EncodeStats | None = None,
        on_progress: OnProgress | None = None,
    ) -> SparseBatch:
        """Encode documents, as `SparseEncoder.encode_documents`."""
        cut, _ = self._cuts(self.spec)
        prompt = self.spec.document_prompt
        return self._encode(texts, prompt, cut, stats or EncodeStats(), on_progress)

    def encode_queries(self, texts: Sequence[str]) -> SparseBatch:
        """Encode queries, as `SparseEncoder.encode_queries`."""
        refuse_one_text(texts)
        return self._queries.encode(texts, self._encode_queries)

    def _encode_queries(self, texts: Sequence[str]) -> SparseBatch:
        _, cut = self._cuts(self.spec)
        return self._encode(texts, self.spec.query_prompt, cut, EncodeStats(), None)

    def fitted(
        self,
        max_length: int,
        long_text: LongText,
        passage_overlap: int | None = None,
        precision: Precision | None = None,
    ) -> SparseEncoder:
        """An encoder that shares this model, as `SparseEncoder.fitted`."""
        if precision not in (None, self.spec.precision) and self.in_precision:
            other = self.in_precision(precision)
            other.loaded = self.loaded
            return other.fitted(max_length, long_text, passage_overlap)
        if passage_overlap is None or self.options.passage_overlap is not None:
            passage_overlap = self.spec.passage_overlap
        spec = replace(
            self.spec,
            max_length=self.spec.max_length if self.options.max_length else max_length,
            long_text=self.options.long_text or long_text,
            passage_overlap=passage_overlap,
        )
        if spec == self.spec:
            return self
        # Not copy.copy, which would pickle, and so load the model again.
        same_model = object.__new__(type(self))
        vars(same_model).update(vars(self))
        same_model.spec = spec
        same_model._queries = QueryCache(self.options.query_cache)
        self._cuts(spec)
        return same_model

    def _cuts(self, spec: EncoderSpec) -> tuple[Cut, Cut]:
        """How documents and queries are cut."""
        passages = spec.long_text == "passages"
        document = Cut(
            max_length=spec.max_length,
            side=spec.truncation_side,
            overlap=spec.passage_overlap if passages else None,
            most_characters=MOST_CHARACTERS_IN_PASSAGES if passages else MOST_CHARACTERS,
        )
        query = replace(
            document,
            max_length=spec.query_max_length or spec.max_length,
            most_characters=MOST_CHARACTERS_OF_A_QUERY,
        )
        for cut in (document, query):
            self._texts.check(cut)
        return document, query

    def _encode(
        self,
        texts: Sequence[str],
        prompt: str,
        cut: Cut,
        stats: EncodeStats,
        on_progress: OnProgress | None,
    ) -> SparseBatch:
        refuse_one_text(texts)
        rows: list[SparseVector] = []
        # Only this much of each text is tokenized first.
        sizes = [min(_length(text), cut.first_look) for text in texts]
        parts = list(slices_by_size(sizes, _TOKENIZER_CHARACTERS))
        tokenized = ahead(lambda part: self._texts.passages(texts[part], prompt, cut, stats), parts)
        for part, (passages, owners) in zip(parts, tokenized, strict=True):
            done = len(rows)

            def report(encoded: int, done: int = done) -> None:
                if on_progress:
                    on_progress(Progress(done=done + encoded, total=len(texts)))

            rows += self._forward_all(passages, owners, part.stop - part.start, report)
        limit = self.spec.max_active_dims
        if limit is not None:
            rows = [vector.prune(PruneOptions(top_k=limit)) for vector in rows]
        return SparseBatch.from_vectors(rows)

    def _forward_all(
        self,
        passages: list[Tokens],
        owners: list[int],
        texts: int,
        report: Callable[[int], None],
    ) -> list[SparseVector]:
        found: list[SparseVector] = [SparseVector.empty()] * texts
        started: set[int] = set()
        for batch in self._batches([len(passage) for passage in passages]):
            vectors = self._vectors([passages[position] for position in batch])
            for position, vector in zip(batch, vectors, strict=True):
                owner = owners[position]
                found[owner] = _maximum(found[owner], vector) if owner in started else vector
                started.add(owner)
            report(len(started))
        return found

    def _batches(self, lengths: Sequence[int]) -> list[list[int]]:
        """Positions of the passages of each batch."""
        return plan_batches(
            lengths, max_tokens=self._max_batch_tokens, max_texts=self.options.batch_size
        )

    def _vectors(self, passages: Sequence[Tokens]) -> SparseBatch:
        """The vectors of one batch. Engines without padding override this."""
        return SparseBatch.from_dense(self.forward(*pad(passages, self._padding_id)))


def _maximum(left: SparseVector, right: SparseVector) -> SparseVector:
    """The larger weight of each term."""
    indices = np.union1d(left.indices, right.indices)
    values = np.zeros(indices.size, np.float32)
    for vector in (left, right):
        at = np.searchsorted(indices, vector.indices)
        values[at] = np.maximum(values[at], vector.values)
    return SparseVector(indices, values)


def refuse_one_text(texts: Sequence[str]) -> None:
    """Refuse a string in place of a list of strings.

    Raises:
        ConfigurationError: if it is a string; says how to pass one text.
    """
    if isinstance(texts, str):
        raise ConfigurationError("expected a list of texts, got one string: pass [text]")


def _length(text: str) -> int:
    if not isinstance(text, str):
        raise ConfigurationError(not_a_text(text))
    return len(text)
