"""Small ONNX files made by hand, in the ways that exporters have."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from tests.models.small import TERMS

HIDDEN = 8


def table(seed: int = 3, rows: int = len(TERMS)) -> np.ndarray[Any, np.dtype[np.float32]]:
    """Embeddings of the tokens; the head is the same, turned over."""
    return np.random.default_rng(seed).normal(size=(rows, HIDDEN)).astype(np.float32)


def save_graph(
    path: Path,
    *,
    output: str = "logits",
    width: int | None = None,
    inputs: Sequence[str] = ("input_ids", "attention_mask"),
    integers: str = "INT64",
    shape: Sequence[Any] = ("batch", "tokens"),
    declared: Any = None,
    seed: int = 3,
    rows: int = len(TERMS),
    location: str = "",
) -> Path:
    """A graph of embeddings and a head: logits = table[ids] @ head.

    Args:
        path: the file.
        output: name of its one output.
        width: numbers per token; None takes the vocabulary's, 0 leaves out the head.
        inputs: names of its inputs; the first one are the ids.
        integers: their type.
        shape: their shape.
        declared: what the graph says that its last dimension is; None says nothing.
        seed: other weights with another one.
        rows: of the table.
        location: where the weights lie, beside the file; "" keeps them inside.
    """
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    path.parent.mkdir(parents=True, exist_ok=True)
    embeddings = table(seed, rows)
    head = np.ascontiguousarray(np.resize(embeddings, (width or len(TERMS), HIDDEN)).T)
    hidden = output if width == 0 else "hidden"
    nodes = [helper.make_node("Gather", ["table", inputs[0]], [hidden])]
    if width != 0:
        nodes.append(helper.make_node("MatMul", ["hidden", "head"], [output]))
    kind = getattr(TensorProto, integers)
    graph = helper.make_graph(
        nodes,
        "made by hand",
        [helper.make_tensor_value_info(name, kind, list(shape)) for name in inputs],
        [helper.make_tensor_value_info(output, TensorProto.FLOAT, [*shape, declared])],
        [numpy_helper.from_array(embeddings, "table"), numpy_helper.from_array(head, "head")],
    )
    opset = helper.make_opsetid("", 17)
    model = helper.make_model(graph, opset_imports=[opset], ir_version=8)
    if location:
        onnx.save(model, path, save_as_external_data=True, location=location, size_threshold=0)
    else:
        onnx.save(model, path)
    return path


def move_data(path: Path, location: str) -> None:
    """Let an ONNX file name another place for its external data."""
    import onnx

    model = onnx.load(str(path), load_external_data=False)
    for tensor in model.graph.initializer:
        for entry in tensor.external_data:
            if entry.key == "location":
                entry.value = location
    path.write_bytes(model.SerializeToString())
