"""A nightly run over unchanged documents, compared with the run that wrote them.

    python benchmarks/night.py TARGET… [--documents 100000] [--abstracts 5183] [--encode-all]
        [--output FILE]

The documents are the abstracts of SciFact, repeated under other ids. To make a first run of 100,000
take minutes rather than half an hour, each distinct abstract is encoded once and its vector is
kept: the first run encodes some 5,000 texts and writes all documents. The time it would take to
encode every text is computed from that, and printed separately; `--encode-all` measures it. The
nightly runs encode only new texts, none of which is kept.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path

from common import beir_folder, machine, save

from splade_connectors import (
    Document,
    IndexReport,
    SparseBatch,
    SparseEncoder,
    WriteOptions,
    connect,
    load_encoder,
)
from splade_connectors.encoders.base import EncodeStats
from splade_connectors.options import OnProgress
from splade_connectors.vectors import SparseVector

NIGHTLY = WriteOptions(skip_unchanged=True, delete_missing=True)
CHANGED, GONE = 10, 5


class KeepingEncoder(SparseEncoder):
    """Encodes a text once, and counts what it encoded.

    Args:
        encoder: the encoder that is called.
        keeps: whether vectors are kept; otherwise every text is encoded each time.
    """

    def __init__(self, encoder: SparseEncoder, *, keeps: bool = True) -> None:
        self.spec = encoder.spec
        self.encoded = 0
        self.seconds = 0.0
        self._encoder = encoder
        self._keeps = keeps
        self._kept: dict[str, SparseVector] = {}

    def encode_documents(
        self,
        texts: Sequence[str],
        *,
        stats: EncodeStats | None = None,
        on_progress: OnProgress | None = None,
    ) -> SparseBatch:
        """Return kept vectors, and encode new texts."""
        known = self._kept if self._keeps else {}
        new = list(dict.fromkeys(text for text in texts if text not in known))
        if new:
            began = time.perf_counter()
            made = self._encoder.encode_documents(new, stats=stats, on_progress=on_progress)
            self.seconds += time.perf_counter() - began
            self.encoded += len(new)
            known.update(zip(new, made, strict=True))
        return SparseBatch.from_vectors(known[text] for text in texts)

    def encode_queries(self, texts: Sequence[str]) -> SparseBatch:
        """As the encoder does."""
        return self._encoder.encode_queries(texts)

    def tokens(self, ids: Iterable[int]) -> list[str]:
        """As the encoder does."""
        return self._encoder.tokens(ids)

    def token_id(self, token: str) -> int | None:
        """As the encoder does."""
        return self._encoder.token_id(token)

    def own_terms(self, text: str) -> set[int]:
        """As the encoder does."""
        return self._encoder.own_terms(text)


@dataclass(frozen=True, kw_only=True)
class Timed:
    """A run and its cost."""

    report: IndexReport
    wall_s: float
    cpu_s: float

    def to_json(self) -> dict[str, object]:
        """Times, and the counts of the report."""
        names = ("written", "unchanged", "encoded", "missing", "deleted", "rejected_count")
        counts = {name: getattr(self.report, name) for name in names}
        return {"seconds": round(self.wall_s, 1), "cpu_s": round(self.cpu_s, 1), **counts}


def main() -> None:
    """Measure each target."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("targets", nargs="+", help="of empty collections or indices")
    parser.add_argument("--documents", type=int, default=100_000)
    parser.add_argument("--abstracts", type=int, help="of the collection; all, if not given")
    parser.add_argument("--encode-all", action="store_true", help="in the first run")
    parser.add_argument("--output", type=Path)
    given = parser.parse_args()
    encoder = KeepingEncoder(load_encoder(), keeps=not given.encode_all)
    results = {}
    for target in given.targets:
        scheme = target.partition(":")[0]
        results[scheme] = measured(target, encoder, read(given.abstracts), given.documents)
        print(json.dumps({scheme: results[scheme]}, indent=2), flush=True)
    if given.output:
        save(given.output, {"machine": machine(), "results": results})


def measured(
    target: str, encoder: KeepingEncoder, rows: Sequence[dict[str, str]], count: int
) -> dict[str, object]:
    """The first run, an unchanged night, and a night with a few changes."""
    encoded, seconds = encoder.encoded, encoder.seconds
    first = run(target, encoder, documents(rows, count))
    distinct, took = encoder.encoded - encoded, encoder.seconds - seconds
    night = run(target, encoder, documents(rows, count))
    encoded = encoder.encoded
    changes = run(target, encoder, tonight(rows, count))
    assert first.report.written == count, first.report
    assert (night.report.written, night.report.unchanged) == (0, count), night.report
    texts_encoded = encoder.encoded - encoded
    assert (texts_encoded, changes.report.encoded) == (CHANGED, CHANGED), changes.report
    assert (changes.report.written, changes.report.deleted) == (CHANGED + 1, GONE)
    whole = first.wall_s
    if distinct:
        whole += took * (count / distinct - 1)
    return {
        "documents": count,
        "first run": first.to_json(),
        "texts encoded in it": distinct,
        "seconds spent encoding them": round(took, 1),
        "first run, if every text were encoded (computed)": round(whole, 1) if distinct else None,
        "unchanged night": night.to_json(),
        "share of the first run": round(night.wall_s / whole, 3),
        "night with changes": changes.to_json(),
    }


def run(target: str, encoder: SparseEncoder, rows: Iterator[Document]) -> Timed:
    """One run that opens its own store, as a job does."""
    wall, cpu = time.perf_counter(), time.process_time()
    with connect(target, encoder=encoder) as store:
        report = store.index(rows, options=NIGHTLY)
    return Timed(report=report, wall_s=time.perf_counter() - wall, cpu_s=time.process_time() - cpu)


def read(most: int | None) -> list[dict[str, str]]:
    """The abstracts of the collection."""
    with (beir_folder() / "corpus.jsonl").open(encoding="utf-8") as lines:
        return [json.loads(line) for line in islice(lines, most)]


def documents(rows: Sequence[dict[str, str]], count: int) -> Iterator[Document]:
    """The abstracts, repeated as often as needed."""
    for n in range(count):
        row = rows[n % len(rows)]
        yield Document(
            id=f"{row['_id']}-{n}",
            text=f"{row['title']} {row['text']}",
            payload={"title": row["title"], "copy": n // len(rows)},
        )


def tonight(rows: Sequence[dict[str, str]], count: int) -> Iterator[Document]:
    """Ten texts changed, five documents gone, one payload changed."""
    for n, document in enumerate(documents(rows, count - GONE)):
        if n < CHANGED:
            yield replace(document, text=f"Changed tonight: {document.text}")
        elif n == CHANGED:
            yield replace(document, payload={**document.payload, "copy": -1})
        else:
            yield document


if __name__ == "__main__":
    sys.exit(main())
