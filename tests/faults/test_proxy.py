"""The proxy itself: each of its faults happens as it is described, and is counted."""

from __future__ import annotations

import http.client
import json
import threading
import time
from collections.abc import Iterator
from contextlib import closing
from email.utils import parsedate_to_datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from tests.faults import bulk
from tests.faults.faults import (
    Always,
    Asked,
    Burst,
    CutInHalf,
    Delay,
    Fault,
    ItemFailures,
    Randomly,
    ResetAfter,
    ResetBefore,
    Rule,
    Script,
    Status,
    TooLarge,
    containing,
    writes,
)
from tests.faults.proxy import Proxy


class Upstream(ThreadingHTTPServer):
    """Answers every request with what was asked; `_bulk` as Elasticsearch does."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Echo)
        self.asked: list[Asked] = []
        threading.Thread(target=self.serve_forever, args=(0.01,), daemon=True).start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"


class _Echo(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Upstream

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        self.server.asked.append(Asked(self.command, self.path, body))
        answer = json.dumps({"path": self.path, "body": body.decode()})
        if self.path.endswith("/_bulk"):
            items = [{action.kind: {**action.header, "status": 201}} for action in bulk.parse(body)]
            answer = json.dumps({"took": 3, "errors": False, "items": items})
        # In chunks, as Elasticsearch answers when an answer is long.
        self.send_response(200)
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        self.wfile.write(f"{len(answer):x}\r\n{answer}\r\n0\r\n\r\n".encode())

    def log_message(self, format: str, *args: Any) -> None:
        pass


@pytest.fixture
def upstream() -> Iterator[Upstream]:
    server = Upstream()
    yield server
    server.shutdown()
    server.server_close()


class Client:
    """One connection to the proxy, kept alive."""

    def __init__(self, proxy: Proxy) -> None:
        self._connection = http.client.HTTPConnection(proxy.url.removeprefix("http://"), timeout=10)

    def post(self, path: str, body: Any = b"") -> http.client.HTTPResponse:
        # A body without a length is sent in chunks.
        self._connection.request("POST", path, body)
        return self._connection.getresponse()

    def close(self) -> None:
        self._connection.close()


def test_requests_and_answers_pass_unchanged_over_one_connection(
    upstream: Upstream,
) -> None:
    with Proxy(upstream.url) as proxy, closing(Client(proxy)) as client:
        for path, body in (
            ("/a?x=1", b"hello"),
            ("/b", b""),
            ("/c", iter([b"in ", b"chunks"])),
        ):
            answer = client.post(path, body)
            assert answer.status == 200
            assert json.loads(answer.read())["path"] == path
    assert [asked.body for asked in upstream.asked] == [b"hello", b"", b"in chunks"]
    assert [(seen.path, seen.status, seen.fault) for seen in proxy.exchanges] == [
        ("/a?x=1", 200, None),
        ("/b", 200, None),
        ("/c", 200, None),
    ]


@pytest.mark.parametrize(("fault", "acted"), [(ResetBefore(), 0), (ResetAfter(), 1)])
def test_resets(fault: Fault, acted: int, upstream: Upstream) -> None:
    with Proxy(upstream.url, Script([fault])) as proxy:
        with closing(Client(proxy)) as client, pytest.raises(ConnectionResetError):
            client.post("/a").read()
        assert len(upstream.asked) == acted
        assert proxy.done(type(fault)) == 1
        with closing(Client(proxy)) as client:
            assert client.post("/a").status == 200


def test_an_answer_cut_in_half(upstream: Upstream) -> None:
    with (
        Proxy(upstream.url, Script([CutInHalf()])) as proxy,
        closing(Client(proxy)) as client,
    ):
        answer = client.post("/a", b"x" * 1000)
        with pytest.raises(http.client.IncompleteRead) as cut:
            answer.read()
    assert cut.value.partial.startswith(b'{"path": "/a"')
    assert cut.value.expected
    assert abs(cut.value.expected - len(cut.value.partial)) <= 1
    assert proxy.done(CutInHalf) == 1


def test_statuses_of_the_proxy(upstream: Upstream) -> None:
    faults = [
        Status(429),
        Status(429, retry_after_s=7),
        Status(400, body='{"error": "no"}'),
    ]
    with Proxy(upstream.url, Script(faults)) as proxy, closing(Client(proxy)) as client:
        seen = []
        for _ in faults:
            answer = client.post("/a")
            seen.append((answer.status, answer.getheader("Retry-After"), answer.read()[:6]))
    assert seen == [
        (429, None, b"<html>"),
        (429, "7", b"<html>"),
        (400, None, b'{"erro'),
    ]
    assert proxy.done(Status) == 3
    assert upstream.asked == []


def test_a_window_of_time(upstream: Upstream) -> None:
    with (
        Proxy(upstream.url, Burst(Status(503), 0.3, spared=1)) as proxy,
        closing(Client(proxy)) as client,
    ):
        statuses = []
        for pause in (0.0, 0.0, 0.0, 0.35):
            time.sleep(pause)
            answer = client.post("/a")
            answer.read()
            statuses.append(answer.status)
    assert statuses == [200, 503, 503, 200]


def test_too_large_and_delayed(upstream: Upstream) -> None:
    rules: list[Rule] = [Always(TooLarge(100), writes), Always(Delay(0.2))]
    with Proxy(upstream.url, *rules) as proxy, closing(Client(proxy)) as client:
        answer = client.post("/articles/_bulk", b" " * 101)
        assert answer.status == 413
        assert b"<center>nginx</center>" in answer.read()
        began = time.monotonic()
        assert client.post("/articles/_search", b" " * 101).status == 200
        assert time.monotonic() - began >= 0.2
    assert (proxy.done(TooLarge), proxy.done(Delay)) == (1, 1)


def test_items_that_fail_do_not_reach_the_server(upstream: Upstream) -> None:
    lines: list[Any] = []
    for number in range(40):
        kind = "delete" if number % 4 == 0 else "index"
        lines.append({kind: {"_id": str(number)}})
        lines += [] if kind == "delete" else [{"n": number}]
    body = "".join(f"{json.dumps(line)}\n" for line in lines).encode()
    with (
        Proxy(upstream.url, Always(ItemFailures(0.5)), seed=1) as proxy,
        closing(Client(proxy)) as client,
    ):
        answer = json.loads(client.post("/articles/_bulk", body).read())
    results = [next(iter(item.values())) for item in answer["items"]]
    assert [result["_id"] for result in results] == [str(number) for number in range(40)]
    failed = {result["_id"] for result in results if result["status"] == 429}
    seen = {action.header["_id"] for action in bulk.parse(upstream.asked[0].body)}
    assert failed
    assert seen == {str(number) for number in range(40)} - failed
    assert proxy.done(ItemFailures) == len(failed)


def test_a_server_that_is_not_there() -> None:
    with Proxy("http://127.0.0.1:9") as proxy, closing(Client(proxy)) as client:
        assert client.post("/a").status == 502


def test_which_requests_write() -> None:
    def asked(method: str, path: str, body: bytes = b"") -> Asked:
        return Asked(method, path, body)

    assert writes(asked("POST", "/articles/_bulk?refresh=true"))
    assert writes(asked("PUT", "/collections/a/points?wait=true"))
    assert writes(asked("PUT", "/collections/a/points/vectors?wait=true"))
    assert writes(asked("POST", "/collections/a/points/batch?wait=true"))
    assert not writes(asked("POST", "/collections/a/points"))
    assert not writes(asked("POST", "/collections/a/points/scroll"))
    assert not writes(asked("PUT", "/collections/a"))
    assert not writes(asked("POST", "/articles/_search"))
    assert containing(b"guilty")(asked("POST", "/articles/_bulk", b"so guilty"))


def test_a_random_rule_hits_the_same_requests_every_time() -> None:
    def hits() -> list[Fault | None]:
        rule = Randomly([ResetBefore(), ResetAfter()], 0.2, seed=5)
        return [rule.decide(Asked("GET", "/", b"")) for _ in range(500)]

    assert hits() == hits()
    assert 60 < sum(fault is not None for fault in hits()) < 140


def test_retry_after_as_a_date(upstream: Upstream) -> None:
    fault = Status(429, retry_after_s=2, as_date=True)
    with (
        Proxy(upstream.url, Script([fault])) as proxy,
        closing(Client(proxy)) as client,
    ):
        date = client.post("/a").getheader("Retry-After")
    assert date
    assert 1.5 < parsedate_to_datetime(date).timestamp() - time.time() < 3.5
