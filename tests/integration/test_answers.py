"""Answers that never end, are too large, or lead elsewhere; blocking and awaited, both servers."""

from __future__ import annotations

import gzip
import io
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler
from typing import Any
from urllib.parse import quote

import pytest
from elasticsearch import AsyncElasticsearch, Elasticsearch
from opensearchpy import AsyncOpenSearch, OpenSearch, RequestsHttpConnection

from splade_connectors import Document, RetryOptions, aconnect, connect
from splade_connectors.errors import ConfigurationError, RequestRejected, Unavailable
from splade_connectors.options import ConnectOptions
from splade_connectors.testing import HashEncoder
from splade_lucene.transport import BoundedResponse
from tests.integration.elasticsearch_fake import PRODUCT, Answer, Asked, fake_elasticsearch, serving

SCHEMES = ("elasticsearch", "opensearch")
ROOT = b'{"version": {"number": "3.6.0", "distribution": "opensearch"}}'
LIMIT_S = 1.0
# More than a time limit's worth of bytes, one by one.
DRIPS = 200


@dataclass
class Hostile:
    """A server that answers as a test says; what it was sent."""

    reply: Callable[[BaseHTTPRequestHandler], None]
    asked: list[str] = field(default_factory=list)


@contextmanager
def hostile(reply: Callable[[BaseHTTPRequestHandler], None]) -> Iterator[tuple[str, Hostile]]:
    server = Hostile(reply)

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def handle_any(self) -> None:
            self.rfile.read(int(self.headers.get("Content-Length") or 0))
            server.asked.append(self.path)
            try:
                server.reply(self)
            except OSError:
                self.close_connection = True  # the other side has had enough

        do_GET = do_PUT = do_POST = handle_any  # noqa: N815

        def log_message(self, format: str, *args: Any) -> None:
            """Nothing is printed."""

    with serving(Handler) as address:
        yield address, server


def begin(handler: BaseHTTPRequestHandler, status: int = 200, **headers: str) -> None:
    handler.send_response(status)
    for name, value in {**PRODUCT, "Content-Type": "application/json", **headers}.items():
        handler.send_header(name.replace("_", "-"), value)
    handler.end_headers()


def drips_body(handler: BaseHTTPRequestHandler) -> None:
    begin(handler, Content_Length=str(DRIPS))
    for _ in range(DRIPS):
        handler.wfile.write(b" ")
        time.sleep(0.05)


def drips_chunks(handler: BaseHTTPRequestHandler) -> None:
    begin(handler, Transfer_Encoding="chunked")
    for _ in range(DRIPS):
        handler.wfile.write(b"1\r\n \r\n")
        time.sleep(0.05)


def drips_headers(handler: BaseHTTPRequestHandler) -> None:
    handler.wfile.write(b"HTTP/1.1 200 OK\r\n")
    for number in range(DRIPS):
        handler.wfile.write(b"X-%d: y\r\n" % number)
        time.sleep(0.05)


def endless(handler: BaseHTTPRequestHandler) -> None:
    begin(handler, Connection="close")
    handler.close_connection = True
    while True:
        handler.wfile.write(b" " * 65536)


def endless_chunks(handler: BaseHTTPRequestHandler) -> None:
    begin(handler, Transfer_Encoding="chunked")
    while True:
        handler.wfile.write(b"10000\r\n" + b" " * 65536 + b"\r\n")


def gzip_bomb(handler: BaseHTTPRequestHandler) -> None:
    packed = io.BytesIO()
    with gzip.GzipFile(fileobj=packed, mode="wb") as file:
        for _ in range(64):
            file.write(b" " * (1 << 20))
    begin(handler, Content_Encoding="gzip", Content_Length=str(len(packed.getvalue())))
    handler.wfile.write(packed.getvalue())


@pytest.fixture(autouse=True)
def _small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(BoundedResponse, "most_bytes", 1 << 20)


async def inspected(scheme: str, address: str, *, awaited: bool, limit_s: float = LIMIT_S) -> Any:
    """The verb that asks for least, on a server that is waited for so long, once."""
    options = ConnectOptions(timeout_s=limit_s)
    given: Any = {"encoder": HashEncoder(), "options": options, "retry": RetryOptions(attempts=1)}
    target = f"{scheme}://{address}/articles"
    if not awaited:
        with connect(target, **given) as store:
            return store.inspect()
    async with await aconnect(target, **given) as astore:
        return await astore.inspect()


# What a user may make a client with: both products' own ways, and those over other libraries.
CLIENTS: dict[str, Callable[[str], Any]] = {
    "elasticsearch": Elasticsearch,
    "elasticsearch, requests": lambda url: Elasticsearch(url, node_class="requests"),
    "elasticsearch, aiohttp": AsyncElasticsearch,
    "elasticsearch, httpx": lambda url: AsyncElasticsearch(url, node_class="httpxasync"),
    "opensearch": OpenSearch,
    "opensearch, requests": lambda url: OpenSearch(url, connection_class=RequestsHttpConnection),
    "opensearch, aiohttp": AsyncOpenSearch,
}


async def indexed(client: Any) -> Any:
    """A document is sent with a client of the user's."""
    given: Any = {"encoder": HashEncoder(), "retry": RetryOptions(attempts=1)}
    documents = [Document(id="1", text="salt")]
    if isinstance(client, Elasticsearch | OpenSearch):
        with client:
            return connect(client, "articles", **given).index(documents)
    async with client:
        return await (await aconnect(client, "articles", **given)).index(documents)


