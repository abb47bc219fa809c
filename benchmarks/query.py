"""What a query costs: encoding it in a running program, and a whole command.

    python benchmarks/query.py [--queries 300] [--repeats 5] [--json]

Prints two tables. The first: median, 95th percentile and slowest of `encode_queries([query])` in
milliseconds, in this process, after a warm-up. The second: CPU seconds (user and system) of whole
processes, median over the repeats, the interpreter's own start included: `splade-connectors
search` over the sample collection in the embedded engine, and the imports that it would have to
pay for if it made them.
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

from common import SAMPLE, beir_folder, command_line, run, texts

QUERY = "how do vaccines work"
IMPORTS = ("splade_connectors", "numpy", "onnxruntime", "qdrant_client", "elasticsearch", "torch")


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--queries", type=int, default=300)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--json", action="store_true", help="one JSON document instead")
    arguments = parser.parse_args()
    encoding = _encoding(texts(beir_folder() / "queries.jsonl", arguments.queries))
    processes = _processes(arguments.repeats)
    if arguments.json:
        print(json.dumps({"encode_ms": encoding, "cpu_s": processes}))
    else:
        _print_tables(encoding, processes, arguments)


def _encoding(queries: list[str]) -> dict[str, float]:
    from splade_connectors import load_encoder

    encoder = load_encoder()
    for query in queries[:20]:
        encoder.encode_queries([query])
    taken = []
    for query in queries:
        begun = time.perf_counter()
        encoder.encode_queries([query])
        taken.append(1000 * (time.perf_counter() - begun))
    return {"median": median(taken), "p95": quantiles(taken, n=20)[-1], "slowest": max(taken)}


def _processes(repeats: int) -> dict[str, float]:
    """CPU seconds of each process; they take turns."""
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
        }
        for module in IMPORTS:
            if importlib.util.find_spec(module):
                commands[f"import {module}"] = [sys.executable, "-c", f"import {module}"]
        found: dict[str, list[float]] = {name: [] for name in commands}
        for _ in range(repeats):
            for name, command in commands.items():
                found[name].append(run(command).cpu_s)
    return {name: median(seconds) for name, seconds in found.items()}


def _print_tables(
    encoding: dict[str, float], processes: dict[str, float], arguments: argparse.Namespace
) -> None:
    from rich.console import Console
    from rich.table import Table

    screen = Console(width=100)
    table = Table(title=f"encode_queries, one at a time, {arguments.queries} queries")
    for column in encoding:
        table.add_column(f"{column} ms", justify="right")
    table.add_row(*(f"{value:.2f}" for value in encoding.values()))
    screen.print(table)
    table = Table(title=f"whole processes, median of {arguments.repeats}")
    table.add_column("process")
    table.add_column("CPU s", justify="right")
    for name, seconds in processes.items():
        table.add_row(name, f"{seconds:.2f}")
    screen.print(table)


if __name__ == "__main__":
    main()
