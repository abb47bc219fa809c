"""Parity and speed on a CUDA device, compared with sentence-transformers on the same card.

    python benchmarks/gpu.py [--texts 2048] [--repeats 3] [--beir DIR] [--weights DIR]
        [--results FILE]

Parity: the vectors of a trained model (`--weights`) in fp16 and bf16 against those in fp32 on the
CPU. Speed: documents per second of BERT-base with random weights, with the bias of the head set so
that a text has as many terms as with a trained SPLADE; encoders take turns, and medians are printed
with their ratio to sentence-transformers in fp32, its default. Peak memory is what torch allocated
on the device.
"""

from __future__ import annotations

import argparse
import gc
import json
import shutil
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

from common import beir_folder, machine, save, texts, weights_folder
from peers import BATCH, MAX_LENGTH, sentence_transformers_model

# About as many as a trained SPLADE gives.
TERMS = 250
Encode = Callable[[list[str]], object]
PEER = "sentence-transformers fp32"


def main() -> None:
    """Measure and print."""
    import torch

    arguments = _arguments()
    if not torch.cuda.is_available():
        raise SystemExit("benchmarks/gpu.py needs a CUDA device; torch finds none")
    given = texts(arguments.beir / "corpus.jsonl", arguments.texts)
    with tempfile.TemporaryDirectory() as scratch:
        folder = bert_base(Path(scratch), arguments.weights, given[:64])
        speed = _speeds(folder, given, arguments.repeats)
    result: dict[str, object] = {
        "card": torch.cuda.get_device_name(),
        "machine": machine(),
        "texts": arguments.texts,
        "max_length": MAX_LENGTH,
        "parity": _parity(arguments.weights, given[:256]),
        "bert_base": speed,
    }
    print(json.dumps(result, indent=2))
    if arguments.results:
        save(arguments.results, result)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--beir", type=Path, default=beir_folder())
    parser.add_argument("--weights", type=Path, default=weights_folder())
    parser.add_argument("--texts", type=int, default=2048)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--results", type=Path)
    return parser.parse_args()


def bert_base(scratch: Path, tokenizer: Path, sample: list[str]) -> Path:
    """BERT-base with random weights, in transformers' layout, with about `TERMS` terms a text."""
    import numpy as np
    import torch
    from transformers import BertConfig, BertForMaskedLM

    folder = scratch / "bert-base"
    torch.manual_seed(1)
    model = BertForMaskedLM(BertConfig(vocab_size=30_522)).eval()
    model.save_pretrained(folder)
    for name in ("tokenizer.json", "tokenizer_config.json"):
        shutil.copy(tokenizer / name, folder)
    dense = _ours(folder, "fp32").encode_documents(sample).to_scipy(30_522).toarray()
    logits = np.expm1(np.sort(dense, axis=1)[:, -TERMS])
    with torch.no_grad():
        model.cls.predictions.bias -= float(np.median(logits))
    model.save_pretrained(folder)
    return folder


def _ours(folder: Path, precision: str) -> Any:
    from splade_connectors import EncodeOptions, load_encoder

    options = EncodeOptions(max_length=MAX_LENGTH)
    return load_encoder(folder, device="cuda", precision=precision, options=options)  # type: ignore[arg-type]


def _peer(folder: Path, dtype: str) -> Encode:
    import torch

    settings = {"dtype": getattr(torch, dtype)}
    model = sentence_transformers_model(folder, "cuda", model_kwargs=settings)
    return lambda given: model.encode(
        given, batch_size=BATCH, convert_to_tensor=False, show_progress_bar=False
    )


def _speeds(folder: Path, given: list[str], repeats: int) -> dict[str, dict[str, float]]:
    import torch

    encoders: dict[str, Callable[[], Encode]] = {
        PEER: lambda: _peer(folder, "float32"),
        "sentence-transformers fp16": lambda: _peer(folder, "float16"),
        "sentence-transformers bf16": lambda: _peer(folder, "bfloat16"),
        "splade-connectors fp32": lambda: _ours(folder, "fp32").encode_documents,
        "splade-connectors fp16": lambda: _ours(folder, "fp16").encode_documents,
        "splade-connectors bf16": lambda: _ours(folder, "bf16").encode_documents,
    }
    seconds: dict[str, list[float]] = {name: [] for name in encoders}
    peaks: dict[str, float] = {}
    for _ in range(repeats):
        for name, make in encoders.items():
            encode = make()
            encode(given[:64])
            gc.collect()
            torch.cuda.empty_cache()
            torch.cuda.reset_peak_memory_stats()
            torch.cuda.synchronize()
            begun = time.perf_counter()
            encode(given)
            torch.cuda.synchronize()
            seconds[name].append(time.perf_counter() - begun)
            peaks[name] = torch.cuda.max_memory_allocated() / 2**20
    peer = median(seconds[PEER])
    return {
        name: {
            "docs_per_s": round(len(given) / median(times), 1),
            "ratio": round(peer / median(times), 2),
            "peak_device_mib": round(peaks[name]),
        }
        for name, times in seconds.items()
    }


def _parity(weights: Path, given: list[str]) -> dict[str, dict[str, float]]:
    """Compare the trained model's vectors with fp32 on the CPU."""
    import numpy as np

    from splade_connectors import EncodeOptions, load_encoder

    options = EncodeOptions(max_length=MAX_LENGTH)
    exact = load_encoder(weights, engine="torch", device="cpu", precision="fp32", options=options)
    left = exact.encode_documents(given).to_scipy(30_522).toarray()
    found = {}
    for precision in ("fp32", "fp16", "bf16"):
        right = _ours(weights, precision).encode_documents(given).to_scipy(30_522).toarray()
        lengths = np.linalg.norm(left, axis=1) * np.linalg.norm(right, axis=1)
        cosines = (left * right).sum(axis=1) / lengths
        found[precision] = {
            "smallest_cosine": round(float(cosines.min()), 7),
            "largest_difference": round(float(np.abs(left - right).max()), 5),
            "terms": round(float((right > 1e-3).sum(axis=1).mean()), 1),
        }
    return found


if __name__ == "__main__":
    main()
