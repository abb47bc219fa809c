"""Documents per second and peak memory of encoding, beside the other packages that do it.

    python benchmarks/encode.py [--beir DIR] [--texts 256] [--repeats 3] [--json]

Prints a table, one row per encoder: documents per second, CPU milliseconds per document and peak
resident memory of its process, each the median over the repeats and also as a ratio to
sentence-transformers, and the mean number of terms above 0.001 as proof that all of them compute
the same. Each encodes the same texts with the same weights, cut at 256 tokens, at its default
batch size (fastembed, whose default of 256 would take tens of gigabytes: 32), in a process of its
own; the repeats take turns, so that a busy machine is unfair to nobody. Loading and a first batch
of eight texts are not timed, but count for memory.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import shutil
import sys
import tempfile
import time
import warnings
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from statistics import median
from typing import Any

from common import beir_folder, run, texts, weights_folder

MAX_LENGTH = 256
PEER = "sentence-transformers"
# How many terms of each vector weigh more than 0.001.
Terms = list[int]
Encode = Callable[[list[str]], Terms]


def main() -> None:
    """Measure and print."""
    arguments = _arguments()
    with tempfile.TemporaryDirectory() as scratch:
        given = Path(scratch) / "texts.json"
        given.write_text(json.dumps(texts(arguments.beir / "corpus.jsonl", arguments.texts)))
        names, notes = _encoders(arguments.weights)
        graph = Path(scratch) / "logits"
        if "fastembed" in names:
            run([sys.executable, __file__, "--export", str(graph), str(arguments.weights)])
        found: dict[str, list[dict[str, float]]] = {name: [] for name in names}
        for _ in range(arguments.repeats):
            for name in names:
                folder = graph if name == "fastembed" else arguments.weights
                child = [sys.executable, __file__, "--child", name, str(given), str(folder)]
                done = run(child)
                found[name].append(json.loads(done.output) | {"peak_mib": done.peak_mib})
    results = {name: _medians(runs, arguments.texts) for name, runs in found.items()}
    if arguments.json:
        print(json.dumps({"results": results, "notes": notes, "texts": arguments.texts}))
    else:
        _print_table(results, notes, arguments)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--beir", type=Path, default=beir_folder(), help="folder in BEIR layout")
    parser.add_argument("--texts", type=int, default=256, help="how many of its documents")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument(
        "--weights", type=Path, default=weights_folder(), help="of the bundled model, for the peers"
    )
    parser.add_argument("--json", action="store_true", help="one JSON document instead")
    return parser.parse_args()


def _encoders(weights: Path) -> tuple[list[str], list[str]]:
    """Those that can run here, and why the others cannot."""
    needs = {
        "onnx (bundled)": ("onnxruntime",),
        "torch": ("torch", "transformers"),
        PEER: ("sentence_transformers",),
        "fastembed": ("fastembed", "torch", "transformers", "onnx"),
    }
    names, notes = [], []
    for name, modules in needs.items():
        absent = [module for module in modules if importlib.util.find_spec(module) is None]
        if absent:
            notes.append(f"{name} left out: {', '.join(absent)} not installed")
        elif "bundled" not in name and not (weights / "model.safetensors").is_file():
            notes.append(f"{name} left out: no weights; name their folder with --weights")
        else:
            names.append(name)
    return names, notes


def _medians(runs: Sequence[dict[str, float]], count: int) -> dict[str, float]:
    return {
        "docs_per_s": count / median(one["seconds"] for one in runs),
        "slowest_docs_per_s": count / max(one["seconds"] for one in runs),
        "fastest_docs_per_s": count / min(one["seconds"] for one in runs),
        "cpu_ms_per_doc": 1000 * median(one["cpu_seconds"] for one in runs) / count,
        "peak_mib": median(one["peak_mib"] for one in runs),
        "terms": runs[0]["terms"],
    }


def _print_table(
    results: dict[str, dict[str, float]], notes: list[str], arguments: argparse.Namespace
) -> None:
    from rich.console import Console
    from rich.table import Table

    title = (
        f"{arguments.texts} texts of {arguments.beir.resolve().name}, {MAX_LENGTH} tokens at most, "
        f"median of {arguments.repeats}"
    )
    table = Table(title=title)
    table.add_column("encoder", no_wrap=True)
    for column in ("docs/s", "slowest-fastest", "x", "CPU ms/doc", "x", "peak MiB", "x", "terms"):
        table.add_column(column, justify="right")
    peer = results.get(PEER)
    for name, values in results.items():
        table.add_row(
            name,
            f"{values['docs_per_s']:.1f}",
            f"{values['slowest_docs_per_s']:.1f}-{values['fastest_docs_per_s']:.1f}",
            _ratio(values, peer, "docs_per_s"),
            f"{values['cpu_ms_per_doc']:.1f}",
            _ratio(values, peer, "cpu_ms_per_doc"),
            f"{values['peak_mib']:,.0f}",
            _ratio(values, peer, "peak_mib"),
            f"{values['terms']:.1f}",
        )
    screen = Console(width=120)
    screen.print(table)
    screen.print(f"x: as a ratio to {PEER}")
    for note in notes:
        screen.print(note)


def _ratio(values: dict[str, float], peer: dict[str, float] | None, name: str) -> str:
    return f"{values[name] / peer[name]:.2f}" if peer else "-"


# The encoders, each in a process of its own.


def child(name: str, path: Path, folder: Path) -> None:
    """Encode the texts of a file with one encoder; print times and terms as JSON."""
    makers: dict[str, Callable[[Path], Encode]] = {
        "onnx (bundled)": _onnx,
        "torch": _torch,
        PEER: _sentence_transformers,
        "fastembed": _fastembed,
    }
    given = json.loads(path.read_text())
    encode = makers[name](folder)
    encode(given[:8])
    begun, begun_cpu = time.perf_counter(), time.process_time()
    terms = encode(given)
    measured = {
        "seconds": time.perf_counter() - begun,
        "cpu_seconds": time.process_time() - begun_cpu,
        "terms": sum(terms) / len(terms),
    }
    print(json.dumps(measured))


def _counts(vectors: Iterable[Any]) -> Terms:
    return [int((vector.values > 1e-3).sum()) for vector in vectors]


def _onnx(_: Path) -> Encode:
    from splade_connectors import load_encoder

    encoder = load_encoder()
    return lambda given: _counts(encoder.encode_documents(given))


def _torch(folder: Path) -> Encode:
    from splade_connectors import EncodeOptions, load_encoder

    options = EncodeOptions(max_length=MAX_LENGTH)
    encoder = load_encoder(folder, engine="torch", options=options, device="cpu")
    return lambda given: _counts(encoder.encode_documents(given))


def _sentence_transformers(folder: Path) -> Encode:
    from sentence_transformers import SparseEncoder
    from sentence_transformers.sparse_encoder import modules

    head = modules.MLMTransformer(str(folder), max_seq_length=MAX_LENGTH)
    model = SparseEncoder(modules=[head, modules.SpladePooling("max")], device="cpu")

    def encode(given: list[str]) -> Terms:
        rows = model.encode(given, convert_to_tensor=False, show_progress_bar=False)
        return [int((row.coalesce().values() > 1e-3).sum()) for row in rows]

    return encode


def _fastembed(folder: Path) -> Encode:
    from fastembed import SparseTextEmbedding

    # The name chooses the code; the model is the folder's.
    name = "prithivida/Splade_PP_en_v1"
    model = SparseTextEmbedding(name, specific_model_path=str(folder), cuda=False)
    return lambda given: _counts(model.embed(given, batch_size=32))


def export(out: Path, weights: Path) -> None:
    """The folder that fastembed reads: a graph with logits, the tokenizer, and its settings."""
    import torch
    from transformers import AutoModelForMaskedLM

    class Logits(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.model = AutoModelForMaskedLM.from_pretrained(weights, use_safetensors=True)

        def forward(self, ids: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
            logits: torch.Tensor = self.model(input_ids=ids, attention_mask=mask).logits
            return logits

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
    for name in ("config.json", "tokenizer.json"):
        shutil.copy(weights / name, out)
    settings = json.loads((weights / "tokenizer_config.json").read_text())
    lengths = {"model_max_length": MAX_LENGTH, "max_length": MAX_LENGTH}
    (out / "tokenizer_config.json").write_text(json.dumps(settings | lengths))


if __name__ == "__main__":
    if sys.argv[1:2] == ["--child"]:
        child(sys.argv[2], Path(sys.argv[3]), Path(sys.argv[4]))
    elif sys.argv[1:2] == ["--export"]:
        export(Path(sys.argv[2]), Path(sys.argv[3]))
    else:
        main()
