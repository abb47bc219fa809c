"""Servers that all processes of a test run share: each is started once, and ends with the run.

One process owns them: pytest's own, or `python -m tests.servers`, which starts all of them ahead
while something else runs. It answers `GET /NAME` with the address of a server as soon as that is
up, or with the reason why it is not. The owner's address is in `$SPLADE_TEST_SERVERS`, where the
workers of pytest-xdist find it.
"""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Callable, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import asdict, dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self, cast
from urllib.parse import unquote

import httpx

from tests.servers.elasticsearch import ElasticsearchServer
from tests.servers.errors import ServerFailed, ServerUnavailable
from tests.servers.node import START_TIMEOUT_S, SearchNode
from tests.servers.opensearch import OpenSearchServer

VARIABLE = "SPLADE_TEST_SERVERS"

# A machine that starts all of them at once, and checks types meanwhile, may be slow.
_START_TIMEOUT_S = 2 * START_TIMEOUT_S
# Above what starting one may take, its download included.
_ANSWER_TIMEOUT_S = 1200.0

# Name -> how it is started. The order is that of starting ahead: the slowest first.
SERVERS: dict[str, Callable[[], SearchNode]] = {
    "opensearch": lambda: OpenSearchServer.start(timeout_s=_START_TIMEOUT_S),
    "9.3.2": lambda: ElasticsearchServer.start("9.3.2", timeout_s=_START_TIMEOUT_S),
    "7.17.29": lambda: ElasticsearchServer.start("7.17.29", timeout_s=_START_TIMEOUT_S),
    "9.3.2-secured": lambda: ElasticsearchServer.start(
        "9.3.2", secured=True, timeout_s=_START_TIMEOUT_S
    ),
    "8.19.21": lambda: ElasticsearchServer.start("8.19.21", timeout_s=_START_TIMEOUT_S),
}


@dataclass(frozen=True)
class SharedServer:
    """A server that somebody else owns.

    Attributes:
        url: of it.
        users: name -> password, where it is secured; see `ElasticsearchServer`.
    """

    url: str
    users: dict[str, str] = field(default_factory=dict)


def shared_server(name: str) -> SharedServer:
    """One of `SERVERS`, from the owner at `$SPLADE_TEST_SERVERS`; started now if it was not before.

    Raises `ServerUnavailable` and `ServerFailed` as starting it here would.
    """
    address = os.environ[VARIABLE]
    answer = httpx.get(f"{address}/{name}", trust_env=False, timeout=_ANSWER_TIMEOUT_S)
    found = answer.raise_for_status().json()
    if "unavailable" in found:
        raise ServerUnavailable(found["unavailable"])
    if "failed" in found:
        raise ServerFailed(found["failed"])
    return SharedServer(**found)


class Owner:
    """Starts shared servers when they are asked for, once each, and stops them at its end."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._starting: dict[str, Future[SearchNode]] = {}
        # Two at a time: more only wait for each other on the machines that tests run on.
        self._starters = ThreadPoolExecutor(2, "start-server")
        self._listening = _Listening(self)
        self.address = f"http://127.0.0.1:{self._listening.server_port}"

    def __enter__(self) -> Self:
        threading.Thread(target=self._listening.serve_forever, args=(0.05,), daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._listening.shutdown()
        self._listening.server_close()
        self._starters.shutdown(wait=True, cancel_futures=True)
        running = [one for one in self._starting.values() if not one.cancelled()]
        for one in running:
            if one.exception() is None:
                one.result().stop()

    def start(self, names: Iterable[str]) -> None:
        """Begin to start these, without waiting for them."""
        for name in names:
            self._start(name)

    def answer(self, name: str) -> dict[str, Any]:
        """What `shared_server` is told, once it is known."""
        try:
            server = self._start(name).result()
        except ServerUnavailable as error:
            return {"unavailable": str(error)}
        except Exception as error:  # a test says so, wherever the mistake is
            return {"failed": str(error) or repr(error)}
        return asdict(SharedServer(server.url, getattr(server, "users", {})))

    def _start(self, name: str) -> Future[SearchNode]:
        with self._lock:
            if name not in self._starting:
                self._starting[name] = self._starters.submit(SERVERS[name])
            return self._starting[name]


class _Listening(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, owner: Owner) -> None:
        super().__init__(("127.0.0.1", 0), _Answers)
        self.owner = owner


class _Answers(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        name = unquote(self.path.removeprefix("/"))
        if name not in SERVERS:
            self.send_error(404, f"there is no server {name}")
            return
        body = json.dumps(cast(_Listening, self.server).owner.answer(name)).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:
        """Not on the tests' output."""
