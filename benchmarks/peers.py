"""The encoders that are measured side by side, each in a separate process.

    python benchmarks/peers.py NAME TEXTS.json WEIGHTS SCRATCH [--prepare]

Prints one JSON object: seconds and CPU seconds of encoding the texts, after a first batch of eight,
and the mean number of terms above 0.001. `--prepare` makes the files that an encoder reads, once.
Imports only what the named encoder needs, so that a peer may run in a separate environment
(`encode.py --peers-python`).
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import time
import warnings
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

MAX_LENGTH = 256
BATCH = 32
# The number of terms above 0.001, for each vector.
Terms = list[int]
Encode = Callable[[list[str]], Terms]


def counts(vectors: Iterable[Any]) -> Terms:
    """The number of terms above 0.001, for each vector."""
    return [int((vector.values > 1e-3).sum()) for vector in vectors]


# Ours.


def _ours(engine: str) -> Callable[[Path, Path], Encode]:
    def make(weights: Path, scratch: Path) -> Encode:
        from splade_connectors import EncodeOptions, load_encoder

        options = EncodeOptions(max_length=MAX_LENGTH)
        device = "cpu" if engine == "torch" else None
        encoder = load_encoder(weights, engine=engine, options=options, device=device)  # type: ignore[arg-type]
        return lambda texts: counts(encoder.encode_documents(texts))

    return make


# sentence-transformers.


def sentence_transformers(weights: Path, scratch: Path) -> Encode:
    """sentence-transformers on torch, at its default batch size of 32."""
    return _sentence_transformers(sentence_transformers_model(weights, "cpu"))


def sentence_transformers_model(weights: Path, device: str, **settings: Any) -> Any:
    """The model, with the settings of its head."""
    from sentence_transformers import SparseEncoder
    from sentence_transformers.sparse_encoder import modules

    head = modules.MLMTransformer(str(weights), max_seq_length=MAX_LENGTH, **settings)
    return SparseEncoder(modules=[head, modules.SpladePooling("max")], device=device)


def prepare_sentence_transformers_int8(weights: Path, scratch: Path) -> None:
    """Export to ONNX and quantize, as its documentation recommends for this processor."""
    from optimum.onnxruntime import ORTModelForMaskedLM, ORTQuantizer
    from optimum.onnxruntime.configuration import AutoQuantizationConfig

    out = scratch / "st"
    ORTModelForMaskedLM.from_pretrained(weights, export=True).save_pretrained(out)
    wide = "avx512_vnni" in Path("/proc/cpuinfo").read_text()
    kind = AutoQuantizationConfig.avx512_vnni if wide else AutoQuantizationConfig.avx2
    quantizer = ORTQuantizer.from_pretrained(out, file_name="model.onnx")
    config = kind(is_static=False, per_channel=False)
    quantizer.quantize(save_dir=out / "quantized", quantization_config=config)
    (out / "quantized" / "model_quantized.onnx").replace(out / "model.onnx")
    _copy_tokenizer(weights, out)


def sentence_transformers_int8(weights: Path, scratch: Path) -> Encode:
    """sentence-transformers' ONNX backend in dynamic int8, at its default batch size of 32."""
    from sentence_transformers import SparseEncoder
    from sentence_transformers.sparse_encoder import models

    head = models.MLMTransformer(
        str(scratch / "st"),
        max_seq_length=MAX_LENGTH,
        backend="onnx",
        model_args={"provider": "CPUExecutionProvider", "file_name": "model.onnx"},
    )
    return _sentence_transformers(
        SparseEncoder(modules=[head, models.SpladePooling("max")], device="cpu", backend="onnx")
    )


def _sentence_transformers(model: Any) -> Encode:
    def encode(texts: list[str]) -> Terms:
        rows = model.encode(
            texts, batch_size=BATCH, convert_to_tensor=False, show_progress_bar=False
        )
        return [int((row.coalesce().values() > 1e-3).sum()) for row in rows]

    return encode


# fastembed, and plain onnxruntime: a graph with logits, pooled outside it.


