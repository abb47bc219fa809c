"""Somebody's model to an ONNX graph that pools: exported through torch, or extended."""

from __future__ import annotations

import json
import logging
import os
import shutil
import warnings
from pathlib import Path
from typing import Any

import numpy as np

from splade_connectors.encoders.engines.onnx import OUTPUT
from splade_connectors.encoders.export.pooled import load_masked_lm, pooled_module, uses_token_types
from splade_connectors.encoders.spec import RECORD_FILE, Activation, EncoderSpec, positions
from splade_connectors.errors import ModelError
from splade_connectors.extras import require

log = logging.getLogger(__name__)

_OPSET = 17
_TOLERANCE = 1e-3


def convert(folder: Path, graph: Path | None, spec: EncoderSpec, out: Path) -> None:
    """Write a folder that `OnnxEncoder` loads: model.onnx, tokenizer.json and the record.

    The folder appears whole or not at all.

    Args:
        folder: the model folder.
        graph: an ONNX file with the output `logits`, extended by the pooling; None exports the
            weights through torch.
        spec: what the model computes.
        out: the folder to make.

    Raises:
        MissingDependency: without onnx, or torch and transformers where they are needed.
        ModelError: when the model cannot be loaded, exported, or the result is not the same.
    """
    # Its own name: another process may be converting the same model.
    unfinished = out.with_name(f"{out.name}.{os.getpid()}.unfinished")
    shutil.rmtree(unfinished, ignore_errors=True)
    unfinished.mkdir(parents=True)
    try:
        if graph is None:
            export(folder, unfinished / "model.onnx", spec.activation)
        else:
            add_pooling(graph, unfinished / "model.onnx", spec.activation)
        shutil.copy(folder / "tokenizer.json", unfinished)
        record = {"spec": spec.to_json(), "positions": positions(folder)}
        (unfinished / RECORD_FILE).write_text(json.dumps(record, indent=2), encoding="utf-8")
        _replace(unfinished, out)
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)


def _replace(unfinished: Path, out: Path) -> None:
    shutil.rmtree(out, ignore_errors=True)
    try:
        unfinished.rename(out)
    except OSError:
        if not (out / "model.onnx").is_file():
            raise
        # Another process has just finished the same conversion: one is as good as the other.


def export(folder: Path, out: Path, activation: Activation) -> None:
    """Export a masked-language model with its pooling to one ONNX file.

    Raises:
        ModelError: when torch cannot trace the model, or the file computes something else.
    """
    torch = require("torch", "convert", "exporting a model to ONNX")
    require("onnx", "convert", "exporting a model to ONNX")
    model = load_masked_lm(folder)
    names = ["input_ids", "attention_mask"]
    if uses_token_types(model):
        names.append("token_type_ids")
    module = pooled_module(model, activation).eval()
    example = _example(len(names), int(model.config.vocab_size))
    axes = {name: {0: "batch", 1: "tokens"} for name in names} | {OUTPUT: {0: "batch"}}
    log.info("exporting %s to ONNX, once", folder)
    try:
        # Tracing, not dynamo: a graph of plain operators that onnxruntime folds at load. Without
        # constant folding the head's pieces stay slices of the one embedding matrix.
        with torch.inference_mode(), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            torch.onnx.export(
                module,
                tuple(torch.from_numpy(array) for array in example),
                str(out),
                input_names=names,
                output_names=[OUTPUT],
                dynamic_axes=axes,
                opset_version=_OPSET,
                do_constant_folding=False,
                dynamo=False,
            )
            expected = module(*(torch.from_numpy(array) for array in _example(len(names), 64)))
    except Exception as error:  # torch raises what the model's own code raises
        raise ModelError(
            f"{folder} cannot be exported to ONNX ({error}); load_encoder(…, engine='torch') "
            "runs it as it is"
        ) from error
    _check_equal(out, dict(zip(names, _example(len(names), 64), strict=True)), expected.numpy())


