"""Read weights from safetensors, without torch and without the package safetensors."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from splade_connectors.errors import ModelError

Tensor = NDArray[Any]

_TYPES = {"F64": np.float64, "F32": np.float32, "F16": np.float16, "BF16": np.uint16}
_LONGEST_HEADER = 100 * 2**20


def read_weights(folder: Path) -> dict[str, Tensor]:
    """The float tensors of a model folder by name, memory-mapped if possible.

    Raises:
        ModelError: if there are none, or a file is damaged.
    """
    files = sorted(folder.glob("model*.safetensors"))
    if not files:
        raise ModelError(f"the model folder {folder} has no model.safetensors")
    return {name: tensor for file in files for name, tensor in _tensors(file)}


def _tensors(file: Path) -> Iterator[tuple[str, Tensor]]:
    try:
        header, start = _header(file)
        data = np.memmap(file, np.uint8, "r", offset=start)
        for name, entry in header.items():
            if name != "__metadata__" and entry["dtype"] in _TYPES:
                yield name, _tensor(data, entry)
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise ModelError(
            f"the weights {file} cannot be read and may be damaged: {error}"
        ) from error


def _header(file: Path) -> tuple[Mapping[str, Any], int]:
    with file.open("rb") as stream:
        length = int.from_bytes(stream.read(8), "little")
        if length > _LONGEST_HEADER:
            raise ValueError(f"a header of {length} bytes")
        return json.loads(stream.read(length)), 8 + length


def _tensor(data: NDArray[np.uint8], entry: Mapping[str, Any]) -> Tensor:
    kind = np.dtype(_TYPES[entry["dtype"]])
    begin, end = entry["data_offsets"]
    if end > data.size or end - begin != math.prod(entry["shape"]) * kind.itemsize:
        raise ValueError(f"a tensor of {entry['shape']} in bytes {begin} to {end} of {data.size}")
    found = data[begin:end].view(kind).reshape(entry["shape"])
    if entry["dtype"] != "BF16":
        return found
    # The upper half of a float32.
    return (found.astype(np.uint32) << 16).view(np.float32)
