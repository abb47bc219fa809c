"""Compares the wall time of attaching with that of its parts: does it keep the machine busy?

    python benchmarks/attach_speed.py [--documents 5000] [--beir DIR] [--json]

Attaches the bundled model's vectors to an Elasticsearch 9.3.2 that it starts (Java and Maven), to
documents of a BEIR collection, and measures in one run: encoding alone, sending alone (the same
attach with precomputed vectors), and both together, with the CPU seconds of this process and of the
server. Attaching should take at most 1.15 times the largest of encoding alone, sending
alone, and all CPU seconds divided by the cores.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

import httpx
from common import ROOT, beir_folder, texts

sys.path.insert(0, str(ROOT))

from splade_connectors import AttachOptions, EncodeStats, SparseEncoder, connect, load_encoder
from splade_connectors.options import OnProgress, Progress
from splade_connectors.testing import HashEncoder
from splade_connectors.vectors import SparseBatch, SparseVector
from tests.servers import ElasticsearchServer

_TICKS = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True, kw_only=True)
class Measured:
    """Seconds of each part.

    Attributes:
        documents: number of documents.
        encode_s: encoding alone.
        send_s: reading and writing alone.
        attach_s: the whole.
        cpu_s: CPU time of this process and the server, while attaching.
        cores: cores of the machine.
        ratio: the whole divided by the largest of the bounds.
    """

    documents: int
    encode_s: float
    send_s: float
    attach_s: float
    cpu_s: float
    cores: int
    ratio: float


class Remembered(HashEncoder):
    """Returns precomputed vectors.

    Args:
        encoder: the encoder that made them.
        vectors: text -> vector.
    """

    def __init__(self, encoder: SparseEncoder, vectors: dict[str, SparseVector]) -> None:
        super().__init__()
        self.spec = encoder.spec
        self.tokens = encoder.tokens  # type: ignore[method-assign]
        self.token_id = encoder.token_id  # type: ignore[method-assign]
        self._vectors = vectors

    def encode_documents(
        self,
        texts: Sequence[str],
        *,
        stats: EncodeStats | None = None,
        on_progress: OnProgress | None = None,
    ) -> SparseBatch:
        """Return vectors from memory."""
        if stats:
            stats.texts += len(texts)
        if on_progress:
            on_progress(Progress(done=len(texts), total=len(texts)))
        return SparseBatch.from_vectors(self._vectors[text] for text in texts)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--documents", type=int, default=5000)
    parser.add_argument("--beir", type=Path, default=beir_folder())
    parser.add_argument("--json", action="store_true", help="print one JSON document instead")
    arguments = parser.parse_args()
    found = texts(arguments.beir / "corpus.jsonl", arguments.documents)
    measured = measure(found)
    if arguments.json:
        print(json.dumps(asdict(measured)))
        return
    print(
        f"{measured.documents:,} documents: encoding alone {measured.encode_s:.1f} s, sending "
        f"alone {measured.send_s:.1f} s, attaching {measured.attach_s:.1f} s with "
        f"{measured.cpu_s:.1f} CPU seconds on {measured.cores} cores: {measured.ratio:.2f} times "
        "the largest bound"
    )


def measure(found: list[str]) -> Measured:
    """Measure all parts, one after the other, on one server."""
    encoder = load_encoder()
    encoder.encode_documents(found[:64])  # memory and threads are set up once
    began = time.perf_counter()
    vectors = list(encoder.encode_documents(found))
    encode_s = time.perf_counter() - began
    remembered = Remembered(encoder, dict(zip(found, vectors, strict=True)))
    with ElasticsearchServer.start("9.3.2") as server:
        _attach(server, remembered, found[:500])  # a server that has just started is slow
        send_s, _ = _attach(server, remembered, found)
        attach_s, cpu_s = _attach(server, encoder, found)
    cores = os.cpu_count() or 1
    return Measured(
        documents=len(found),
        encode_s=encode_s,
        send_s=send_s,
        attach_s=attach_s,
        cpu_s=cpu_s,
        cores=cores,
        ratio=attach_s / max(encode_s, send_s, cpu_s / cores),
    )


def _attach(
    server: ElasticsearchServer, encoder: SparseEncoder, found: list[str]
) -> tuple[float, float]:
    """Wall and CPU seconds of attaching to a new index."""
    with _index(server.url, found) as name:
        target = f"{server.url.replace('http', 'elasticsearch', 1)}/{name}"
        with connect(target, encoder=encoder) as store:
            cpu, began = _cpu_s(server), time.perf_counter()
            report = store.attach(["text"], options=AttachOptions(verify=0))
            wall, used = time.perf_counter() - began, _cpu_s(server) - cpu
    assert report.attached == len(found), report
    return wall, used


@contextmanager
def _index(url: str, found: list[str]) -> Iterator[str]:
    """Create an index with these texts, as its owner would."""
    name = f"splade-speed-{uuid.uuid4().hex}"
    headers = {"content-type": "application/x-ndjson"}
    with httpx.Client(base_url=url, timeout=120, trust_env=False) as client:
        for start in range(0, len(found), 1000):
            lines = "".join(
                f'{{"index": {{"_id": "{number}"}}}}\n{json.dumps({"text": found[number]})}\n'
                for number in range(start, min(start + 1000, len(found)))
            )
            answer = client.post(f"/{name}/_bulk?refresh=true", content=lines, headers=headers)
            assert not answer.json()["errors"]
        yield name
        client.delete(f"/{name}")


def _cpu_s(server: ElasticsearchServer) -> float:
    """CPU seconds of this process and of the server so far."""
    assert server._process is not None
    group = server._process._process.pid
    own = time.process_time()
    return own + sum(ticks / _TICKS for pid, ticks in _all_ticks() if _group_of(pid) == group)


def _all_ticks() -> Iterator[tuple[int, int]]:
    for entry in Path("/proc").iterdir():
        if entry.name.isdecimal():
            try:
                fields = (entry / "stat").read_text().rpartition(")")[2].split()
            except OSError:
                continue  # it has ended
            yield int(entry.name), int(fields[11]) + int(fields[12])


def _group_of(pid: int) -> int | None:
    try:
        return os.getpgid(pid)
    except ProcessLookupError:
        return None


if __name__ == "__main__":
    main()
