"""Convert a model to an ONNX graph that pools: exported through torch, or extended."""

from __future__ import annotations

import json
import logging
import shutil
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from tokenizers import Tokenizer

from splade_connectors.encoders.cache import GRAPH_FILE, whole_or_not_at_all
from splade_connectors.encoders.engines.onnx import INPUTS, MASKS, OUTPUT, PooledGraph
from splade_connectors.encoders.export.pooled import load_masked_lm, pooled_module, uses_token_types
from splade_connectors.encoders.model_files import RECORD_FILE, file_hash, has_weights, onnx_file
from splade_connectors.encoders.onnx_files import data_files
from splade_connectors.encoders.reference_tokenizer import check_alike
from splade_connectors.encoders.routes import IDF_FILE
from splade_connectors.encoders.sentence_transformers import Activation
from splade_connectors.encoders.spec import EncoderSpec, ModelFolder
from splade_connectors.encoders.tokenizer_settings import TOKENIZER_FILE
from splade_connectors.errors import ModelError
from splade_connectors.extras import require

log = logging.getLogger(__name__)

_OPSET = 17
_TOLERANCE = 1e-3
# A head may be this much wider than the vocabulary: models pad it for the hardware.
_HEAD_PADDING = 128
# A protocol buffer message is limited to 2 GiB: larger graphs get a separate file of weights.
_LARGEST_MESSAGE = 2**31 - 2**20


class UnfitGraph(ModelError):
    """A valid ONNX file that does not compute a SPLADE model's logits."""


def convert(folder: ModelFolder, spec: EncoderSpec, out: Path) -> None:
    """Write a folder that `OnnxEncoder` loads: model.onnx, tokenizer.json and the record.

    Pooling is added to the folder's own ONNX file; if there is none, or it does not fit, the
    weights are exported through torch. The result appears complete or not at all.

    Args:
        folder: the model folder.
        spec: what the model computes.
        out: the folder to create.

    Raises:
        MissingDependency: if onnx, or torch and transformers if needed, is not installed.
        ModelError: if the model cannot be loaded or exported, or the result differs.
    """
    tokenizer = folder.tokenizer()
    check_alike(folder.model, tokenizer)
    with whole_or_not_at_all(out) as unfinished:
        graph = unfinished / GRAPH_FILE
        _write_graph(folder, spec, graph, max(tokenizer.tokenizer.get_vocab().values()))
        write_tokenizer(tokenizer.tokenizer, folder.model / TOKENIZER_FILE, unfinished)
        write_about(spec, folder.positions, unfinished)


def _write_graph(folder: ModelFolder, spec: EncoderSpec, out: Path, largest_id: int) -> None:
    graph = onnx_file(folder.model)
    if graph is None:
        export(folder.model, out, spec.activation)
        return
    try:
        add_pooling(graph, out, spec, folder.model)
        _check_runs(graph, out, spec, largest_id)
    except UnfitGraph as error:
        if not has_weights(folder.model):
            raise
        log.warning("%s; using the safetensors beside it", error)
        export(folder.model, out, spec.activation)


def write_about(spec: EncoderSpec, positions: int, out: Path) -> None:
    """Write the record of an exported folder: its spec, positions and file hashes."""
    graph, weights = out / GRAPH_FILE, out / IDF_FILE
    files = [graph, *data_files(graph, out)] if graph.is_file() else []
    files += [weights] if weights.is_file() else []
    hashes = {path.name: file_hash(path) for path in files}
    record = {"spec": spec.to_json(), "positions": positions, "files": hashes}
    (out / RECORD_FILE).write_text(json.dumps(record, indent=2) + "\n", encoding="utf-8")


def write_tokenizer(tokenizer: Tokenizer, source: Path, out: Path) -> None:
    """Write a complete tokenizer.json, which includes the settings in the files beside it."""
    plain = Tokenizer.from_file(str(source))
    plain.no_truncation()
    plain.no_padding()
    if plain.to_str() == tokenizer.to_str():
        shutil.copy(source, out / TOKENIZER_FILE)
    else:
        tokenizer.save(str(out / TOKENIZER_FILE))