def add_pooling(graph: Path, out: Path, activation: Activation) -> None:
    """Append the pooling to a graph with the output `logits`: float32[batch, tokens, terms].

    The graph computes its logits in one piece, so a batch takes memory for tokens x terms; the
    pooling adds to it once more. An export of the weights (`export`) does without.

    Raises:
        ModelError: when the file is no ONNX graph or has no such output.
    """
    onnx = require("onnx", "convert", "adding the pooling to an ONNX file")
    try:
        model = onnx.load(str(graph))
    except Exception as error:  # protobuf's decode error, or an OSError for missing weights
        raise ModelError(f"the ONNX file {graph} cannot be read: {error}") from error
    logits = _logits_name(model, graph)
    opset = next(entry.version for entry in model.opset_import if entry.domain in ("", "ai.onnx"))
    nodes, constants = _pooling_nodes(onnx, logits, activation, opset)
    model.graph.initializer.extend(constants)
    model.graph.node.extend(nodes)
    del model.graph.output[:]
    model.graph.output.append(
        onnx.helper.make_tensor_value_info(OUTPUT, onnx.TensorProto.FLOAT, ["batch", None])
    )
    onnx.save(model, str(out))


def _logits_name(model: Any, graph: Path) -> str:
    ranks = {output.name: len(output.type.tensor_type.shape.dim) for output in model.graph.output}
    for name, rank in ranks.items():
        if rank == 3 and (name == "logits" or len(ranks) == 1):
            return str(name)
    raise ModelError(f"the ONNX file {graph} has no output 'logits' of rank 3, it has {ranks}")


def _pooling_nodes(
    onnx: Any, logits: str, activation: Activation, opset: int
) -> tuple[list[Any], list[Any]]:
    """Nodes for log(1 + relu(max over the unmasked tokens)), and their constants."""
    node, array = onnx.helper.make_node, onnx.numpy_helper.from_array
    one, lowest = np.float32(1), np.float32(-1e30)
    constants = [
        array(np.array([2], np.int64), "pool_last"),
        array(np.array([1], np.int64), "pool_tokens"),
        array(np.asarray(one), "pool_one"),
        array(np.asarray(lowest), "pool_lowest"),
    ]
    # Axes became inputs in operator set 13 (Unsqueeze) and 18 (ReduceMax).
    last, last_axes = (["pool_last"], {}) if opset >= 13 else ([], {"axes": [2]})
    tokens, tokens_axes = (["pool_tokens"], {}) if opset >= 18 else ([], {"axes": [1]})
    nodes = [
        node("Cast", ["attention_mask"], ["pool_bool"], to=onnx.TensorProto.BOOL),
        node("Unsqueeze", ["pool_bool", *last], ["pool_mask"], **last_axes),
        # Graphs in half precision pool in single precision, like everything else here.
        node("Cast", [logits], ["pool_logits"], to=onnx.TensorProto.FLOAT),
        node("Where", ["pool_mask", "pool_logits", "pool_lowest"], ["pool_masked"]),
        node("ReduceMax", ["pool_masked", *tokens], ["pool_max"], keepdims=0, **tokens_axes),
        node("Relu", ["pool_max"], ["pool_relu"]),
        node("Add", ["pool_relu", "pool_one"], ["pool_plus"]),
    ]
    if activation == "log1p":
        return [*nodes, node("Log", ["pool_plus"], [OUTPUT])], constants
    nodes += [
        node("Log", ["pool_plus"], ["pool_log"]),
        node("Add", ["pool_log", "pool_one"], ["pool_plus_again"]),
        node("Log", ["pool_plus_again"], [OUTPUT]),
    ]
    return nodes, constants


def _example(inputs: int, vocabulary: int) -> list[np.ndarray[Any, np.dtype[np.int64]]]:
    """Two rows of 12 tokens, the second with padding."""
    ids = np.arange(24, dtype=np.int64).reshape(2, 12) % vocabulary
    mask = np.ones_like(ids)
    mask[1, 7:] = 0
    return [ids, mask, np.zeros_like(ids)][:inputs]


def _check_equal(graph: Path, feed: dict[str, Any], expected: Any) -> None:
    runtime = require("onnxruntime", "onnx", "checking the exported model")
    session = runtime.InferenceSession(str(graph), providers=["CPUExecutionProvider"])
    found = session.run([OUTPUT], feed)[0]
    difference = float(np.abs(found - expected).max())
    if difference > _TOLERANCE:
        raise ModelError(
            f"the exported graph differs from the model by {difference:.2g}; "
            "load_encoder(…, engine='torch') runs the model as it is"
        )
