"""SIGTERM, SIGHUP and Ctrl-C at random moments of `index`: the report's count is what is stored."""

from __future__ import annotations

import json
import random
import signal
import subprocess
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import httpx
import pytest

from splade_connectors import SparseEncoder, connect
from splade_connectors.errors import NotFound
from tests.integration.command_line import jsonl, real, running, target
from tests.sharing import FULL

ENDING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
TIMES = 20 if FULL else 3
ROWS = 5_000 if FULL else 600

# A target, and how many documents are stored there.
Place = tuple[str, Callable[[], int]]


_ON_A_SERVER = [
    pytest.mark.servers,
    pytest.mark.full("20 signals at random moments instead of 3, and on Elasticsearch"),
]


@pytest.fixture(params=["edge", pytest.param("elasticsearch", marks=_ON_A_SERVER)])
def place(
    request: pytest.FixtureRequest, tmp_path: Path, encoder: SparseEncoder
) -> Iterator[Callable[[], Place]]:
    """Makes new places."""
    url = "" if request.param == "edge" else request.getfixturevalue("elasticsearch_url")
    made: list[str] = []

    def new() -> Place:
        name = f"signals-{uuid.uuid4().hex}"
        if not url:
            where = target(tmp_path / name)
            (tmp_path / name).mkdir()
            return where, lambda: _counted(where, encoder)
        made.append(name)
        where = f"elasticsearch://{url.removeprefix('http://')}/{name}"
        return where, lambda: _refreshed(url, name) and _counted(where, encoder)

    yield new
    for name in made:
        httpx.delete(f"{url}/{name}", timeout=60, trust_env=False)


def test_the_count_of_the_report_is_what_is_stored(
    place: Callable[[], Place], tmp_path: Path
) -> None:
    corpus = jsonl(tmp_path / "x.jsonl", [{"id": n, "text": f"row {n}"} for n in range(ROWS)])
    began = time.monotonic()
    assert real("index", corpus, place()[0]).returncode == 0
    whole_s = time.monotonic() - began
    draw = random.Random(time.time_ns())
    written = []
    for number in (ENDING * TIMES)[:TIMES]:
        moment = draw.uniform(0.0, whole_s)
        where, stored = place()
        with running("index", corpus, where, "--json") as process:
            time.sleep(moment)
            process.send_signal(number)
            out, err = process.communicate(timeout=120)
        told = f"signal {number} after {moment:.3f} of {whole_s:.3f} s: {err}"
        report = json.loads(out) if out else {"written": 0}
        assert report["written"] == stored(), told
        _check_end(process, number, report["written"], err, told)
        written.append(report["written"])
    if FULL:  # of three moments, none may lie amid the writing
        assert any(0 < count < ROWS for count in written)


def _check_end(
    process: subprocess.Popen[str], number: int, written: int, err: str, told: str
) -> None:
    if process.returncode == 0:  # it was through already
        assert written == ROWS, told
        return
    if process.returncode == -number:
        # Python itself had not begun, or was ending: a shell says 128 + number, too.
        assert written in (0, ROWS), told
        return
    assert process.returncode == 128 + number, told
    assert err.startswith("error: stopped"), told
    assert err.count("\n") == 1, told


def test_a_signal_while_the_standard_input_is_waited_for(tmp_path: Path) -> None:
    for number in ENDING:
        with running("index", "-", target(tmp_path), stdin=subprocess.PIPE) as process:
            assert process.stdin is not None
            process.stdin.write('{"id": 1, "text": "one"}\n')
            process.stdin.flush()
            time.sleep(2.0)
            process.send_signal(number)
            process.wait(timeout=60)
            assert process.returncode == 128 + number
            assert process.stderr is not None
            assert process.stderr.read().startswith("error: stopped")


def _counted(where: str, encoder: SparseEncoder) -> int:
    with suppress(NotFound), connect(where, encoder=encoder) as store:
        return store.count()
    return 0


def _refreshed(url: str, name: str) -> bool:
    """Whether the index is there; what was written to it can be counted then."""
    answer = httpx.post(f"{url}/{name}/_refresh", timeout=60, trust_env=False)
    return answer.status_code == 200
