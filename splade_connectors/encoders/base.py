"""The encoder interface: what every sparse encoder has in common."""

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
    """Running counts that an encoder updates, for reports.

    Attributes:
        texts: texts encoded.
        tokens: tokens encoded, including special tokens but not padding.
        truncated: texts longer than `max_length` that were truncated.
        split: texts longer than `max_length` that were encoded in passages.
    """

    texts: int = 0
    tokens: int = 0
    truncated: int = 0
    split: int = 0


class SparseEncoder(ABC):
    """Text to sparse vectors. Documents and queries have separate methods: some models differ."""

    spec: EncoderSpec
    # The arguments of load_encoder; None if the encoder was made in another way.
    loaded: Loaded | None = None

    def __reduce_ex__(self, protocol: Any) -> Any:
        """Pickle by the name of the model, which is loaded again when unpickled."""
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
        """Encode documents: one row per text, in the given order; adds to `stats`."""

    def check_documents(self) -> None:  # noqa: B027  # most encoders encode both
        """Refuse documents before any work is done, if this encoder is for queries only.

        Raises:
            ConfigurationError: if it is for queries only; names the encoder for documents.
        """

    @abstractmethod
    def encode_queries(self, texts: Sequence[str]) -> SparseBatch:
        """Encode queries: one row per text, in the given order."""

    @abstractmethod
    def tokens(self, ids: Iterable[int]) -> list[str]:
        """The vocabulary's spelling of these term ids."""

    def readable(self, ids: Iterable[int]) -> list[str]:
        """These terms in readable form, without vocabulary marks such as "▁" and "##".

        Several terms may read alike. By default these are the tokens.
        """
        return self.tokens(ids)

    @property
    def normalization(self) -> Normalization | None:
        """Which spellings the tokenizer treats as equal; None if unknown."""
        return None

    @abstractmethod
    def token_id(self, token: str) -> int | None:
        """The id of a token; None if the vocabulary lacks it."""

    @abstractmethod
    def own_terms(self, text: str) -> set[int]:
        """The ids of the text's own terms; any other term of its vector comes from expansion."""

    def fitted(
        self,
        max_length: int,
        long_text: LongText,
        passage_overlap: int | None = None,
        precision: Precision | None = None,
    ) -> SparseEncoder:
        """This encoder with the settings of an index; settings given explicitly stay.

        An encoder that ignores these settings returns itself.

        Args:
            max_length: maximum number of tokens of a text.
            long_text: how longer texts were treated.
            passage_overlap: tokens shared by neighbouring passages; None without passages.
            precision: of the index's vectors; None for this encoder's.

        Raises:
            MissingDependency: if the precision needs a package that is not installed.
        """
        return self


class EncodesQueries(SparseEncoder):
    """An encoder for queries only. A subclass says in `_refusal` which encoder takes documents."""

    _refusal: str

    def check_documents(self) -> None:
        """Refuse documents, as `SparseEncoder.check_documents`."""
        raise ConfigurationError(self._refusal)

    def encode_documents(
        self,
        texts: Sequence[str],
        *,
        stats: EncodeStats | None = None,
        on_progress: OnProgress | None = None,
    ) -> SparseBatch:
        """Refuse documents: weights of query terms do not fit them.

        Raises:
            ConfigurationError: always; names the encoder for documents.
        """
        raise ConfigurationError(self._refusal)
