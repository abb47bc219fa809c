"""Ctrl-C: what is in flight arrives, a second one does not wait; the same command completes it."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

from tests.faults.child import STOPPED
from tests.faults.documents import rows
from tests.faults.faults import Always, Delay, writes
from tests.faults.jobs import CHUNK, Job, check_all
from tests.faults.kill import Child
from tests.faults.proxy import Exchange, Proxy
from tests.faults.worlds import World

COUNT = 12 * CHUNK
SHORT_S, LONG_S = 1.0, 8.0
DEADLINE_S = 60.0


def test_what_is_in_flight_arrives(world: World, job: Job, tmp_path: Path) -> None:
    expected = job.prepare(world, rows(COUNT))
    with Proxy(world.url, Always(Delay(SHORT_S), writes)) as proxy:
        process = _child(job, world, tmp_path / "stopped", proxy.url).start()
        _wait(process, lambda: len(_written(proxy)) >= 1)
        process.send_signal(signal.SIGINT)
        shown = _stopped(process)
    assert all(exchange.status == 200 for exchange in proxy.of(Delay))
    written = len(proxy.of(Delay)) * CHUNK
    assert re.search(rf"\b{written} documents", shown), shown
    assert 0 < written < COUNT
    _complete(job, world, tmp_path, written)
    check_all(world, expected, rows(COUNT))


def test_a_second_one_does_not_wait(world: World, job: Job, tmp_path: Path) -> None:
    expected = job.prepare(world, rows(COUNT))
    with Proxy(world.url, Always(Delay(2 * LONG_S), writes)) as proxy:
        process = _child(job, world, tmp_path / "stopped", proxy.url).start()
        _wait(process, lambda: len(proxy.of(Delay)) >= 1)
        process.send_signal(signal.SIGINT)
        time.sleep(0.5)
        assert process.poll() is None, "it did not wait for what is in flight"
        process.send_signal(signal.SIGINT)
        shown = _stopped(process)
        assert not _written(proxy), "it waited for what was in flight"
        assert re.search(r"\b0 documents", shown), shown
        # It still arrives, at a server that nobody waits for any more.
        _wait(None, lambda: len(_written(proxy)) == len(proxy.of(Delay)))
    _complete(job, world, tmp_path, 0)
    check_all(world, expected, rows(COUNT))


def _child(job: Job, world: World, counter: Path, url: str | None = None) -> Child:
    return Child.of(job, world, COUNT, counter, pause_s=0.0, deadline_s=DEADLINE_S, url=url)


def _written(proxy: Proxy) -> list[Exchange]:
    return [exchange for exchange in proxy.of(Delay) if exchange.status is not None]


def _wait(process: subprocess.Popen[str] | None, ready: Callable[[], bool]) -> None:
    give_up = time.monotonic() + DEADLINE_S
    while not ready():
        assert process is None or process.poll() is None, process.communicate()
        assert time.monotonic() < give_up
        time.sleep(0.01)


def _stopped(process: subprocess.Popen[str]) -> str:
    """What it says of how far it got."""
    out, errors = process.communicate(timeout=DEADLINE_S)
    assert process.returncode == STOPPED, errors
    assert "Traceback" not in errors
    return str(json.loads(out)["stopped"])


def _complete(job: Job, world: World, tmp_path: Path, written: int) -> None:
    """The same command, to its end."""
    run = _child(job, world, tmp_path / "whole").run()
    assert run.report is not None
    assert run.report["rejected"] == []
    if job.resumes and written:
        assert run.encoded == COUNT - written
