"""Reading safetensors without the package of that name."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from splade_connectors.encoders.weights import read_weights
from splade_connectors.errors import ModelError

NAMES = {"float64": "F64", "float32": "F32", "float16": "F16", "uint16": "BF16", "int64": "I64"}


def write(path: Path, tensors: dict[str, np.ndarray[Any, Any]]) -> Path:
    header: dict[str, Any] = {"__metadata__": {"format": "pt"}}
    data = b""
    for name, tensor in tensors.items():
        kind, begin = NAMES[tensor.dtype.name], len(data)
        data += tensor.tobytes()
        header[name] = {"dtype": kind, "shape": tensor.shape, "data_offsets": [begin, len(data)]}
    head = json.dumps(header).encode()
    path.write_bytes(len(head).to_bytes(8, "little") + head + data)
    return path


def test_every_float_type_is_read_and_integers_are_passed_over(tmp_path: Path) -> None:
    values = np.array([[1.5, -2.0], [0.25, 3.0]])
    halves = values.astype(np.float32).view(np.uint32) >> 16
    tensors = {name: values.astype(name) for name in ("float64", "float32", "float16")}
    tensors |= {"bfloat16": halves.astype(np.uint16), "positions": np.arange(3)}
    write(tmp_path / "model.safetensors", tensors)
    found = read_weights(tmp_path)
    assert set(found) == {"float64", "float32", "float16", "bfloat16"}
    for tensor in found.values():
        np.testing.assert_array_equal(tensor, values)


def test_shards_are_put_together(tmp_path: Path) -> None:
    for at in (1, 2):
        write(tmp_path / f"model-{at}-of-2.safetensors", {f"w{at}": np.full(2, at, np.float32)})
    assert {name: tensor.tolist() for name, tensor in read_weights(tmp_path).items()} == {
        "w1": [1.0, 1.0],
        "w2": [2.0, 2.0],
    }


def test_a_folder_without_weights_is_named(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"has no model\.safetensors"):
        read_weights(tmp_path)


@pytest.mark.parametrize("keep", [4, 40, -3])
def test_a_file_that_was_cut_off_is_one_sentence(tmp_path: Path, keep: int) -> None:
    path = write(tmp_path / "model.safetensors", {"w": np.ones((4, 4), np.float32)})
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(ModelError, match="cannot be read and may be damaged"):
        read_weights(tmp_path)


def test_a_length_of_nonsense_is_refused_before_memory_is_taken(tmp_path: Path) -> None:
    (tmp_path / "model.safetensors").write_bytes(b"\xff" * 64)
    with pytest.raises(ModelError, match="a header of"):
        read_weights(tmp_path)
