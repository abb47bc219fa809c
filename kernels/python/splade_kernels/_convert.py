"""Convert a transformers model to the file that `Model.load` reads."""

import json
import os
import pathlib
from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from splade_kernels import _native
from splade_kernels._families import Source, source_of

Arrays = dict[str, npt.NDArray[Any]]
Floats = npt.NDArray[np.float32]

_DTYPES = {"int8": "I8", "float16": "F16", "float32": "F32"}


def quantize(weights: npt.ArrayLike) -> tuple[npt.NDArray[np.int8], Floats]:
    """Quantize to signed 8-bit, one scale per row: `weights` are about `int8 * scale[:, None]`."""
    values = np.asarray(weights, np.float32)
    largest = np.abs(values).max(axis=1, initial=0.0)
    scale = np.where(largest > 0, largest / np.float32(127), np.float32(1)).astype(np.float32)
    return np.rint(values / scale[:, None]).astype(np.int8), scale


def convert(
    config: Mapping[str, Any], tensors: Mapping[str, npt.NDArray[Any]]
) -> tuple[dict[str, Any], Arrays]:
    """The configuration and the tensors in the kernels' own format, with quantized weights.

    `config` is a transformers `config.json` of the families bert, distilbert, roberta, xlm-roberta,
    camembert or modernbert, and `tensors` holds its weights by their names there (with the masked
    language model's head), in any float type that numpy has.

    Raises:
        ValueError: For another family, a missing tensor, or a head that does not match its words.
    """
    source = source_of(config, tensors)
    arrays: Arrays = {"embeddings.words": _words(source)}
    if source.positions is not None:
        arrays["embeddings.positions"] = source.positions
    for name, norm in source.norms.items():
        arrays.update(_norm(source, name, norm))
    for name, parts in source.linears.items():
        arrays.update(_linear(source, name, parts))
    if arrays["head.weight"].shape[0] != arrays["embeddings.words"].shape[0]:
        raise ValueError(
            f"The head has {arrays['head.weight'].shape[0]} terms, the vocabulary "
            f"{arrays['embeddings.words'].shape[0]}: such a model is not supported."
        )
    return source.config, arrays


def write_model(
    file: str | os.PathLike[str],
    config: Mapping[str, Any],
    tensors: Mapping[str, npt.NDArray[Any]],
) -> None:
    """Quantize a transformers model (as `convert` does) and write it as one file."""
    target = pathlib.Path(file)
    unfinished = target.with_name(target.name + ".part")
    unfinished.write_bytes(model_bytes(*convert(config, tensors)))
    unfinished.replace(target)


def model_bytes(config: Mapping[str, Any], arrays: Arrays) -> bytes:
    """The file's bytes: safetensors with the configuration among its metadata."""
    header: dict[str, Any] = {
        "__metadata__": {"format": _native.FORMAT, "config": json.dumps(config)}
    }
    start, parts = 0, []
    # Wide types first, so that each tensor starts at a multiple of its item size.
    for name in sorted(arrays, key=lambda name: (-arrays[name].dtype.itemsize, name)):
        array = np.ascontiguousarray(arrays[name])
        end = start + array.nbytes
        header[name] = {
            "dtype": _DTYPES[array.dtype.name],
            "shape": list(array.shape),
            "data_offsets": [start, end],
        }
        parts.append(array)
        start = end
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    return b"".join([len(text).to_bytes(8, "little"), text, *(p.tobytes() for p in parts)])


def _words(source: Source) -> npt.NDArray[np.float16]:
    words = source.words
    if words.size and float(np.abs(words).max()) > float(np.finfo(np.float16).max):
        raise ValueError("The word embeddings go beyond half precision.")
    return words.astype(np.float16)


def _norm(source: Source, name: str, norm: str) -> Arrays:
    arrays: Arrays = {f"{name}.weight": source.floats(f"{norm}.weight")}
    if source.has(f"{norm}.bias"):
        arrays[f"{name}.bias"] = source.floats(f"{norm}.bias")
    return arrays


def _linear(source: Source, name: str, parts: list[tuple[str, str]]) -> Arrays:
    """Stacked matrices, given as (weight, bias) names; a missing bias is zero."""
    weights = [source.floats(weight) for weight, _ in parts]
    packed, scale = quantize(np.concatenate(weights))
    arrays: Arrays = {f"{name}.weight": packed, f"{name}.scale": scale}
    if any(source.has(bias) for _, bias in parts):
        rows = [len(weight) for weight in weights]
        biases = [
            source.floats(bias) if source.has(bias) else np.zeros(n, np.float32)
            for (_, bias), n in zip(parts, rows, strict=True)
        ]
        arrays[f"{name}.bias"] = np.concatenate(biases)
    return arrays
