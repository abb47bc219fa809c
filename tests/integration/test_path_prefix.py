"""Servers behind a proxy that gives them a path: elasticsearch://HOST/PATH/INDEX."""

from __future__ import annotations

import threading
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import httpx
import pytest

from splade_connectors import Document, aconnect, connect
from splade_connectors.testing import HashEncoder
from tests.fronts.qdrant_rest import QdrantRestFront

PREFIX = "/search/v1"
_NOT_FORWARDED = {"host", "connection", "transfer-encoding", "content-length", "content-encoding"}


@contextmanager
def behind(url: str) -> Iterator[str]:
    """HOST:PORT of a proxy that knows the server below a path only."""
    upstream = httpx.Client(base_url=url, timeout=60, trust_env=False)

    class Proxy(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def handle_any(self) -> None:
            body = self.rfile.read(int(self.headers.get("content-length") or 0))
            path, below, rest = self.path.partition(PREFIX)
            if path or not below:
                self.send_error(404)
                return
            headers = {
                name: value
                for name, value in self.headers.items()
                if name.lower() not in {*_NOT_FORWARDED, "accept-encoding"}
            }
            answer = upstream.request(self.command, rest or "/", content=body, headers=headers)
            self.send_response(answer.status_code)
            for name, value in answer.headers.items():
                if name not in _NOT_FORWARDED:
                    self.send_header(name, value)
            self.send_header("content-length", str(len(answer.content)))
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(answer.content)

        do_GET = do_POST = do_PUT = do_DELETE = do_HEAD = do_PATCH = handle_any  # noqa: N815

        def log_message(self, *words: object) -> None:
            """Nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Proxy)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
        upstream.close()


@pytest.fixture(
    params=[
        pytest.param("elasticsearch", marks=pytest.mark.servers),
        pytest.param("opensearch", marks=pytest.mark.servers),
        "qdrant",
    ]
)
def target(request: pytest.FixtureRequest) -> Iterator[str]:
    name = f"prefix-{uuid.uuid4().hex}"
    if request.param == "qdrant":
        with QdrantRestFront() as front, behind(f"http://{front.host}") as host:
            yield f"qdrant://{host}{PREFIX}/{name}"
        return
    url = request.getfixturevalue(f"{request.param}_url")
    with behind(url) as host:
        yield f"{request.param}://{host}{PREFIX}/{name}"
    httpx.delete(f"{url}/{name}", timeout=60, trust_env=False)


async def test_every_request_goes_below_the_path(target: str) -> None:
    with connect(target, encoder=HashEncoder()) as store:
        assert repr(store) == f"Store({target!r})"
        report = store.index([Document(id=str(id), text=f"word {id}") for id in range(20)])
        assert report.written == 20
        expected = [hit.id for hit in store.search("word 7")]
        assert expected[0] == "7"
        assert [document.id for document in store.get(["3"])] == ["3"]
    async with await aconnect(target, encoder=HashEncoder()) as awaiting:
        assert [hit.id for hit in await awaiting.search("word 7")] == expected
