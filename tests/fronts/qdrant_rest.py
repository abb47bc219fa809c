"""Qdrant's REST API, as far as the adapter uses it."""

from __future__ import annotations

import json
import re
import threading
import time
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Literal
from urllib.parse import unquote, urlsplit

from pydantic import BaseModel, TypeAdapter, ValidationError
from qdrant_client.http import models

from tests.fronts.front import Engine, Front, Recorded, Refused

Work = Callable[[Engine, tuple[str, ...], Any], Any]


class QdrantRestFront(Front):
    """REST on a free port. As `Front`."""

    _server: _Server

    @property
    def port(self) -> int:
        """The port it listens on."""
        return self._server.server_port

    @property
    def url(self) -> str:
        """http://HOST:PORT."""
        return f"http://{self.host}"

    def start(self) -> None:
        """Listen."""
        self._server = _Server(self)
        threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True).start()

    def stop(self) -> None:
        """Close the port and all connections."""
        self._server.shutdown()
        self._server.server_close()


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, front: QdrantRestFront) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.front = front

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that hangs up is none of the tests' business."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: _Server

    def do_GET(self) -> None:
        self._handle()

    do_PUT = do_PATCH = do_POST = do_DELETE = do_GET

    def log_message(self, format: str, *args: Any) -> None:
        """Tests look at `requests` instead."""

    def _handle(self) -> None:
        began = time.perf_counter()
        raw = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        try:
            answer = self._answer(urlsplit(self.path).path, raw)
        except Refused as refusal:
            self._refuse(refusal, began)
        else:
            envelope = {"result": answer, "status": "ok", "time": time.perf_counter() - began}
            self._send(200, answer if self.path == "/" else envelope)

    def _answer(self, path: str, raw: bytes) -> Any:
        body = json.loads(raw) if raw else None
        work, names = _route(self.command, path)
        front = self.server.front
        return front.answer(
            Recorded(self.command, self.path, body),
            # The version is told to everybody.
            front._api_key if path == "/" else self._key(),
            writes=not _reads(self.command, path),
            work=lambda: _plain(work(front.engine, names, body)),
        )

    def _key(self) -> str | None:
        bearer = str(self.headers.get("Authorization", ""))
        return self.headers.get("api-key") or bearer.removeprefix("Bearer ") or None

    def _refuse(self, refusal: Refused, began: float) -> None:
        if refusal.plain:
            self._write(refusal.status, refusal.message.encode(), "text/plain", {})
            return
        taken = time.perf_counter() - began
        answer = {"status": {"error": refusal.message}, "time": taken}
        self._send(refusal.status, answer, refusal.headers)

    def _send(self, status: int, answer: Any, headers: dict[str, str] | None = None) -> None:
        self._write(status, json.dumps(answer).encode(), "application/json", headers or {})

    def _write(self, status: int, body: bytes, kind: str, headers: dict[str, str]) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


def _reads(method: str, path: str) -> bool:
    return method == "GET" or path.endswith(("/points", "/query", "/count")) and method == "POST"


def _route(method: str, path: str) -> tuple[Work, tuple[str, ...]]:
    for known, pattern, work in _ROUTES:
        found = re.fullmatch(pattern, path)
        if found and known == method:
            return work, tuple(unquote(name) for name in found.groups())
    raise Refused(404, "", plain=True)


def _read(kind: Any, body: Any) -> Any:
    """The body as one of Qdrant's models."""
    try:
        return TypeAdapter(kind).validate_python(body)
    except ValidationError as error:
        raise Refused(400, f"Format error in JSON body: {error.errors()[0]['msg']}") from error


def _plain(value: Any) -> Any:
    """Models as JSON."""
    if isinstance(value, BaseModel):
        return value.model_dump(mode="json")
    return [_plain(item) for item in value] if isinstance(value, list) else value


def _collection(*path: str) -> str:
    return "/".join((r"/collections/([^/]+)", *path))


_ROUTES: list[tuple[Literal["GET", "PUT", "PATCH", "POST", "DELETE"], str, Work]] = [
    ("GET", r"/", lambda engine, names, body: engine.version()),
    (
        "GET",
        _collection("exists"),
        lambda engine, names, body: {"exists": engine.exists(*names)},
    ),
    ("GET", _collection(), lambda engine, names, body: engine.info(*names)),
    (
        "PUT",
        _collection(),
        lambda engine, names, body: engine.create(*names, _read(models.CreateCollection, body)),
    ),
    (
        "PATCH",
        _collection(),
        lambda engine, names, body: engine.change(*names, _read(models.UpdateCollection, body)),
    ),
    ("DELETE", _collection(), lambda engine, names, body: engine.drop(*names)),
    (
        "PUT",
        _collection("vectors", "([^/]+)"),
        lambda engine, names, body: engine.add_vector(*names, _read(models.VectorNameConfig, body)),
    ),
    (
        "PUT",
        _collection("points"),
        lambda engine, names, body: engine.upsert(*names, _read(models.PointsList, body).points),
    ),
    (
        "POST",
        _collection("points", "query"),
        lambda engine, names, body: engine.query(*names, _read(models.QueryRequest, body)),
    ),
    (
        "POST",
        _collection("points"),
        lambda engine, names, body: engine.retrieve(*names, _read(models.PointRequest, body)),
    ),
    (
        "POST",
        _collection("points", "delete"),
        lambda engine, names, body: engine.delete(*names, _read(models.PointsSelector, body)),
    ),
    (
        "POST",
        _collection("points", "payload"),
        lambda engine, names, body: engine.set_payload(*names, _read(models.SetPayload, body)),
    ),
    (
        "PUT",
        _collection("points", "vectors"),
        lambda engine, names, body: engine.update_vectors(
            *names, _read(models.UpdateVectors, body).points
        ),
    ),
    (
        "POST",
        _collection("points", "count"),
        lambda engine, names, body: engine.count(*names, _read(models.CountRequest, body)),
    ),
]
