"""Packed models and matrices over numpy arrays."""

import os
from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from splade_kernels import _native
from splade_kernels._convert import convert, model_bytes

Floats = npt.NDArray[np.float32]


class Model:
    """A whole encoder: token ids in, for each text the largest logit of every term out.

    A text's result is bit-identical alone, in any batch and with any number of threads.
    Calls release the GIL; several threads may use one model.
    """

    def __init__(self, native: _native.Model) -> None:
        self._native = native

    @classmethod
    def load(cls, file: str | os.PathLike[str], *, path: str | None = None) -> "Model":
        """Load a file of `write_model`; `path` selects a dispatch path other than `path()`."""
        return cls(_native.Model.load(os.fspath(file), path))

    @classmethod
    def from_arrays(
        cls,
        config: Mapping[str, Any],
        tensors: Mapping[str, npt.NDArray[Any]],
        *,
        path: str | None = None,
    ) -> "Model":
        """Quantize a transformers model: its `config.json`, and its tensors by their names."""
        return cls(_native.Model.from_bytes(model_bytes(*convert(config, tensors)), path))

    @property
    def path(self) -> str:
        """The dispatch path that the weights are packed for."""
        return self._native.path

    @property
    def vocabulary(self) -> int:
        """Number of terms."""
        return self._native.vocabulary

    @property
    def hidden(self) -> int:
        """Width of the encoder."""
        return self._native.hidden

    @property
    def max_tokens(self) -> int:
        """Maximum number of tokens of a text."""
        return self._native.max_tokens

    @property
    def products_per_token(self) -> int:
        """int8 multiply-accumulates per token, without the attention, which is in fp32."""
        return self._native.products_per_token

    def encode(
        self,
        ids: npt.ArrayLike,
        offsets: npt.ArrayLike,
        *,
        mask: npt.ArrayLike | None = None,
        threads: int | None = None,
        out: Floats | None = None,
    ) -> Floats:
        """The largest logits, float32[texts, vocabulary]; -inf for a text without counted tokens.

        `ids` are the tokens of all texts one after another (uint32[total], no padding), and text i
        is `ids[offsets[i]:offsets[i + 1]]` (int64[texts + 1]). With `mask` (bool[total]) only the
        marked tokens take part in the maximum; attention always sees all of them.
        """
        tokens, ends, kept = _texts(ids, offsets, mask)
        shape = (len(ends) - 1, self.vocabulary)
        if out is None:
            out = np.empty(shape, np.float32)
        elif out.shape != shape or out.dtype != np.float32 or not out.flags.c_contiguous:
            raise ValueError(f"out must be a contiguous float32 array of shape {shape}.")
        self._native.encode_into(tokens, ends, kept, threads, out)
        return out

    def encode_sparse(
        self,
        ids: npt.ArrayLike,
        offsets: npt.ArrayLike,
        *,
        mask: npt.ArrayLike | None = None,
        threads: int | None = None,
        logs: int = 1,
    ) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.uint32], Floats]:
        """Terms above zero with their weights: (offsets int64[texts + 1], terms, weights).

        Text i has `terms[offsets[i]:offsets[i + 1]]` (ascending) and the same slice of `weights`.
        A weight is the largest logit x after `logs` times log(1 + x): 1 for SPLADE, 2 for models
        that take the logarithm twice, 0 for the logit itself. The array of all logits never
        exists, so memory does not grow with the batch.
        """
        tokens, ends, kept = _texts(ids, offsets, mask)
        if not 0 <= logs <= 2:
            raise ValueError(f"logs is 0, 1 or 2, not {logs}.")
        rows, terms, weights = self._native.encode_sparse(tokens, ends, kept, threads, logs)
        return (
            np.frombuffer(rows, np.int64),
            np.frombuffer(terms, np.uint32),
            np.frombuffer(weights, np.float32),
        )


