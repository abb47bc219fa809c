"""Documents per second and peak memory of encoding, compared with other packages.

    python benchmarks/encode.py [--weights DIR] [--texts 256] [--repeats 3] [--only NAME …]
        [--peers-python PATH] [--results FILE] [--json]

Prints a table, one row per encoder: documents per second, CPU milliseconds per document and peak
resident memory of its process, each the median over the repeats and also as a ratio to
sentence-transformers, and the mean number of terms above 0.001 as proof that all of them compute
the same. Each encodes the same texts with the same weights, truncated at 256 tokens, at its default
batch size (fastembed at 32: its default of 256 would take tens of gigabytes), in a separate
process; encoders take turns, so that a busy machine affects all of them alike. Loading and a first
batch of eight texts are not timed, but count for memory. In the same turns, bare loops of multiply
instructions measure the machine's limits; our int8 engine's share of the int8 limit is printed.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from statistics import median

from common import beir_folder, limits, machine, run, save, texts, weights_folder
from peers import MAX_LENGTH, PEERS, PREPARATIONS, ST

PEER_FILE = str(Path(__file__).with_name("peers.py"))


def main() -> None:
    """Measure and print."""
    arguments = _arguments()
    given = texts(arguments.beir / "corpus.jsonl", arguments.texts)
    names, notes = _runnable(arguments)
    with tempfile.TemporaryDirectory() as scratch:
        files = [f"{scratch}/texts.json", str(arguments.weights), scratch]
        Path(files[0]).write_text(json.dumps(given))
        _prepare(names, arguments, files)
        found: dict[str, list[dict[str, float]]] = {name: [] for name in names}
        bare = []
        for _ in range(arguments.repeats):
            bare.append(limits())
            for name in names:
                done = run([_python(name, arguments), PEER_FILE, name, *files])
                found[name].append(json.loads(done.output) | {"peak_mib": done.peak_mib})
        os.environ["XDG_CACHE_HOME"] = f"{scratch}/cache"
        share = _share(found["int8"], given, arguments.weights, bare) if "int8" in names else {}
    result = {
        "texts": arguments.texts,
        "collection": arguments.beir.resolve().name,
        "model": arguments.weights.resolve().name,
        "repeats": arguments.repeats,
        "machine": machine(),
        "share_of_limit": share,
        "results": {name: _medians(runs, arguments.texts) for name, runs in found.items()},
        "notes": notes,
    }
    if arguments.results:
        save(arguments.results, result)
    if arguments.json:
        print(json.dumps(result))
    else:
        _print_table(result)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--beir", type=Path, default=beir_folder(), help="folder in BEIR layout")
    parser.add_argument("--texts", type=int, default=256, help="number of its documents")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument(
        "--weights",
        type=Path,
        default=weights_folder(),
        help="folder with the model's weights, for all encoders",
    )
    parser.add_argument("--only", nargs="+", choices=list(PEERS), default=list(PEERS))
    parser.add_argument(
        "--peers-python", help="Python that runs the peers with conflicting requirements"
    )
    parser.add_argument("--results", type=Path, help="write the numbers to this file, as JSON")
    parser.add_argument("--json", action="store_true", help="print one JSON document instead")
    return parser.parse_args()


def _python(name: str, arguments: argparse.Namespace) -> str:
    peer = PEERS.get(name) or next(one for one in PEERS.values() if one.prepare == name)
    elsewhere = peer.elsewhere and arguments.peers_python
    return str(arguments.peers_python) if elsewhere else sys.executable


def _runnable(arguments: argparse.Namespace) -> tuple[list[str], list[str]]:
    """The encoders that can run here, and the reasons why the others cannot."""
    if not (arguments.weights / "model.safetensors").is_file():
        sys.exit(f"no weights in {arguments.weights}: name their folder with --weights")
    names, notes = [], []
    for name in arguments.only:
        absent = [module for module in PEERS[name].needs if not _has(module, name, arguments)]
        if absent:
            notes.append(f"{name} left out: {', '.join(absent)} not installed")
        else:
            names.append(name)
    return names, notes


def _has(module: str, name: str, arguments: argparse.Namespace) -> bool:
    if _python(name, arguments) == sys.executable:
        return importlib.util.find_spec(module) is not None
    tried = [arguments.peers_python, "-c", f"import {module}"]
    return subprocess.run(tried, capture_output=True).returncode == 0


def _prepare(names: list[str], arguments: argparse.Namespace, files: list[str]) -> None:
    wanted = {PEERS[name].prepare for name in names}
    if "ort int8" in wanted:
        wanted.add("logits")
    for name in PREPARATIONS:
        if name in wanted:
            # torch makes the graph with logits; the peers' environment may not have it.
            python = sys.executable if name == "logits" else _python(name, arguments)
            run([python, PEER_FILE, name, *files, "--prepare"])


def _share(
    runs: Sequence[dict[str, float]],
    given: list[str],
    weights: Path,
    bare: Sequence[dict[str, float]],
) -> dict[str, float]:
    """The share of the machine's int8 limit that our engine reaches, for each turn."""
    from splade_connectors import EncodeOptions, EncodeStats, load_encoder

    stats = EncodeStats()
    encoder = load_encoder(weights, engine="int8", options=EncodeOptions(max_length=MAX_LENGTH))
    encoder.encode_documents(given, stats=stats)
    products = encoder.products_per_token  # type: ignore[attr-defined]
    reached = [stats.tokens * products / one["seconds"] for one in runs]
    shares = [mine / one["int8"] for mine, one in zip(reached, bare, strict=True)]
    by_cpu = [
        stats.tokens * products / mine["cpu_seconds"] / one["int8_cpu"]
        for mine, one in zip(runs, bare, strict=True)
    ]
    return {
        "tokens_per_document": stats.tokens / len(given),
        "products_per_token": products,
        "int8_gmac_per_s": median(reached) / 1e9,
        "limit_int8_gmac_per_s": median(one["int8"] for one in bare) / 1e9,
        "limit_fp32_gmac_per_s": median(one["fp32"] for one in bare) / 1e9,
        "share": median(shares),
        "share_by_cpu_time": median(by_cpu),
    }


def _medians(runs: Sequence[dict[str, float]], count: int) -> dict[str, float]:
    return {
        "docs_per_s": count / median(one["seconds"] for one in runs),
        "slowest_docs_per_s": count / max(one["seconds"] for one in runs),
        "fastest_docs_per_s": count / min(one["seconds"] for one in runs),
        "cpu_ms_per_doc": 1000 * median(one["cpu_seconds"] for one in runs) / count,
        "peak_mib": median(one["peak_mib"] for one in runs),
        "terms": runs[0]["terms"],
    }


def _print_table(result: dict) -> None:
    from rich.console import Console
    from rich.table import Table

    results = result["results"]
    title = (
        f"{result['model']}: {result['texts']} texts of {result['collection']}, {MAX_LENGTH} "
        f"tokens at most, median of {result['repeats']}"
    )
    table = Table(title=title)
    table.add_column("encoder", no_wrap=True)
    for column in ("docs/s", "slowest-fastest", "x", "CPU ms/doc", "x", "peak MiB", "x", "terms"):
        table.add_column(column, justify="right")
    peer = results.get(ST)
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
    screen.print(f"x: as a ratio to {ST}")
    for name, value in (result["machine"] | result["share_of_limit"]).items():
        screen.print(f"{name}: {value}")
    for note in result["notes"]:
        screen.print(note)


def _ratio(values: dict[str, float], peer: dict[str, float] | None, name: str) -> str:
    return f"{values[name] / peer[name]:.2f}" if peer else "-"


if __name__ == "__main__":
    main()
