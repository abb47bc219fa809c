"""The int8 encoder: whole models on `splade_kernels`, on the CPU."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from splade_connectors.encoders.batching import Tokens, concatenated, consecutive
from splade_connectors.encoders.kernels import require_kernels
from splade_connectors.encoders.spec import EncoderSpec
from splade_connectors.encoders.tokenizer_settings import FolderTokenizer
from splade_connectors.encoders.tokenizing import TokenizingEncoder
from splade_connectors.errors import ModelError
from splade_connectors.options import EncodeOptions
from splade_connectors.vectors import SparseBatch

# The kernels split a batch to fit the caches themselves. This size keeps all threads busy to the
# end of a batch, and still allows progress between batches.
_BATCH_TOKENS = 8192


class Int8Encoder(TokenizingEncoder):
    """Runs a model whose weights are 8-bit integers.

    Texts are neither padded nor sorted: a text's vector is bit-identical alone, in any batch and
    with any number of threads. No array of texts x vocabulary exists.

    Args:
        tokenizer: of the model folder.
        weights: the file that `splade_kernels.write_model` wrote.
        spec: what the model computes.
        options: how texts become vectors.

    Raises:
        MissingDependency: if splade_kernels is not installed.
        ModelError: if the weights cannot be loaded, or do not fit the spec.
    """

    def __init__(
        self, tokenizer: FolderTokenizer, weights: Path, spec: EncoderSpec, options: EncodeOptions
    ) -> None:
        super().__init__(tokenizer, replace(spec, precision="int8"), options, _BATCH_TOKENS)
        self._model = load_model(weights, spec)
        self._logs = 2 if spec.activation == "log1p_log1p" else 1

    @property
    def products_per_token(self) -> int:
        """Number of int8 products per token."""
        return int(self._model.products_per_token)

    def forward(self, input_ids: Tokens, attention_mask: Tokens) -> NDArray[np.float32]:
        """Run the model on padded rows, as `TokenizingEncoder.forward`."""
        rows = [ids[mask > 0] for ids, mask in zip(input_ids, attention_mask, strict=True)]
        logits: NDArray[np.float32] = self._model.encode(
            *concatenated(rows), threads=self.options.threads
        )
        weights = np.maximum(logits, 0)
        for _ in range(self._logs):
            weights = np.log1p(weights)
        return weights

    def _batches(self, lengths: Sequence[int]) -> list[list[int]]:
        return consecutive(
            lengths, max_tokens=self._max_batch_tokens, max_texts=self.options.batch_size
        )

    def _vectors(self, passages: Sequence[Tokens]) -> SparseBatch:
        return SparseBatch(
            *self._model.encode_sparse(
                *concatenated(passages), threads=self.options.threads, logs=self._logs
            )
        )


def load_model(weights: Path, spec: EncoderSpec) -> Any:
    """The kernels' model in a file.

    Raises:
        MissingDependency: if splade_kernels is not installed.
        ModelError: if the file cannot be read, or has another vocabulary than the spec.
    """
    module = require_kernels("the int8 encoder")
    try:
        model = module.Model.load(weights)
    except (ValueError, OSError) as error:
        raise ModelError(
            f"the int8 weights {weights} cannot be loaded; they may be damaged, or from another "
            f"version of splade_kernels ({error}): export the model again"
        ) from error
    if model.vocabulary != spec.vocabulary:
        raise ModelError(
            f"the int8 weights {weights} have a head of {model.vocabulary} terms, but {spec.model} "
            f"has a vocabulary of {spec.vocabulary}"
        )
    return model