class Linear:
    """One int8 matrix with a scale and a bias per term, to use the kernels without a model.

    `weights` are int8[terms, depth] and `scale` float32[terms], as `quantize` returns them.
    """

    def __init__(
        self,
        weights: npt.NDArray[np.int8],
        scale: npt.ArrayLike,
        bias: npt.ArrayLike | None = None,
        *,
        path: str | None = None,
    ) -> None:
        if weights.ndim != 2 or weights.dtype != np.int8:
            raise ValueError("weights must be int8[terms, depth].")
        terms, self.depth = weights.shape
        factors = np.ascontiguousarray(scale, np.float32)
        shifts = np.zeros(terms, np.float32) if bias is None else bias
        shifts = np.ascontiguousarray(shifts, np.float32)
        if factors.shape != (terms,) or shifts.shape != (terms,):
            raise ValueError(f"scale and bias must be float32[{terms}].")
        self.terms = terms
        packed = np.ascontiguousarray(weights)
        self._native = _native.Linear(packed, factors, shifts, self.depth, path)

    def integers(
        self, rows: npt.NDArray[np.uint8], *, threads: int | None = None
    ) -> npt.NDArray[np.int32]:
        """The exact sums of quantized rows: int32[rows, terms]."""
        rows = np.ascontiguousarray(rows, np.uint8)
        out = np.empty((self._count(rows), self.terms), np.int32)
        self._native.integers_into(rows, threads, out)
        return out

    def forward(self, x: npt.ArrayLike, *, threads: int | None = None) -> Floats:
        """`x @ weights.T` over rows that it quantizes first: float32[rows, terms]."""
        x = np.ascontiguousarray(x, np.float32)
        out = np.empty((self._count(x), self.terms), np.float32)
        self._native.forward_into(x, threads, out)
        return out

    def maximum(
        self, x: npt.ArrayLike, offsets: npt.ArrayLike, *, threads: int | None = None
    ) -> Floats:
        """The fused head: the largest value of each term in each text's rows, [texts, terms]."""
        return self.timed_maximum(x, offsets, threads=threads)[0]

    def timed_maximum(
        self, x: npt.ArrayLike, offsets: npt.ArrayLike, *, threads: int | None = None
    ) -> tuple[Floats, float]:
        """`maximum`, and the seconds of the fused product, without quantizing its rows."""
        x = np.ascontiguousarray(x, np.float32)
        self._count(x)
        ends = np.ascontiguousarray(offsets, np.int64)
        out = np.empty((len(ends) - 1, self.terms), np.float32)
        return out, self._native.maximum_into(x, ends, threads, out)

    def _count(self, rows: npt.NDArray[Any]) -> int:
        if rows.ndim != 2 or rows.shape[1] != self.depth:
            raise ValueError(f"Rows must have the shape [rows, {self.depth}], not {rows.shape}.")
        return int(rows.shape[0])


def quantize_rows(
    x: npt.ArrayLike,
) -> tuple[npt.NDArray[np.uint8], Floats, npt.NDArray[np.uint8]]:
    """Quantize activations as the kernels do, in numpy: (uint8[rows, depth], scale, zero point).

    A row's range goes from its smallest to its largest value, including 0, in 255 steps:
    `x` is about `scale * (quantized - zero)`.
    """
    x = np.ascontiguousarray(x, np.float32)
    low = np.minimum(x.min(axis=1, initial=0.0), np.float32(0))
    high = np.maximum(x.max(axis=1, initial=0.0), np.float32(0))
    span = high - low
    one = np.float32(1)
    per_unit = np.where(span > 0, np.float32(255) / np.where(span > 0, span, one), np.float32(0))
    zero = np.rint(-low * per_unit)
    steps = np.rint(x * per_unit[:, None]) + zero[:, None]
    quantized = np.clip(steps, 0, 255).astype(np.uint8)
    return quantized, span / np.float32(255), zero.astype(np.uint8)


def _texts(
    ids: npt.ArrayLike, offsets: npt.ArrayLike, mask: npt.ArrayLike | None
) -> tuple[npt.NDArray[np.uint32], npt.NDArray[np.int64], npt.NDArray[np.uint8] | None]:
    tokens = np.asarray(ids)
    if tokens.size and tokens.dtype != np.uint32 and tokens.min() < 0:
        raise ValueError("Token ids must not be negative.")
    tokens = np.ascontiguousarray(tokens, np.uint32)
    ends = np.ascontiguousarray(offsets, np.int64)
    if tokens.ndim != 1 or ends.ndim != 1 or not len(ends):
        raise ValueError("ids and offsets must be arrays of one dimension, offsets not empty.")
    if mask is None:
        return tokens, ends, None
    kept = np.ascontiguousarray(np.asarray(mask, bool)).view(np.uint8)
    return tokens, ends, kept
