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
from threading import Event

import httpx
import pytest

from splade_connectors import SparseEncoder, connect
from splade_connectors.errors import NotFound
from tests.integration.command_line import jsonl, real, running, target
from tests.integration.elasticsearch_fake import PRODUCT, Answer, Asked, error, fake_elasticsearch
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


@pytest.mark.parametrize(("number", "answer"), [*zip(ENDING, ("429", "503", "busy"), strict=True)])
def test_a_server_that_only_says_later_does_not_hold_up_the_end(
    number: int, answer: str, tmp_path: Path
) -> None:
    """Docker kills ten seconds after its SIGTERM: the report has to be out by then."""
    corpus = jsonl(tmp_path / "x.jsonl", [{"id": n, "text": f"row {n}"} for n in range(40)])
    bulks = 0

    def script(asked: Asked) -> Answer | None:
        nonlocal bulks
        if not asked.is_bulk:
            return None
        bulks += 1
        if bulks == 1:
            return None
        if answer == "busy":
            cause = {"type": "es_rejected_execution_exception", "reason": "rejected execution"}
            refused = {id: {"status": 429, "error": cause} for id in asked.ids}
            return fake.written(asked, refused)
        return Answer(int(answer), error("busy", "later"), {**PRODUCT, "Retry-After": "300"})

    with fake_elasticsearch(script) as (address, fake):
        where = f"elasticsearch://{address}/articles"
        with running("index", corpus, where, "--json", cwd=tmp_path) as process:
            while bulks < 2:
                assert process.poll() is None
                time.sleep(0.05)
            time.sleep(0.5)
            process.send_signal(number)
            sent = time.monotonic()
            out, err = process.communicate(timeout=60)
            taken = time.monotonic() - sent
    assert process.returncode == 128 + number, err
    report = json.loads(out)
    assert (report["written"], report["interrupted"]) == (len(fake.documents), True)
    assert 0 < report["written"] < 40
    assert taken < 5.0
    if answer == "busy":  # every document has its reason, and is kept to be sent again
        assert report["rejected"] > 0
        letters = (tmp_path / report["dead_letters"]).read_text().splitlines()
        assert len(letters) == report["rejected"]
        assert all(json.loads(letter)["again"] for letter in letters)


def test_nor_at_the_start_of_a_run(tmp_path: Path) -> None:
    corpus = jsonl(tmp_path / "x.jsonl", [{"id": 1, "text": "one"}])
    asked = Event()

    def script(asking: Asked) -> Answer:
        asked.set()
        return Answer(503, error("busy", "later"))

    with (
        fake_elasticsearch(script) as (address, _),
        running("index", corpus, f"elasticsearch://{address}/articles") as process,
    ):
        assert asked.wait(60)
        time.sleep(0.5)
        process.send_signal(signal.SIGTERM)
        sent = time.monotonic()
        _, err = process.communicate(timeout=60)
        taken = time.monotonic() - sent
    assert (process.returncode, taken < 5.0) == (143, True)
    assert err.startswith("error: stopped")


def _counted(where: str, encoder: SparseEncoder) -> int:
    with suppress(NotFound), connect(where, encoder=encoder) as store:
        return store.count()
    return 0


def _refreshed(url: str, name: str) -> bool:
    """Whether the index is there; what was written to it can be counted then."""
    answer = httpx.post(f"{url}/{name}/_refresh", timeout=60, trust_env=False)
    return answer.status_code == 200