def prepare_fastembed(weights: Path, scratch: Path) -> None:
    """The folder that fastembed reads: a graph with logits, the tokenizer, and its settings."""
    import torch
    from transformers import AutoModelForMaskedLM

    class Logits(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.model = AutoModelForMaskedLM.from_pretrained(
                weights, use_safetensors=True, attn_implementation="eager"
            )

        def forward(self, ids: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
            logits: torch.Tensor = self.model(input_ids=ids, attention_mask=mask).logits
            return logits

    out = scratch / "logits"
    out.mkdir()
    ids = torch.arange(2000, 2024).reshape(2, 12)
    axes = {0: "batch", 1: "tokens"}
    with torch.inference_mode(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(
            Logits().eval(),
            (ids, torch.ones_like(ids)),
            str(out / "model.onnx"),
            input_names=["input_ids", "attention_mask"],
            output_names=["logits"],
            dynamic_axes={"input_ids": axes, "attention_mask": axes, "logits": axes},
            opset_version=17,
            dynamo=False,
        )
    shutil.copy(weights / "config.json", out)
    _copy_tokenizer(weights, out)


def _copy_tokenizer(weights: Path, out: Path) -> None:
    shutil.copy(weights / "tokenizer.json", out)
    settings = json.loads((weights / "tokenizer_config.json").read_text())
    lengths = {"model_max_length": MAX_LENGTH, "max_length": MAX_LENGTH}
    (out / "tokenizer_config.json").write_text(json.dumps(settings | lengths))


def fastembed(weights: Path, scratch: Path) -> Encode:
    """fastembed, in batches of 32: its default of 256 would take tens of gigabytes."""
    from fastembed import SparseTextEmbedding

    # The name selects the code path; the model comes from the folder.
    name = "prithivida/Splade_PP_en_v1"
    model = SparseTextEmbedding(name, specific_model_path=str(scratch / "logits"), cuda=False)
    return lambda texts: counts(model.embed(texts, batch_size=BATCH))


def prepare_onnxruntime_int8(weights: Path, scratch: Path) -> None:
    """Dynamic int8, per channel, with the constants folded first.

    Without folding, `quantize_dynamic` silently leaves every product in fp32, because the weights
    are behind Transpose nodes.
    """
    import onnxruntime
    from onnxruntime.quantization import QuantType, quantize_dynamic

    settings = onnxruntime.SessionOptions()
    settings.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_BASIC
    settings.optimized_model_filepath = str(scratch / "folded.onnx")
    graph = str(scratch / "logits" / "model.onnx")
    onnxruntime.InferenceSession(graph, settings, providers=["CPUExecutionProvider"])
    quantize_dynamic(
        scratch / "folded.onnx",
        scratch / "int8.onnx",
        per_channel=True,
        weight_type=QuantType.QInt8,
        op_types_to_quantize=["MatMul", "Gemm"],
    )


def _onnxruntime(name: str) -> Callable[[Path, Path], Encode]:
    """Plain onnxruntime: sorted texts in batches of eight, the maximum before the logarithm."""

    def make(weights: Path, scratch: Path) -> Encode:
        import numpy as np
        import onnxruntime
        from tokenizers import Tokenizer

        session = onnxruntime.InferenceSession(
            str(scratch / name), providers=["CPUExecutionProvider"]
        )
        tokenizer = Tokenizer.from_file(str(weights / "tokenizer.json"))
        tokenizer.enable_truncation(MAX_LENGTH)
        tokenizer.enable_padding()

        def encode(texts: list[str]) -> Terms:
            found = []
            ordered = sorted(texts, key=len)
            for start in range(0, len(ordered), 8):
                batch = tokenizer.encode_batch(ordered[start : start + 8])
                ids = np.array([one.ids for one in batch], np.int64)
                mask = np.array([one.attention_mask for one in batch], np.int64)
                feed = {"input_ids": ids, "attention_mask": mask}
                (logits,) = session.run(["logits"], feed)
                logits[mask == 0] = -1e30
                pooled = np.log1p(np.maximum(logits.max(axis=1), 0))
                found += (pooled > 1e-3).sum(axis=1).tolist()
            return found

        return encode

    return make


@dataclass(frozen=True, kw_only=True)
class Peer:
    """An encoder to measure.

    Attributes:
        make: creates it.
        needs: modules that must be installed.
        prepare: name of the step that makes its files, once.
        elsewhere: whether it runs in the environment of the peers, if one is given.
    """

    make: Callable[[Path, Path], Encode]
    needs: tuple[str, ...]
    prepare: str | None = None
    elsewhere: bool = False


ST = "sentence-transformers"
PEERS = {
    "int8": Peer(make=_ours("int8"), needs=("splade_kernels",), prepare="int8"),
    "onnx": Peer(make=_ours("onnx"), needs=("onnxruntime", "onnx", "torch"), prepare="onnx"),
    "torch": Peer(make=_ours("torch"), needs=("torch", "transformers")),
    ST: Peer(make=sentence_transformers, needs=("sentence_transformers",)),
    f"{ST} ONNX int8": Peer(
        make=sentence_transformers_int8,
        needs=("sentence_transformers", "optimum"),
        prepare=f"{ST} ONNX int8",
        elsewhere=True,
    ),
    "fastembed": Peer(make=fastembed, needs=("fastembed",), prepare="logits", elsewhere=True),
    "onnxruntime": Peer(
        make=_onnxruntime("logits/model.onnx"), needs=("onnxruntime", "torch"), prepare="logits"
    ),
    "onnxruntime int8": Peer(
        make=_onnxruntime("int8.onnx"), needs=("onnxruntime", "onnx", "torch"), prepare="ort int8"
    ),
}
# In the order of creation: the second graph is derived from the first.
PREPARATIONS: dict[str, Callable[[Path, Path], object]] = {
    # Loading converts the model into the cache, which is not part of encoding or its memory.
    "int8": _ours("int8"),
    "onnx": _ours("onnx"),
    "logits": prepare_fastembed,
    "ort int8": prepare_onnxruntime_int8,
    f"{ST} ONNX int8": prepare_sentence_transformers_int8,
}


def measure(name: str, texts: list[str], weights: Path, scratch: Path) -> dict[str, float]:
    """Encode the texts once; loading and a first batch of eight are not timed."""
    encode = PEERS[name].make(weights, scratch)
    encode(texts[:8])
    begun, begun_cpu = time.perf_counter(), time.process_time()
    terms = encode(texts)
    return {
        "seconds": time.perf_counter() - begun,
        "cpu_seconds": time.process_time() - begun_cpu,
        "terms": sum(terms) / len(terms),
    }


def main() -> None:
    """Measure or prepare one encoder."""
    parser = argparse.ArgumentParser()
    parser.add_argument("name")
    parser.add_argument("texts", type=Path)
    parser.add_argument("weights", type=Path)
    parser.add_argument("scratch", type=Path)
    parser.add_argument("--prepare", action="store_true")
    given = parser.parse_args()
    # Conversions are kept until the run ends.
    os.environ["XDG_CACHE_HOME"] = str(given.scratch / "cache")
    if given.prepare:
        PREPARATIONS[given.name](given.weights, given.scratch)
        return
    texts = json.loads(given.texts.read_text())
    print(json.dumps(measure(given.name, texts, given.weights, given.scratch)))


if __name__ == "__main__":
    main()
