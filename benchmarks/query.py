"""The cost of a query: encoding it in a running program, and a whole command.

    python benchmarks/query.py [--queries 300] [--repeats 5] [--results FILE] [--json]

Prints two tables. The first: median, 95th percentile and slowest of `encode_queries([query])` in
milliseconds for each installed engine, in this process, after a warm-up, and of a query of eight
words; and the CPU seconds that one idle second takes. The second: CPU seconds (user and system) of
whole processes, median over the repeats, including the interpreter's start: `splade-connectors
search` over the sample collection in the embedded engine, a first query in a fresh process, and
bare imports for comparison.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import sys
import tempfile
import time
from pathlib import Path
from statistics import median, quantiles

from common import SAMPLE, beir_folder, command_line, machine, run, save, texts

from splade_connectors import SparseEncoder

QUERY = "how do vaccines work"
IMPORTS = ("splade_connectors", "numpy", "onnxruntime", "qdrant_client", "elasticsearch", "torch")


EIGHT_WORDS = "how do vaccines work against the new flu"
TOKENIZER = Path(__file__).parent.parent / "splade_connectors/models/splade-tiny/tokenizer.json"
# The minimum that a first query needs, and a first query.
BASE = f"import numpy, tokenizers; tokenizers.Tokenizer.from_file({str(TOKENIZER)!r})"
FIRST = (
    "from splade_connectors import load_encoder; load_encoder(engine={!r}).encode_queries([{!r}])"
)
MODULES = {"int8": "splade_kernels", "onnx": "onnxruntime"}


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--queries", type=int, default=300)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--results", type=Path, help="write the numbers to this file, as JSON")
    parser.add_argument("--json", action="store_true", help="print one JSON document instead")
    arguments = parser.parse_args()
    queries = texts(beir_folder() / "queries.jsonl", arguments.queries)
    encoding = {engine: _encoding(engine, queries) for engine in _engines()}
    processes = _processes(arguments.repeats)
    result = {"machine": machine(), "encode_ms": encoding, "cpu_s": processes}
    if arguments.results:
        save(arguments.results, result)
    if arguments.json:
        print(json.dumps(result))
    else:
        _print_tables(encoding, processes, arguments)


def _engines() -> list[str]:
    return [engine for engine, module in MODULES.items() if importlib.util.find_spec(module)]


def _encoding(engine: str, queries: list[str]) -> dict[str, float]:
    from splade_connectors import load_encoder

    encoder = load_encoder(engine=engine)  # type: ignore[arg-type]
    _timed(encoder, queries[:20])
    taken = _timed(encoder, queries)
    eight = _timed(encoder, [EIGHT_WORDS] * len(queries))
    begun = time.process_time()
    time.sleep(1)
    return {
        "median": median(taken),
        "p95": quantiles(taken, n=20)[-1],
        "slowest": max(taken),
        "eight_words_median": median(eight),
        "idle_cpu_s": time.process_time() - begun,
    }


def _timed(encoder: SparseEncoder, queries: list[str]) -> list[float]:
    taken = []
    for query in queries:
        begun = time.perf_counter()
        encoder.encode_queries([query])
        taken.append(1000 * (time.perf_counter() - begun))
    return taken


def _processes(repeats: int) -> dict[str, float]:
    """CPU seconds of each process; the processes take turns."""
    with tempfile.TemporaryDirectory() as scratch:
        target = f"edge:{Path(scratch) / 'index'}"
        run(command_line("index", str(SAMPLE / "corpus.jsonl"), target))
        commands = {
            "splade-connectors search": command_line("search", target, QUERY),
            "splade-connectors search --dry-run": command_line(
                "search", target, QUERY, "--dry-run"
            ),
            "splade-connectors --version": command_line("--version"),
            "python -c pass": [sys.executable, "-c", "pass"],
            "import numpy, tokenizers; load the tokenizer": [sys.executable, "-c", BASE],
        }
        for engine in _engines():
            first = [sys.executable, "-c", FIRST.format(engine, QUERY)]
            commands[f"import, load, first query ({engine})"] = first
        for module in IMPORTS:
            if importlib.util.find_spec(module):
                commands[f"import {module}"] = [sys.executable, "-c", f"import {module}"]
        found: dict[str, list[float]] = {name: [] for name in commands}
        for _ in range(repeats):
            for name, command in commands.items():
                found[name].append(run(command).cpu_s)
    return {name: median(seconds) for name, seconds in found.items()}


def _print_tables(
    encoding: dict[str, dict[str, float]],
    processes: dict[str, float],
    arguments: argparse.Namespace,
) -> None:
    from rich.console import Console
    from rich.table import Table

    screen = Console(width=120)
    table = Table(title=f"encode_queries, one at a time, {arguments.queries} queries")
    table.add_column("engine")
    for column in next(iter(encoding.values())):
        table.add_column(column if column.startswith("idle") else f"{column} ms", justify="right")
    for engine, values in encoding.items():
        table.add_row(engine, *(f"{value:.2f}" for value in values.values()))
    screen.print(table)
    table = Table(title=f"whole processes, median of {arguments.repeats}")
    table.add_column("process")
    table.add_column("CPU s", justify="right")
    for name, seconds in processes.items():
        table.add_row(name, f"{seconds:.2f}")
    screen.print(table)


if __name__ == "__main__":
    main()
