"""Speed of the kernels as shares of this machine's own limits, measured in the same seconds.

    python kernels/bench/speed.py                       # the head alone, widths 128 and 768
    python kernels/bench/speed.py MODEL TEXTS.jsonl     # and a whole model (a transformers folder)

Every figure is a median over interleaved repeats. Beside wall time stands the CPU time of the
process, which other programs on the machine disturb less; the limits are taken in both ways.
"""

import argparse
import json
import pathlib
import statistics
import tempfile
import time
from collections.abc import Callable
from typing import Any

import numpy as np

import splade_kernels as sk

VOCABULARY = 30_522


class Clock:
    """Wall and CPU seconds of what runs inside."""

    def __enter__(self) -> "Clock":
        self._start = time.perf_counter(), time.process_time()
        return self

    def __exit__(self, *_: object) -> None:
        self.wall = time.perf_counter() - self._start[0]
        self.cpu = time.process_time() - self._start[1]


def limit(args: argparse.Namespace, cpu_time: bool) -> float:
    """int8 products a second."""
    limits = sk.limits(args.threads, seconds=0.03, path=args.path, cpu_time=cpu_time)
    return limits.int8 / (args.threads if cpu_time else 1)


def shares(work: Callable[[], Any], products: float, args: argparse.Namespace) -> dict[str, float]:
    """Products a second as shares of the limit around them."""
    rows = []
    work()
    for _ in range(args.repeats):
        before = [limit(args, cpu_time) for cpu_time in (False, True)]
        with Clock() as clock:
            work()
        after = [limit(args, cpu_time) for cpu_time in (False, True)]
        wall, cpu = (max(pair) for pair in zip(before, after, strict=True))
        rows.append(
            {
                "seconds": clock.wall,
                "cpu_seconds": clock.cpu,
                "share": products / clock.wall / wall,
                "share_of_cpu_time": products / clock.cpu / cpu,
            }
        )
    return {key: statistics.median(row[key] for row in rows) for key in rows[0]}


def head(width: int, args: argparse.Namespace) -> dict[str, float]:
    """The fused head alone, over texts of 240 tokens."""
    rng = np.random.default_rng(0)
    texts = 4096 // width
    weights, scale = sk.quantize(rng.normal(size=(VOCABULARY, width)))
    linear = sk.Linear(weights, scale, path=args.path)
    x = rng.normal(size=(240 * texts, width)).astype(np.float32)
    offsets = np.arange(texts + 1) * 240
    products = float(len(x)) * width * VOCABULARY
    return shares(lambda: linear.maximum(x, offsets, threads=args.threads), products, args)


def tokens(folder: pathlib.Path, args: argparse.Namespace) -> tuple[Any, Any]:
    """Ids and offsets of the texts."""
    from tokenizers import Tokenizer

    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    tokenizer.no_padding()
    tokenizer.enable_truncation(args.max_tokens)
    with open(args.texts, encoding="utf-8") as lines:
        rows = [json.loads(line) for _, line in zip(range(args.documents), lines, strict=False)]
    texts = [f"{row.get('title', '')} {row['text']}".strip() for row in rows]
    encoded = [e.ids for e in tokenizer.encode_batch(texts)]
    return np.concatenate(encoded).astype(np.uint32), np.cumsum([0, *map(len, encoded)])


def whole(folder: pathlib.Path, args: argparse.Namespace) -> dict[str, float]:
    """A whole model: loading, documents, a query of eight words."""
    from safetensors.numpy import load_file

    config = json.loads((folder / "config.json").read_text())
    with tempfile.TemporaryDirectory() as where:
        file = pathlib.Path(where) / "model.splade"
        sk.write_model(file, config, load_file(folder / "model.safetensors"))
        with Clock() as loading:
            model = sk.Model.load(file, path=args.path)
    ids, offsets = tokens(folder, args)
    products = float(len(ids)) * model.products_per_token
    found = shares(lambda: model.encode_sparse(ids, offsets, threads=args.threads), products, args)
    count = len(offsets) - 1
    query = ids[: 8 + 2]
    times = []
    for _ in range(200):
        with Clock() as clock:
            model.encode_sparse(query, [0, len(query)], threads=args.threads)
        times.append(clock.wall)
    return {
        "documents": count,
        "tokens_per_document": len(ids) / count,
        "documents_per_second": count / found["seconds"],
        "documents_per_cpu_second": count / found["cpu_seconds"],
        **found,
        "load_ms": loading.wall * 1000,
        "load_cpu_ms": loading.cpu * 1000,
        "query_ms": statistics.median(times) * 1000,
    }


def main() -> None:
    """Measure and print JSON."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model", nargs="?", type=pathlib.Path, help="a transformers folder")
    parser.add_argument("texts", nargs="?", help="JSONL with title and text")
    parser.add_argument("--documents", type=int, default=128)
    parser.add_argument("--max-tokens", type=int, default=256)
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--threads", type=int, default=sk.threads())
    parser.add_argument("--path", default=sk.path(), choices=sk.paths())
    args = parser.parse_args()
    limits = sk.limits(args.threads, path=args.path)
    results: dict[str, Any] = {
        "cpu_features": sk.cpu_features(),
        "path": args.path,
        "threads": args.threads,
        "int8_limit": limits.int8,
        "fp32_limit": limits.fp32,
        "head_128": head(128, args),
        "head_768": head(768, args),
    }
    if args.model:
        results["model"] = whole(args.model, args)
    print(json.dumps(results, indent=2))


if __name__ == "__main__":
    main()
