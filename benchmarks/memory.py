"""Peak memory of indexing and of encoding, with batch sizes that differ a thousandfold.

    python benchmarks/memory.py [--file CORPUS] [--documents N] [--encode MODEL] [--json]

Prints a table, one row per `--batch-size`: the peak resident memory of the whole
`splade-connectors index FILE edge:FOLDER` process (encoder and embedded engine included), the
documents per second that it reports, and the memory as a ratio to the smallest. Memory is bounded
by the tokens of a batch, not by its texts: the ratios stay near 1.

With `--encode MODEL` (a folder, or splade-tiny) nothing is indexed: the process loads that model
with the int8 engine and only encodes texts of 512 tokens.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from itertools import islice
from pathlib import Path

from common import Run, beir_folder, command_line, run

BATCH_SIZES = (1, 64, 1024)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--file", type=Path, default=beir_folder() / "corpus.jsonl", help="JSONL")
    parser.add_argument("--documents", type=int, help="only this many of its lines, from the first")
    parser.add_argument("--encode", metavar="MODEL", help="encode only, with the int8 engine")
    parser.add_argument("--json", action="store_true", help="print one JSON document instead")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        file = _head(arguments.file, arguments.documents, Path(scratch))
        found = {
            size: _encode(file, size, arguments.encode, arguments.documents or 64)
            if arguments.encode
            else _index(file, size, Path(scratch))
            for size in BATCH_SIZES
        }
    if arguments.json:
        print(json.dumps({size: values for size, (values, _) in found.items()}))
    else:
        _print_table(found, arguments.file)


def _head(file: Path, lines: int | None, scratch: Path) -> Path:
    if lines is None:
        return file
    head = scratch / file.name
    with file.open(encoding="utf-8") as source, head.open("w", encoding="utf-8") as target:
        target.writelines(islice(source, lines))
    return head


def _index(file: Path, batch_size: int, scratch: Path) -> tuple[dict[str, float], Run]:
    target = f"edge:{scratch / f'index-{batch_size}'}"
    done = run(command_line("index", str(file), target, "--batch-size", str(batch_size), "--json"))
    report = json.loads(done.output)
    values = {
        "peak_mib": done.peak_mib,
        "documents": report["written"],
        "docs_per_s": report["written"] / report["seconds"],
    }
    return values, done


_ENCODE = """
import json, sys, time
from splade_connectors import EncodeOptions, load_encoder
file, size, model, count = sys.argv[1], int(sys.argv[2]), sys.argv[3], int(sys.argv[4])
# Texts of a thousand words, truncated at 512 tokens.
words = " ".join(json.loads(line)["text"] for _, line in zip(range(50), open(file))).split()
texts = [" ".join(words[at : at + 1000]) for at in range(count)]
options = EncodeOptions(max_length=512, batch_size=size)
encoder = load_encoder(model, engine="int8", options=options)
begun = time.perf_counter()
encoder.encode_documents(texts)
print(json.dumps({"documents": count, "seconds": time.perf_counter() - begun}))
"""


def _encode(file: Path, size: int, model: str, count: int) -> tuple[dict[str, float], Run]:
    done = run([sys.executable, "-c", _ENCODE, str(file), str(size), model, str(count)])
    said = json.loads(done.output)
    values = {
        "peak_mib": done.peak_mib,
        "documents": said["documents"],
        "docs_per_s": said["documents"] / said["seconds"],
    }
    return values, done


def _print_table(found: dict[int, tuple[dict[str, float], Run]], file: Path) -> None:
    from rich.console import Console
    from rich.table import Table

    smallest = min(values["peak_mib"] for values, _ in found.values())
    documents = next(iter(found.values()))[0]["documents"]
    table = Table(title=f"{documents:,} documents of {file.resolve().parent.name}")
    for column in ("batch size", "peak MiB", "x smallest", "docs/s", "wall s", "CPU s"):
        table.add_column(column, justify="right")
    for size, (values, done) in found.items():
        table.add_row(
            f"{size:,}",
            f"{values['peak_mib']:,.0f}",
            f"{values['peak_mib'] / smallest:.2f}",
            f"{values['docs_per_s']:.0f}",
            f"{done.wall_s:.1f}",
            f"{done.cpu_s:.1f}",
        )
    Console(width=100).print(table)


if __name__ == "__main__":
    main()
