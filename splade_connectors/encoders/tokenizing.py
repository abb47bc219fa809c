"""What every encoder with a tokenizer does: texts to tokens to batches."""

from __future__ import annotations

import copy
from abc import abstractmethod
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from tokenizers import Tokenizer

from splade_connectors.encoders.base import EncodeStats, SparseEncoder
from splade_connectors.encoders.batching import Tokens, ahead, pad, plan_batches, slices_by_size
from splade_connectors.encoders.query_cache import QueryCache
from splade_connectors.encoders.spec import EncoderSpec
from splade_connectors.errors import ConfigurationError, ModelError
from splade_connectors.options import EncodeOptions, LongText, OnProgress, Precision, Progress
from splade_connectors.vectors import SparseBatch, SparseVector

# Tokenized at a time: bounds the tokenizer's own objects, which weigh far more than the ids.
_TOKENIZER_CHARACTERS = 250_000


class TokenizingEncoder(SparseEncoder):
    """An encoder with a Hugging Face tokenizer and a forward pass over token ids.

    A subclass implements `forward`; batching, order, passages, counts and progress are here.

    Args:
        folder: the model folder; its tokenizer.json is read.
        spec: what the model computes.
        options: how texts become vectors.
        default_batch_tokens: tokens in one forward pass unless the options say otherwise.

    Raises:
        ModelError: when the tokenizer cannot be read.
    """

    def __init__(
        self, folder: Path, spec: EncoderSpec, options: EncodeOptions, default_batch_tokens: int
    ) -> None:
        self.spec = spec
        self.options = options
        self._folder = folder
        self._max_batch_tokens = options.max_batch_tokens or default_batch_tokens
        self._queries = QueryCache(options.query_cache)
        # Gives this model in another precision; None where the caller asked for this one.
        self.in_precision: Callable[[Precision], SparseEncoder] | None = None
        self._tokenizer = _load_tokenizer(folder, spec)
        padding = self._tokenizer.padding
        self._padding_id = int(padding["pad_id"]) if padding else 0
        self._tokenizer.no_padding()

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
        """One row per text. As `SparseEncoder.encode_documents`."""
        return self._encode(texts, stats or EncodeStats(), on_progress)

    def encode_queries(self, texts: Sequence[str]) -> SparseBatch:
        """One row per text. As `SparseEncoder.encode_queries`."""
        _refuse_one_text(texts)
        return self._queries.encode(texts, self._encode_queries)

    def _encode_queries(self, texts: Sequence[str]) -> SparseBatch:
        return self._encode(texts, EncodeStats(), None)

    def tokens(self, ids: Iterable[int]) -> list[str]:
        """The vocabulary's spelling, never the decoder's, which merges ids."""
        return [self._tokenizer.id_to_token(int(index)) or f"[{index}]" for index in ids]

    def token_id(self, token: str) -> int | None:
        """The id of a token."""
        return self._vocabulary.get(token)

    def own_terms(self, text: str) -> set[int]:
        """Ids of the text's tokens, cut off nowhere."""
        encodings = self._tokenizer.encode_batch_fast([_clean(text)], add_special_tokens=False)
        return {index for part in [encodings[0], *encodings[0].overflowing] for index in part.ids}

    def fitted(
        self,
        max_length: int,
        long_text: LongText,
        passage_overlap: int | None = None,
        precision: Precision | None = None,
    ) -> SparseEncoder:
        """Another one over the same model. As `SparseEncoder.fitted`."""
        if precision not in (None, self.spec.precision) and self.in_precision:
            return self.in_precision(precision).fitted(max_length, long_text, passage_overlap)
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
        other = copy.copy(self)
        other.spec = spec
        other._queries = QueryCache(self.options.query_cache)
        other._tokenizer = _load_tokenizer(self._folder, spec)
        other._tokenizer.no_padding()
        return other

    @cached_property
    def _vocabulary(self) -> dict[str, int]:
        return self._tokenizer.get_vocab(with_added_tokens=True)

    def _encode(
        self, texts: Sequence[str], stats: EncodeStats, on_progress: OnProgress | None
    ) -> SparseBatch:
        _refuse_one_text(texts)
        rows: list[SparseVector] = []
        cleaned = [_clean(text) for text in texts]
        sizes = [len(text) for text in cleaned]
        parts = list(slices_by_size(sizes, _TOKENIZER_CHARACTERS))
        tokenized = ahead(lambda part: self._tokenize(cleaned[part], stats), parts)
        for part, (passages, owners) in zip(parts, tokenized, strict=True):
            done = len(rows)

            def report(encoded: int, done: int = done) -> None:
                if on_progress:
                    on_progress(Progress(done=done + encoded, total=len(texts)))

            rows += self._forward_all(passages, owners, part.stop - part.start, report)
        return SparseBatch.from_vectors(rows)

    def _tokenize(self, texts: Sequence[str], stats: EncodeStats) -> tuple[list[Tokens], list[int]]:
        """Token ids of every passage, and the text that each belongs to."""
        passages: list[Tokens] = []
        owners: list[int] = []
        for owner, encoding in enumerate(self._tokenizer.encode_batch_fast(texts)):
            parts = [encoding]
            if encoding.overflowing and self.spec.long_text == "passages":
                parts += encoding.overflowing
                stats.split += 1
            elif encoding.overflowing:
                stats.truncated += 1
            passages += [np.asarray(part.ids, np.int64) for part in parts]
            owners += [owner] * len(parts)
        stats.texts += len(texts)
        stats.tokens += sum(len(passage) for passage in passages)
        return passages, owners

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
        """Positions of the passages that are encoded together."""
        return plan_batches(
            lengths, max_tokens=self._max_batch_tokens, max_texts=self.options.batch_size
        )

    def _vectors(self, passages: Sequence[Tokens]) -> SparseBatch:
        """The vectors of one batch. An engine that needs no padding has its own."""
        return SparseBatch.from_dense(self.forward(*pad(passages, self._padding_id)))


def _maximum(left: SparseVector, right: SparseVector) -> SparseVector:
    """Term by term the larger weight."""
    indices = np.union1d(left.indices, right.indices)
    values = np.zeros(indices.size, np.float32)
    for vector in (left, right):
        at = np.searchsorted(indices, vector.indices)
        values[at] = np.maximum(values[at], vector.values)
    return SparseVector(indices, values)


def _refuse_one_text(texts: Sequence[str]) -> None:
    if isinstance(texts, str):
        raise ConfigurationError("expected a list of texts, got one string: pass [text]")


def _clean(text: str) -> str:
    """The text as valid Unicode: lone surrogates, which no tokenizer takes, become "?"."""
    if not isinstance(text, str):
        raise ConfigurationError(f"a text to encode must be a string, not {type(text).__name__}")
    return text.encode("utf-8", "replace").decode("utf-8")


def _load_tokenizer(folder: Path, spec: EncoderSpec) -> Tokenizer:
    path = folder / "tokenizer.json"
    try:
        tokenizer = Tokenizer.from_file(str(path))
    except Exception as error:  # the library raises bare Exception for a file it cannot read
        raise ModelError(f"the tokenizer {path} cannot be read: {error}") from error
    special = tokenizer.num_special_tokens_to_add(is_pair=False)
    room = spec.max_length - special
    stride = spec.passage_overlap if spec.long_text == "passages" else 0
    if stride >= room:
        raise ConfigurationError(
            f"passage_overlap={stride} must be less than the {room} tokens of a passage "
            f"(max_length {spec.max_length} less {special} special tokens)"
        )
    tokenizer.enable_truncation(max_length=spec.max_length, stride=stride)
    return tokenizer
