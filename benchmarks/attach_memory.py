"""Memory of a long run: it must not grow with the documents.

    python benchmarks/attach_memory.py [--job index|attach] [--documents N] [--json] [--check]

Runs synthetic documents with synthetic vectors of 130 terms through a store that acknowledges
everything and keeps nothing, so that only this package is measured. Prints the resident memory
after the first 20,000 documents and at the end, and its peak. `--check` exits with 1 unless the
peak is under 400 MB and the memory grew by at most 30 MB between the two.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from splade_connectors import Document, EncodeStats, SparseVector
from splade_connectors.options import OnProgress, Progress
from splade_connectors.testing import DiscardingStore, EndlessCollection, HashEncoder
from splade_connectors.vectors import SparseBatch

DOCUMENTS = 200_000
# By then, everything that is created once exists.
WARM = 20_000
PEAK_MB = 400.0
GROWTH_MB = 30.0

_TERMS = 130
_MB = 1_000_000


class SyntheticEncoder(HashEncoder):
    """Random vectors, as fast as numpy makes them."""

    def __init__(self) -> None:
        super().__init__()
        self._random = np.random.default_rng(0)

    def encode_documents(
        self,
        texts: Sequence[str],
        *,
        stats: EncodeStats | None = None,
        on_progress: OnProgress | None = None,
    ) -> SparseBatch:
        """One row per text."""
        if stats:
            stats.texts += len(texts)
        return SparseBatch.from_vectors(self._random_vector() for _ in texts)

    def _random_vector(self) -> SparseVector:
        indices = np.unique(self._random.integers(0, self.spec.vocabulary, _TERMS, np.uint32))
        values = self._random.uniform(0.1, 3.0, indices.size).astype(np.float32)
        return SparseVector(indices, values)


@dataclass(frozen=True, kw_only=True)
class Measured:
    """The cost of a run.

    Attributes:
        job: "index" or "attach".
        documents: number that the store was given.
        seconds: wall time.
        warm_mb: resident memory after the first documents.
        end_mb: resident memory after the last.
        peak_mb: peak resident memory, including libraries.
    """

    job: str
    documents: int
    seconds: float
    warm_mb: float
    end_mb: float
    peak_mb: float

    @property
    def growth_mb(self) -> float:
        """Megabytes by which the memory grew between the first documents and the last."""
        return self.end_mb - self.warm_mb

    @property
    def is_flat(self) -> bool:
        """Whether both limits are met."""
        return self.peak_mb < PEAK_MB and self.growth_mb <= GROWTH_MB


def index(count: int, on_progress: OnProgress) -> int:
    """Index this many documents; return the number that the store was given."""
    store = DiscardingStore(SyntheticEncoder())
    store.index(_documents(count), on_progress=on_progress)
    return store.backend.received


def attach(count: int, on_progress: OnProgress) -> int:
    """Attach to this many documents; return the number of vectors that the store was given."""
    store = DiscardingStore(SyntheticEncoder(), EndlessCollection(count, _payload))
    store.attach(["text"], on_progress=on_progress)
    return store.backend.received


JOBS: dict[str, Callable[[int, OnProgress], int]] = {"index": index, "attach": attach}


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--job", choices=list(JOBS), default="index", help="the verb")
    parser.add_argument("--documents", type=int, default=DOCUMENTS)
    parser.add_argument("--json", action="store_true", help="print one JSON document instead")
    parser.add_argument("--check", action="store_true", help="exit with 1 if it is not flat")
    arguments = parser.parse_args()
    measured = measure(arguments.job, arguments.documents)
    if arguments.json:
        print(json.dumps({**asdict(measured), "growth_mb": measured.growth_mb}))
    else:
        print(
            f"{measured.job}: {measured.documents:,} documents in {measured.seconds:.0f} s; "
            f"{measured.warm_mb:.0f} MB after {WARM:,}, {measured.end_mb:.0f} MB at the end "
            f"({measured.growth_mb:+.0f}), peak {measured.peak_mb:.0f} MB"
        )
    if arguments.check and not measured.is_flat:
        sys.exit(f"not flat: peak {PEAK_MB:.0f} MB and growth {GROWTH_MB:.0f} MB are the limits")


def measure(job: str, count: int) -> Measured:
    """Run a job and monitor the memory of this process."""
    warm: list[float] = []

    def watch(progress: Progress) -> None:
        if not warm and progress.done >= min(WARM, count):
            warm.append(_resident_mb())

    began = time.perf_counter()
    documents = JOBS[job](count, watch)
    return Measured(
        job=job,
        documents=documents,
        seconds=time.perf_counter() - began,
        warm_mb=warm[0],
        end_mb=_resident_mb(),
        peak_mb=_peak_mb(),
    )


def _documents(count: int) -> Iterator[Document]:
    for number in range(count):
        payload = _payload(number)
        yield Document(id=f"doc-{number}", text=payload["text"], payload=payload)


def _payload(number: int) -> dict[str, Any]:
    text = f"document {number} " + "water and salt " * 20
    return {"text": text, "n": number, "tags": ["a", "b"]}


def _resident_mb() -> float:
    """Resident memory now, or its peak if the system does not report the current value."""
    status = Path("/proc/self/statm")
    if not status.is_file():
        return _peak_mb()
    return int(status.read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / _MB


def _peak_mb() -> float:
    # Linux counts in KiB, macOS in bytes.
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / _MB


if __name__ == "__main__":
    main()