both = pytest.mark.parametrize("awaited", [False, True], ids=["blocking", "awaited"])
everywhere = pytest.mark.parametrize("scheme", SCHEMES)


@both
@everywhere
@pytest.mark.parametrize("reply", [drips_body, drips_chunks, drips_headers])
async def test_the_time_limit_is_one_for_the_whole_answer(
    reply: Callable[[BaseHTTPRequestHandler], None], scheme: str, awaited: bool
) -> None:
    with hostile(reply) as (address, _):
        began = time.monotonic()
        with pytest.raises(Unavailable, match="did not answer in time"):
            await inspected(scheme, address, awaited=awaited)
        assert time.monotonic() - began < 4 * LIMIT_S


@both
@everywhere
@pytest.mark.parametrize("reply", [endless, endless_chunks, gzip_bomb])
async def test_answers_without_end_end_as_a_sentence(
    reply: Callable[[BaseHTTPRequestHandler], None], scheme: str, awaited: bool
) -> None:
    with hostile(reply) as (address, server):
        sentence = r"sent (more than 1,048,576 bytes in one response|a compressed response)"
        with pytest.raises(RequestRejected, match=sentence):
            await inspected(scheme, address, awaited=awaited, limit_s=60)
        assert server.asked == ["/"]


@both
@everywhere
@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
@pytest.mark.parametrize("body", [b"", b"{}", b"<html></html>"], ids=["empty", "json", "html"])
async def test_a_redirect_is_not_followed(
    status: int, body: bytes, scheme: str, awaited: bool
) -> None:
    def elsewhere(handler: BaseHTTPRequestHandler) -> None:
        begin(handler, Content_Length="2")
        handler.wfile.write(b"{}")

    with hostile(elsewhere) as (other, thief):

        def here(handler: BaseHTTPRequestHandler) -> None:
            found = ROOT if handler.path == "/" else body
            redirects = {} if handler.path == "/" else {"Location": f"http://{other}/x/_bulk"}
            code = 200 if handler.path == "/" else status
            begin(handler, code, Content_Length=str(len(found)), **redirects)
            handler.wfile.write(found)

        with (
            hostile(here) as (address, _),
            pytest.raises(
                ConfigurationError,
                match=r"redirects to another|is not (Elast|OpenS)|does not answer like",
            ),
        ):
            await inspected(scheme, address, awaited=awaited)
        assert thief.asked == []


@pytest.mark.parametrize("client", CLIENTS)
async def test_documents_go_to_no_other_host_with_a_client_of_the_users(client: str) -> None:
    def elsewhere(handler: BaseHTTPRequestHandler) -> None:
        begin(handler, Content_Length="2")
        handler.wfile.write(b"{}")

    with hostile(elsewhere) as (other, thief):

        def here(handler: BaseHTTPRequestHandler) -> None:
            known = {"/": (200, ROOT), "/articles": (200, b'{"articles": {"mappings": {}}}')}
            status, found = known.get(handler.path, (307, b"{}"))
            to = {"Location": f"http://{other}{handler.path}"} if status == 307 else {}
            begin(handler, status, Content_Length=str(len(found)), **to)
            handler.wfile.write(found)

        with (
            hostile(here) as (address, _),
            pytest.raises(ConfigurationError, match=r"redirects|is not"),
        ):
            await indexed(CLIENTS[client](f"http://{address}"))
        assert thief.asked == []


@both
@pytest.mark.parametrize("id", [".", "..", "%2E", "a/../b", "ä b?#"])
async def test_ids_that_look_like_paths_are_ids(id: str, awaited: bool) -> None:
    with fake_elasticsearch() as (address, fake):
        target = f"elasticsearch://{address}/articles"
        given: Any = {"retry": RetryOptions(attempts=1)}
        if awaited:
            async with await aconnect(target, encoder=HashEncoder(), **given) as astore:
                await astore.index([Document(id=id, text="salt")])
                await astore.update(id, text="tide")
        else:
            with connect(target, encoder=HashEncoder(), **given) as store:
                store.index([Document(id=id, text="salt")])
                store.update(id, text="tide")
        paths = [asked.path for asked in fake.asked if "/_update/" in asked.path]
        assert paths == [f"/articles/_update/{quote(id, safe='')}"]


def test_serverless_counts_as_the_newest_version() -> None:
    """It reports 8.11.0, which would have neither the queries nor the vectors in `_source`."""

    def script(asked: Asked) -> Answer | None:
        if asked.path == "/":
            version = {"number": "8.11.0", "build_flavor": "serverless"}
            return Answer(200, {"version": version})
        return None

    with fake_elasticsearch(script) as (host, fake):
        with connect(f"elasticsearch://{host}/x", encoder=HashEncoder()) as store:
            store.index([Document(id="1", text="word")])
            assert store.inspect().capabilities.version >= (9, 3)
            store.get(["1"], with_vectors=True)
        assert fake.mapping["properties"]["splade"]["type"] == "sparse_vector"
        (read,) = [asked.query for asked in fake.asked if asked.path.endswith("/_mget")]
        assert "_source_exclude_vectors=false" in read
