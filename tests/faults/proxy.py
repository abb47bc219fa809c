"""An HTTP/1.1 proxy in threads, which stands before a real server and injects faults."""

from __future__ import annotations

import hashlib
import http.client
import json
import random
import socket
import struct
import threading
import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from email.utils import formatdate
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, Self
from urllib.parse import SplitResult, urlsplit

from tests.faults import bulk
from tests.faults.faults import (
    PAGE,
    Asked,
    CutInHalf,
    Delay,
    Fault,
    ItemFailures,
    ResetAfter,
    ResetBefore,
    Rule,
    Status,
    TooLarge,
    is_bulk,
)

_MOST_BYTES = 256 * 2**20
_MOST_CONNECTIONS = 64
_UPSTREAM_TIMEOUT_S = 60.0
# Between two hops only (RFC 9110, 7.6.1); the length is set again.
_OF_ONE_HOP = {
    "connection",
    "keep-alive",
    "transfer-encoding",
    "content-length",
    "te",
    "upgrade",
}
# An answer must be readable here, so it must not be compressed.
_NOT_FORWARDED = _OF_ONE_HOP | {"host", "accept-encoding", "expect"}


@dataclass
class Exchange:
    """A request and what came of it.

    Attributes:
        method: of the request.
        path: with its query.
        size: bytes of its body.
        items: actions of a bulk request; 0 for requests that are none.
        digest: of method, path and body: requests that are sent again have the same.
        began: when it came, in seconds of `time.monotonic`.
        fault: what the proxy did to it, None for nothing.
        status: of the answer as the server or the proxy gave it; None without one.
    """

    method: str
    path: str
    size: int
    items: int
    digest: str
    began: float
    fault: Fault | None = None
    status: int | None = None


@dataclass(frozen=True)
class _Answer:
    status: int
    headers: Mapping[str, str]
    body: bytes


class Proxy:
    """A proxy on a free port of this machine, up inside its `with` block.

    Args:
        upstream: URL of the server.
        rules: asked in order about each request; the first fault that one names is done.
        seed: for what is chosen inside a fault.

    Attributes:
        exchanges: all that was asked, in the order of arrival.
    """

    def __init__(self, upstream: str, *rules: Rule, seed: int = 0) -> None:
        self.exchanges: list[Exchange] = []
        self._upstream = urlsplit(upstream.rstrip("/"))
        self._rules = rules
        self._random = random.Random(seed)
        self._lock = threading.Lock()
        self._done: Counter[str] = Counter()
        self._server = _Server(self)

    @property
    def url(self) -> str:
        """http://HOST:PORT, with the user of the server's URL."""
        user = self._upstream.netloc.rpartition("@")[0]
        return f"http://{user + '@' if user else ''}127.0.0.1:{self._server.server_port}"

    def done(self, kind: type[Fault]) -> int:
        """How many faults of this kind really happened; of `ItemFailures`, how many items."""
        with self._lock:
            return self._done[kind.__name__]

    def of(self, kind: type[Fault]) -> list[Exchange]:
        """The exchanges that were hit by such a fault."""
        return [exchange for exchange in self.exchanges if isinstance(exchange.fault, kind)]

    def __enter__(self) -> Self:
        threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True).start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._server.shutdown()
        self._server.server_close()

    def arrived(self, asked: Asked) -> Exchange:
        """Note a request, and what is to happen to it."""
        path = asked.path
        digest = hashlib.sha256(f"{asked.method} {path}\n".encode() + asked.body).hexdigest()
        items = len(bulk.parse(asked.body)) if is_bulk(asked) else 0
        with self._lock:
            began = time.monotonic()
            exchange = Exchange(asked.method, path, len(asked.body), items, digest, began)
            faults = (rule.decide(asked) for rule in self._rules)
            exchange.fault = next((fault for fault in faults if fault is not None), None)
            self.exchanges.append(exchange)
        return exchange

    def count(self, fault: Fault, times: int = 1) -> None:
        """Note that a fault has happened."""
        with self._lock:
            self._done[type(fault).__name__] += times

    def chosen(self, share: float, count: int) -> set[int]:
        """Some of the numbers below `count`."""
        with self._lock:
            return {at for at in range(count) if self._random.random() < share}

    def forward(self, asked: Asked, headers: Mapping[str, str]) -> _Answer:
        """Ask the server.

        Every request has a connection of its own, so that none is hurt by one that the server has
        closed.
        """
        connection = _connection(self._upstream)
        try:
            connection.request(
                asked.method,
                self._upstream.path + asked.path,
                asked.body or None,
                dict(headers),
            )
            answer = connection.getresponse()
            body = answer.read()
        finally:
            connection.close()
        kept = {
            name: value for name, value in answer.getheaders() if name.lower() not in _OF_ONE_HOP
        }
        if asked.method == "HEAD":
            kept["Content-Length"] = answer.getheader("Content-Length") or "0"
        return _Answer(answer.status, kept, body)


