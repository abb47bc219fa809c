"""Real gunicorn and Celery, whose workers are forked from a process that has used its store."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from splade_connectors import connect, load_encoder
from tests.integration.elasticsearch_server import Server, document, server_of

pytestmark = [
    pytest.mark.servers,
    pytest.mark.full("gunicorn --preload and Celery's prefork; CI has forks without them"),
    pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork"),
]
TEXTS = ["Flour, water, salt and time make bread.", "Yeast makes gas, so dough rises."]
_STARTS_S = 120.0


@pytest.fixture(scope="module")
def server(request: pytest.FixtureRequest) -> Iterator[Server]:
    with server_of("9.3.2", request) as found:
        yield found


@pytest.fixture(scope="module")
def target(server: Server) -> str:
    target = server.target(server.new_name())
    with connect(target, encoder=load_encoder(engine="onnx")) as store:
        store.index([document(str(number), text) for number, text in enumerate(TEXTS)])
    return target


@contextmanager
def started(log: Path, *words: str, **environment: str) -> Iterator[subprocess.Popen[bytes]]:
    """A module as a process, which ends with the block, and has to end well."""
    with log.open("wb") as file:
        process = subprocess.Popen(
            [sys.executable, "-m", *words],
            stdout=file,
            stderr=subprocess.STDOUT,
            env={**os.environ, **environment},
        )
    try:
        yield process
        process.terminate()
        assert process.wait(timeout=60) == 0, log.read_text()
    finally:
        process.kill()
        process.wait()


def test_gunicorn_with_preload(target: str, tmp_path: Path) -> None:
    socket, log = tmp_path / "socket", tmp_path / "log"
    words = ("--preload", "--workers", "2", "--bind", f"unix:{socket}")
    application = "tests.integration.preloaded:application"
    with started(log, "gunicorn", *words, application, SPLADE_TARGET=target) as process:
        answers: list[Any] = []
        give_up = time.monotonic() + _STARTS_S
        while len({answer["process"] for answer in answers}) < 2 or len(answers) < 12:
            assert process.poll() is None, log.read_text()
            assert time.monotonic() < give_up, (answers, log.read_text())
            if not socket.exists():
                time.sleep(0.1)
                continue
            # One connection each, so that both workers have their share.
            with httpx.Client(transport=httpx.HTTPTransport(uds=str(socket))) as client:
                answers.append(client.get("http://x/", timeout=60).raise_for_status().json())
    assert all(answer["forked"] for answer in answers)
    assert {tuple(answer["ids"]) for answer in answers} == {("1", "0")}


def test_celery_with_prefork(target: str, tmp_path: Path) -> None:
    log = tmp_path / "log"
    environment = {"SPLADE_TARGET": target, "SPLADE_BROKER": str(tmp_path / "broker")}
    quiet = ("--without-heartbeat", "--without-gossip", "--without-mingle")
    module = ("-A", "tests.integration.preloaded", "worker", "--pool", "prefork", "-c", "2")
    with started(log, "celery", *module, *quiet, **environment):
        sending = _sender(tmp_path / "broker")
        results = [sending.send_task("found") for _ in range(8)]
        answers = [result.get(timeout=_STARTS_S) for result in results]
    assert all(answer["forked"] for answer in answers)
    assert {tuple(answer["ids"]) for answer in answers} == {("1", "0")}


def _sender(folder: Path) -> Any:
    """The same folder, without the application, which would open a store here."""
    from celery import Celery

    for name in ("results", "messages", "control"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    app = Celery("sender", broker="filesystem://", backend=f"file://{folder}/results")
    app.conf.broker_transport_options = {
        "data_folder_in": f"{folder}/messages",
        "data_folder_out": f"{folder}/messages",
        "control_folder": f"{folder}/control",
    }
    return app