def export(folder: Path, out: Path, activation: Activation) -> None:
    """Export a masked-language model with its pooling to one ONNX file.

    Raises:
        ModelError: if torch cannot trace the model, or the exported graph differs from it.
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
        # Tracing, not dynamo: it gives plain operators, which onnxruntime folds at load. Without
        # constant folding the head's pieces stay slices of the shared embedding matrix.
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
    except Exception as error:  # torch raises whatever the model's own code raises
        raise ModelError(
            f"{folder} cannot be exported to ONNX ({error}); load_encoder(…, engine='torch') "
            "runs it unchanged"
        ) from error
    _check_equal(out, dict(zip(names, _example(len(names), 64), strict=True)), expected.numpy())


def add_pooling(graph: Path, out: Path, spec: EncoderSpec, folder: Path) -> None:
    """Append pooling to a graph with the output `logits`: float32[batch, tokens, terms].

    The graph computes its logits in one piece, so a batch takes memory for tokens x terms, and
    pooling as much again. An export of the weights (`export`) avoids both.

    Args:
        graph: the ONNX file; external data is read only from inside the folder.
        out: the file to write.
        spec: what the graph has to compute.
        folder: the model folder.

    Raises:
        ModelError: if the file is not an ONNX graph, or its data is missing or outside.
        UnfitGraph: if it has no such output, or unknown inputs.
    """
    onnx = require("onnx", "convert", "adding the pooling to an ONNX file")
    files = {path.relative_to(graph.parent): path for path in data_files(graph, folder)}
    try:
        # onnx follows no links, but the hub's cache consists of them: load the data here.
        model = onnx.load(str(graph), load_external_data=False)
        _load_data(onnx, model, files)
    except Exception as error:  # protobuf's DecodeError, or a tensor beyond the end of its file
        raise ModelError(f"the ONNX file {graph} cannot be read: {error}") from error
    mask = _mask_name(onnx, model, graph)
    logits = _logits_name(model, graph, spec.vocabulary)
    opset = _opset(model, graph)
    nodes, constants = _pooling_nodes(onnx, logits, mask, spec.activation, opset)
    model.graph.initializer.extend(constants)
    model.graph.node.extend(nodes)
    del model.graph.output[:]
    model.graph.output.append(
        onnx.helper.make_tensor_value_info(OUTPUT, onnx.TensorProto.FLOAT, ["batch", None])
    )
    large = model.ByteSize() > _LARGEST_MESSAGE
    beside = {"save_as_external_data": True, "location": f"{out.name}.data"} if large else {}
    onnx.save(model, str(out), **beside)


def _load_data(onnx: Any, model: Any, files: dict[Path, Path]) -> None:
    """Load external data into the tensors that refer to it."""
    for tensor in _tensors(model.graph, model.functions):
        if tensor.data_location != onnx.TensorProto.EXTERNAL:
            continue
        where = {entry.key: entry.value for entry in tensor.external_data}
        with files[Path(where["location"])].open("rb") as file:
            file.seek(int(where.get("offset", 0)))
            length = int(where["length"]) if "length" in where else -1
            tensor.raw_data = file.read(length)
        if len(tensor.raw_data) < length:
            raise ValueError(f"{where['location']} ends within the weights of {tensor.name!r}")
        del tensor.external_data[:]
        tensor.data_location = onnx.TensorProto.DEFAULT


def _tensors(graph: Any, functions: Any = ()) -> Iterator[Any]:
    """Every tensor of a graph and its subgraphs."""
    yield from graph.initializer
    for sparse in graph.sparse_initializer:
        yield from (sparse.values, sparse.indices)
    for node in (*graph.node, *(node for function in functions for node in function.node)):
        for attribute in node.attribute:
            yield from (*([attribute.t] if attribute.HasField("t") else []), *attribute.tensors)
            inner = [attribute.g] if attribute.HasField("g") else []
            for part in (*inner, *attribute.graphs):
                yield from _tensors(part)


def _mask_name(onnx: Any, model: Any, graph: Path) -> str:
    """The name of the input for the attention mask, after checking all inputs."""
    constants = {tensor.name for tensor in model.graph.initializer}
    inputs = {given.name: given.type.tensor_type for given in model.graph.input}
    names = [name for name in inputs if name not in constants]
    for name in names:
        kind = inputs[name].elem_type
        if name not in INPUTS or kind not in (onnx.TensorProto.INT64, onnx.TensorProto.INT32):
            known = ", ".join(sorted(INPUTS))
            raise UnfitGraph(
                f"the ONNX file {graph} has an input {name!r} of "
                f"{onnx.TensorProto.DataType.Name(kind)}; supported are {known}, of integers"
            )
        fixed = [dim.dim_value for dim in inputs[name].shape.dim if dim.dim_value > 0]
        if fixed:
            shape = [dim.dim_value or dim.dim_param or "any" for dim in inputs[name].shape.dim]
            raise UnfitGraph(
                f"the ONNX file {graph} takes {name!r} only in the fixed shape {shape}; export it "
                "with dynamic axes for batch and tokens"
            )
    masks = [name for name in names if name in MASKS]
    if len(masks) != 1 or "input_ids" not in names:
        raise UnfitGraph(
            f"the ONNX file {graph} has the inputs {', '.join(names) or 'none'}; it needs "
            "input_ids and either attention_mask or input_mask"
        )
    return str(masks[0])


def _logits_name(model: Any, graph: Path, vocabulary: int) -> str:
    shapes = {
        output.name: [dim.dim_value for dim in output.type.tensor_type.shape.dim]
        for output in model.graph.output
    }
    ranks = {name: len(shape) for name, shape in shapes.items()}
    logits = [
        name
        for name, shape in shapes.items()
        if len(shape) == 3 and (name == "logits" or len(shapes) == 1 or shape[2] == vocabulary)
    ]
    if not logits:
        raise UnfitGraph(f"the ONNX file {graph} has no output 'logits' of rank 3, only {ranks}")
    width = shapes[logits[0]][2]
    if width > 0:
        _refuse_other_width(graph, logits[0], width, vocabulary)
    return str(logits[0])


def _refuse_other_width(graph: Path, output: str, width: int, vocabulary: int) -> None:
    if not vocabulary <= width < vocabulary + _HEAD_PADDING:
        raise UnfitGraph(
            f"the ONNX file {graph} has {width} numbers per token in its output {output!r}, but "
            f"the vocabulary has {vocabulary} terms: it is a model without the "
            "masked-language-model head"
        )


def _opset(model: Any, graph: Path) -> int:
    for entry in model.opset_import:
        if entry.domain in ("", "ai.onnx"):
            return int(entry.version)
    raise UnfitGraph(f"the ONNX file {graph} does not say which operator set it uses")


def _check_runs(graph: Path, pooled: Path, spec: EncoderSpec, largest_id: int) -> None:
    """Refuse a graph that fails on realistic batches: its declared shapes may be wrong.

    Raises:
        UnfitGraph: if it fails; names the batch, or the wrong result.
    """
    longest = max(spec.max_length, spec.query_max_length or 0)
    try:
        session = PooledGraph(pooled)
        for texts, tokens in ((2, 12), (1, 5), (3, 7), (1, longest)):
            ids = np.linspace(0, largest_id, texts * tokens).astype(np.int64)
            mask = np.ones((texts, tokens), np.int64)
            mask[1:, tokens // 2 :] = 0
            weights = session.run(ids.reshape(texts, tokens), mask)
    except ModelError as error:
        raise UnfitGraph(str(error).replace(str(pooled), str(graph))) from error
    _refuse_other_width(graph, OUTPUT, weights.shape[1], spec.vocabulary)
    if not np.isfinite(weights).all():
        raise UnfitGraph(f"the ONNX file {graph} yields weights that are not finite")


def _pooling_nodes(
    onnx: Any, logits: str, mask: str, activation: Activation, opset: int
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
        node("Cast", [mask], ["pool_bool"], to=onnx.TensorProto.BOOL),
        node("Unsqueeze", ["pool_bool", *last], ["pool_mask"], **last_axes),
        # Graphs in half precision also pool in single precision.
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
    found = PooledGraph(graph).run(feed["input_ids"], feed["attention_mask"])
    difference = float(np.abs(found - expected).max())
    # Written so that NaN is refused too.
    if not difference <= _TOLERANCE:
        raise ModelError(
            f"the exported graph differs from the model by {difference:.2g}; "
            "load_encoder(…, engine='torch') runs the model unchanged"
        )