def _connection(upstream: SplitResult) -> http.client.HTTPConnection:
    kind = http.client.HTTPSConnection if upstream.scheme == "https" else http.client.HTTPConnection
    return kind(upstream.hostname or "", upstream.port, timeout=_UPSTREAM_TIMEOUT_S)


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    # Of many connections at once, none is to be refused by the operating system.
    request_queue_size = _MOST_CONNECTIONS

    def __init__(self, proxy: Proxy) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.proxy = proxy
        self._free = threading.BoundedSemaphore(_MOST_CONNECTIONS)

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        with self._free:
            super().process_request_thread(request, client_address)

    def shutdown_request(self, request: Any) -> None:
        if _lingers(request):
            super().shutdown_request(request)
        else:
            self.close_request(request)  # a "shutdown" would say goodbye before the reset

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that hangs up is none of the tests' business."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    server: _Server

    def do_GET(self) -> None:  # the name is the base class's
        body = self._read_body()
        if body is None:
            self._answer(_page(413, "Request Entity Too Large"), closing=True)
            return
        asked = Asked(self.command, self.path, body)
        self._exchange = self.server.proxy.arrived(asked)
        try:
            self._handle(asked, self._exchange.fault)
        except (
            OSError,
            http.client.HTTPException,
        ):  # the server is not there, or went away
            self._answer(_page(502, "Bad Gateway"))

    def do_POST(self) -> None:
        self.do_GET()

    def do_PUT(self) -> None:
        self.do_GET()

    def do_PATCH(self) -> None:
        self.do_GET()

    def do_DELETE(self) -> None:
        self.do_GET()

    def do_HEAD(self) -> None:
        self.do_GET()

    def log_message(self, format: str, *args: Any) -> None:
        """Tests look at `exchanges` instead."""

    def _handle(self, asked: Asked, fault: Fault | None) -> None:
        match fault:
            case ResetBefore():
                self._reset()
            case ResetAfter():
                self._exchange.status = self._forward(asked).status
                self._reset()
            case CutInHalf():
                self._cut(self._forward(asked))
            case Delay(seconds):
                time.sleep(seconds)
                self._answer(self._forward(asked))
                self._count()
            case Status():
                self._answer(_own(fault))
                self._count()
            case TooLarge(limit) if len(asked.body) > limit:
                # As nginx does: it will not read what else comes on this connection.
                self._answer(_page(413, "Request Entity Too Large"), closing=True)
                self._count()
            case ItemFailures(share) if is_bulk(asked):
                self._fail_items(asked, share)
            case _:
                self._answer(self._forward(asked))

    def _forward(self, asked: Asked) -> _Answer:
        headers = {
            name: value
            for name, value in self.headers.items()
            if name.lower() not in _NOT_FORWARDED
        }
        return self.server.proxy.forward(asked, headers)

    def _fail_items(self, asked: Asked, share: float) -> None:
        actions = bulk.parse(asked.body)
        failed = self.server.proxy.chosen(share, len(actions))
        rest = [action for at, action in enumerate(actions) if at not in failed]
        index = asked.path.strip("/").partition("/")[0]
        answer = _Answer(200, {"X-Elastic-Product": "Elasticsearch"}, b"")
        if rest:
            answer = self._forward(Asked(asked.method, asked.path, bulk.unparse(rest)))
        if answer.status != 200:
            self._answer(answer)
            return
        known = json.loads(answer.body) if rest else None
        whole = json.dumps(bulk.merged(actions, failed, known, index)).encode()
        headers = {**answer.headers, "Content-Type": "application/json"}
        self._answer(_Answer(200, headers, whole))
        self._count(len(failed))

    def _answer(self, answer: _Answer, *, closing: bool = False) -> None:
        self._begin(answer, closing=closing)
        if self.command != "HEAD":
            self.wfile.write(answer.body)

    def _cut(self, answer: _Answer) -> None:
        self._begin(answer, closing=False)
        self.wfile.write(answer.body[: len(answer.body) // 2])
        self.close_connection = True
        self._count()

    def _begin(self, answer: _Answer, *, closing: bool) -> None:
        if hasattr(self, "_exchange"):
            self._exchange.status = answer.status
        self.send_response_only(answer.status)
        for name, value in answer.headers.items():
            self.send_header(name, value)
        if "Content-Length" not in answer.headers:
            self.send_header("Content-Length", str(len(answer.body)))
        if closing:
            self.send_header("Connection", "close")  # which also ends the loop of this handler
        self.end_headers()

    def _reset(self) -> None:
        """Close with a reset: with a linger of no time, nothing is said or waited for."""
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.close_connection = True
        self._count()

    def _count(self, times: int = 1) -> None:
        fault = self._exchange.fault
        assert fault is not None
        self.server.proxy.count(fault, times)

    def _read_body(self) -> bytes | None:
        """The body of the request; None if it is larger than this proxy takes."""
        if "chunked" in self.headers.get("Transfer-Encoding", "").lower():
            return self._read_chunks()
        length = int(self.headers.get("Content-Length") or 0)
        return self.rfile.read(length) if length <= _MOST_BYTES else None

    def _read_chunks(self) -> bytes | None:
        body = bytearray()
        while size := int(self.rfile.readline().split(b";")[0], 16):
            if len(body) + size > _MOST_BYTES:
                return None
            body += self.rfile.read(size)
            self.rfile.readline()
        while self.rfile.readline().strip():  # trailers
            pass
        return bytes(body)


def _lingers(connection: socket.socket) -> bool:
    """Whether a connection will be closed in the usual way."""
    try:
        set_ = connection.getsockopt(socket.SOL_SOCKET, socket.SO_LINGER, 8)
    except OSError:  # closed already
        return True
    return struct.unpack("ii", set_) != (1, 0)


def _own(status: Status) -> _Answer:
    reason = http.client.responses.get(status.code, "")
    answer = _page(status.code, reason) if status.body is None else _json(status.code, status.body)
    if status.retry_after_s is None:
        return answer
    asked = f"{status.retry_after_s:g}"
    if status.as_date:
        asked = formatdate(int(time.time() + status.retry_after_s + 0.999), usegmt=True)
    return _Answer(status.code, {**answer.headers, "Retry-After": asked}, answer.body)


def _json(status: int, body: str) -> _Answer:
    return _Answer(status, {"Content-Type": "application/json"}, body.encode())


def _page(status: int, reason: str) -> _Answer:
    text = PAGE.format(status=status, reason=reason)
    return _Answer(status, {"Content-Type": "text/html"}, text.encode())
