"""The encoder interface, and everything that is the same for every encoder with a tokenizer."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from splade_connectors.encoders.normalization import Normalization
from splade_connectors.encoders.pickled import Loaded, unpickled
from splade_connectors.encoders.spec import EncoderSpec
from splade_connectors.errors import ConfigurationError
from splade_connectors.options import LongText, OnProgress, Precision
from splade_connectors.vectors import SparseBatch


@dataclass(kw_only=True, slots=True)
class EncodeStats:
    """Counts that an encoder adds to, for reports.

    Attributes:
        texts: texts encoded.
        tokens: tokens encoded, special tokens included, padding not.
        truncated: texts that were longer than `max_length` and lost their end.
        split: texts that were longer and were encoded in passages.
    """

    texts: int = 0
    tokens: int = 0
    truncated: int = 0
    split: int = 0


class SparseEncoder(ABC):
    """Text to sparse vectors. Documents and queries are separate verbs: some models differ."""

    spec: EncoderSpec
    # What load_encoder made it of; None for an encoder of others.
    loaded: Loaded | None = None

    def __reduce_ex__(self, protocol: Any) -> Any:
        """By the name of its model, which is loaded where it is unpickled."""
        if self.loaded is None:
            return super().__reduce_ex__(protocol)
        return unpickled, (self.loaded, self.spec)

    @abstractmethod
    def encode_documents(
        self,
        texts: Sequence[str],
        *,
        stats: EncodeStats | None = None,
        on_progress: OnProgress | None = None,
    ) -> SparseBatch:
        """One row per text, in the order given. `stats` is added to."""

    def check_documents(self) -> None:  # noqa: B027  # most encoders encode both
        """Refuse documents where this encoder is for queries only, before any work is done.

        Raises:
            ConfigurationError: saying which encoder takes documents.
        """

    @abstractmethod
    def encode_queries(self, texts: Sequence[str]) -> SparseBatch:
        """One row per text, in the order given."""

    @abstractmethod
    def tokens(self, ids: Iterable[int]) -> list[str]:
        """The vocabulary's spelling of these term ids."""

    def readable(self, ids: Iterable[int]) -> list[str]:
        """These terms for people: without the marks of vocabularies, "▁" and "##".

        Several terms may read alike. An encoder that knows no better gives its tokens.
        """
        return self.tokens(ids)

    @property
    def normalization(self) -> Normalization | None:
        """Which spellings are one to its tokenizer; None if that is not known."""
        return None

    @abstractmethod
    def token_id(self, token: str) -> int | None:
        """The id of a token; None if the vocabulary does not have it."""

    @abstractmethod
    def own_terms(self, text: str) -> set[int]:
        """The term ids that the text itself has; any other term of its vector was expanded to."""

    def fitted(
        self,
        max_length: int,
        long_text: LongText,
        passage_overlap: int | None = None,
        precision: Precision | None = None,
    ) -> SparseEncoder:
        """This encoder for an index whose texts were cut so; what was asked for explicitly stays.

        An encoder that cuts texts in its own way is returned as it is.

        Args:
            max_length: most tokens of a text.
            long_text: what became of longer ones.
            passage_overlap: tokens shared by neighbouring passages; None if there are none.
            precision: of the index's vectors; None if it is this encoder's.

        Raises:
            MissingDependency: when the precision needs what is not installed.
        """
        return self


class EncodesQueries(SparseEncoder):
    """An encoder of queries alone. A subclass says in `_refusal` which encoder takes documents."""

    _refusal: str

    def check_documents(self) -> None:
        """Refuse them. As `SparseEncoder.check_documents`."""
        raise ConfigurationError(self._refusal)

    def encode_documents(
        self,
        texts: Sequence[str],
        *,
        stats: EncodeStats | None = None,
        on_progress: OnProgress | None = None,
    ) -> SparseBatch:
        """Refused: what a query's terms weigh says nothing of a document.

        Raises:
            ConfigurationError: saying which encoder takes documents.
        """
        raise ConfigurationError(self._refusal)
