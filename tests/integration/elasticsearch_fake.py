"""Servers that answer as a test says: a scripted Elasticsearch, and things that are none."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

VERSION = "9.3.2"
PRODUCT = {"X-Elastic-Product": "Elasticsearch"}


@dataclass(frozen=True)
class Answer:
    """A response; a body that is a string is sent as HTML, anything else as JSON."""

    status: int
    body: Any = field(default_factory=dict)
    headers: dict[str, str] = field(default_factory=lambda: dict(PRODUCT))


@dataclass(frozen=True)
class Asked:
    """A request as it came in; the body of a bulk request is the list of its lines."""

    method: str
    path: str
    query: str
    authorization: str
    body: Any
    size: int

    @property
    def is_bulk(self) -> bool:
        return self.path.endswith("/_bulk")

    @property
    def ids(self) -> list[str]:
        """The ids of a bulk request."""
        return [line["index"]["_id"] for line in self.body[::2]]


def error(kind: str, reason: str) -> dict[str, Any]:
    cause = {"type": kind, "reason": reason}
    return {"error": {**cause, "root_cause": [cause]}}


# What a test has to say to a request; None leaves it to the fake.
Script = Callable[[Asked], Answer | None]


class FakeElasticsearch:
    """One index in memory: mapping, bulk, refresh, count, and a search that finds everything."""

    def __init__(self, script: Script) -> None:
        self.asked: list[Asked] = []
        self.documents: dict[str, Any] = {}
        self.mapping: Any = None
        self._script = script

    @property
    def bulks(self) -> list[list[str]]:
        """The ids of each bulk request, in their order."""
        return [asked.ids for asked in self.asked if asked.is_bulk]

    def answer(self, asked: Asked) -> Answer:
        self.asked.append(asked)
        scripted = self._script(asked)
        if scripted is not None:
            return scripted
        name, _, verb = asked.path.removeprefix("/").partition("/")
        if not name:
            return Answer(200, {"version": {"number": VERSION}})
        if asked.method == "PUT":
            self.mapping = asked.body["mappings"]
            return Answer(200, {"acknowledged": True})
        if self.mapping is None:
            return Answer(404, error("index_not_found_exception", f"no such index [{name}]"))
        return Answer(200, self._of_index(name, verb, asked))

    def written(self, asked: Asked, refused: dict[str, Any]) -> Answer:
        """The answer to a bulk request, some items of which have another outcome."""
        items = []
        for id, source in zip(asked.ids, asked.body[1::2], strict=True):
            if id not in refused:
                self.documents[id] = source
            items.append({"index": {"_id": id, "status": 201} | refused.get(id, {})})
        return Answer(200, {"errors": bool(refused), "items": items})

    def _of_index(self, name: str, verb: str, asked: Asked) -> Any:
        match verb:
            case "":
                return {name: {"mappings": self.mapping}}
            case "_bulk":
                return self.written(asked, {}).body
            case "_count":
                return {"count": len(self.documents)}
            case "_mget":
                found = {id: self.documents.get(id) for id in asked.body["ids"]}
                return {
                    "docs": [
                        {"_id": id, "found": source is not None, "_source": source}
                        for id, source in found.items()
                    ]
                }
            case "_search":
                items = self.documents.items()
                hits = [{"_id": id, "_score": 1.0, "_source": source} for id, source in items]
                return {"hits": {"hits": hits}}
            case _:
                return {}


@contextmanager
def fake_elasticsearch(
    script: Script = lambda asked: None,
) -> Iterator[tuple[str, FakeElasticsearch]]:
    """The "HOST:PORT" of a fake, and the fake."""
    fake = FakeElasticsearch(script)

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def handle_any(self) -> None:
            raw = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            path, _, query = self.path.partition("?")
            lines = [json.loads(line) for line in raw.splitlines()]
            body = lines if path.endswith("/_bulk") else (lines[0] if lines else None)
            authorization = self.headers.get("Authorization") or ""
            asked = Asked(self.command, path, query, authorization, body, len(raw))
            send(self, fake.answer(asked))

        do_GET = do_PUT = do_POST = handle_any  # noqa: N815

        def log_message(self, format: str, *args: Any) -> None:
            """Nothing is printed."""

    with serving(Handler) as address:
        yield address, fake


def send(handler: BaseHTTPRequestHandler, answer: Answer) -> None:
    is_html = isinstance(answer.body, str)
    content = answer.body.encode() if is_html else json.dumps(answer.body).encode()
    handler.send_response(answer.status)
    for name, value in answer.headers.items():
        handler.send_header(name, value)
    handler.send_header("Content-Type", "text/html" if is_html else "application/json")
    handler.send_header("Content-Length", str(len(content)))
    handler.end_headers()
    handler.wfile.write(content)


@contextmanager
def serving(handler: type[BaseHTTPRequestHandler]) -> Iterator[str]:
    """The "HOST:PORT" of a server that is gone afterwards."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield f"127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


class Silent(BaseHTTPRequestHandler):
    """Prints nothing. `reply` is called for every request, before its head is read."""

    def handle(self) -> None:
        self.reply()

    def reply(self) -> None:
        """Closes the connection."""


class ClosesTheConnection(Silent):
    """As a server behind TLS may when it is spoken to without."""

    def reply(self) -> None:
        self.connection.recv(65536)


class SpeaksAnotherProtocol(Silent):
    """An SSH server, say."""

    def reply(self) -> None:
        self.connection.recv(65536)
        self.wfile.write(b"SSH-2.0-OpenSSH_9.6\r\n\r\n")


class AnswersWithAnAlert(Silent):
    """What TLS servers say to plain text: a fatal "unexpected message"."""

    def reply(self) -> None:
        self.connection.recv(65536)
        self.wfile.write(b"\x15\x03\x03\x00\x02\x02\x0a")


class NeverAnswers(Silent):
    """Waits until the other side gives up."""

    def reply(self) -> None:
        while self.connection.recv(65536):
            pass


def web_server(status: int, headers: dict[str, str] | None = None) -> type[BaseHTTPRequestHandler]:
    """A server of web pages, or a proxy: this status and a page for every request."""

    class Handler(BaseHTTPRequestHandler):
        def handle_any(self) -> None:
            self.rfile.read(int(self.headers.get("Content-Length") or 0))
            page = f"<!DOCTYPE html><html><head><title>{status}</title></head></html>"
            send(self, Answer(status, page, headers or {}))

        do_GET = do_PUT = do_POST = handle_any  # noqa: N815

        def log_message(self, format: str, *args: Any) -> None:
            """Nothing is printed."""

    return Handler
