"""A job in a process of its own: python -m tests.faults.child JOB TARGET --rows N --counter FILE.

What `tests.faults.kill` starts and kills. Prints the report as JSON, or how far it got when it was
interrupted.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from splade_connectors import EncodeStats, connect
from splade_connectors.errors import IndexingInterrupted
from splade_connectors.options import OnProgress
from splade_connectors.testing import HashEncoder
from splade_connectors.vectors import SparseBatch
from tests.faults.documents import rows
from tests.faults.jobs import JOBS, write_options

# Exit code of a job that was interrupted.
STOPPED = 130


class CountingEncoder(HashEncoder):
    """Appends to a file how many texts it has encoded: a file outlives the process.

    Args:
        counter: the file.
        pause_s: for each batch, so that there is time to be killed in.
    """

    def __init__(self, counter: Path, pause_s: float = 0.0) -> None:
        super().__init__()
        self._counter = os.open(counter, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
        self._pause_s = pause_s

    def encode_documents(
        self,
        texts: Sequence[str],
        *,
        stats: EncodeStats | None = None,
        on_progress: OnProgress | None = None,
    ) -> SparseBatch:
        found = super().encode_documents(texts, stats=stats, on_progress=on_progress)
        os.write(self._counter, f"{len(texts)}\n".encode())
        time.sleep(self._pause_s)
        return found


def counted(counter: Path) -> int:
    """Texts that have been encoded, by all processes that count in this file."""
    if not counter.is_file():
        return 0
    # A line is written at once, but it may be read while it is.
    whole = counter.read_text().rpartition("\n")[0]
    return sum(map(int, whole.split()))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("job", choices=list(JOBS))
    parser.add_argument("target")
    parser.add_argument("--rows", type=int, required=True)
    parser.add_argument("--counter", type=Path, required=True)
    parser.add_argument("--pause", type=float, default=0.0)
    parser.add_argument("--dense", action="store_true", help="the server takes dense vectors")
    given = parser.parse_args()
    encoder = CountingEncoder(given.counter, given.pause)
    with connect(given.target, encoder=encoder) as store:
        try:
            outcome = JOBS[given.job].run(
                store, rows(given.rows), write_options(retry=None), with_dense=given.dense
            )
        except IndexingInterrupted as stop:
            json.dump({"stopped": str(stop)}, sys.stdout)
            sys.exit(STOPPED)
    json.dump(asdict(outcome), sys.stdout)


if __name__ == "__main__":
    main()
