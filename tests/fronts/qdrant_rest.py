"""Qdrant's REST API, as far as the adapter uses it."""

from __future__ import annotations

import json
import re
import threading
import time
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import unquote, urlsplit

from pydantic import BaseModel, TypeAdapter, ValidationError
from qdrant_client.http import models

from tests.fronts.front import Engine, Front, Recorded, Refused

MAX_REQUEST_BYTES = 32 * 2**20  # as a server has it by default


class QdrantRestFront(Front):
    """REST on a free port. As `Front`."""

    _server: _Server

    @property
    def url(self) -> str:
        """http://HOST:PORT."""
        return f"http://{self.host}"

    def start(self) -> None:
        """Listen."""
        self._server = _Server(self)
        self.port = self._server.server_port
        threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True).start()

    def stop(self) -> None:
        """Close the port and all connections."""
        self._server.shutdown()
        self._server.server_close()


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, front: QdrantRestFront) -> None:
        super().__init__(("127.0.0.1", front.port), _Handler)
        self.front = front

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that hangs up is none of the tests' business."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: _Server

    def do_PUT(self) -> None:
        self.do_GET()

    def do_PATCH(self) -> None:
        self.do_GET()

    def do_POST(self) -> None:
        self.do_GET()

    def do_DELETE(self) -> None:
        self.do_GET()

    def log_message(self, format: str, *args: Any) -> None:
        """Tests look at `requests` instead."""

    def do_GET(self) -> None:  # the name is the base class's
        began = time.perf_counter()
        length = int(self.headers.get("Content-Length") or 0)
        raw = self.rfile.read(length)
        try:
            if length > MAX_REQUEST_BYTES:
                raise Refused(
                    400,
                    f"Payload error: JSON payload ({length} bytes) is larger than allowed (limit: "
                    f"{MAX_REQUEST_BYTES} bytes).",
                )
            answer = self._answer(urlsplit(self.path).path, raw)
        except Refused as refusal:
            self._refuse(refusal, began)
        else:
            envelope = {"result": answer, "status": "ok", "time": time.perf_counter() - began}
            self._send(200, answer if self.path == "/" else envelope)

    def _answer(self, path: str, raw: bytes) -> Any:
        body = json.loads(raw) if raw else None
        front = self.server.front
        return front.answer(
            Recorded(self.command, self.path, body),
            self._key(),
            public=path == "/",
            writes=not _reads(self.command, path),
            work=_work(front.engine, self.command, path, body),
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


_READING = ("/points", "/query", "/query/batch", "/count", "/scroll")


def _reads(method: str, path: str) -> bool:
    asks = method == "POST" and path.endswith(_READING)
    return asks or method == "GET"


def _work(engine: Engine, method: str, path: str, body: Any) -> Callable[[], Any]:
    """What the engine is to do for a request."""
    for known, pattern, kind, work in _ROUTES:
        found = re.fullmatch(pattern, path)
        if found and known == method:
            names = [unquote(name) for name in found.groups()]
            given = [] if kind is None else [(kind, body)]
            return lambda: _plain(work(engine, *names, *(_read(*item) for item in given)))
    raise Refused(404, "", plain=True)


def _read(kind: Any, body: Any) -> Any:
    """The body as one of Qdrant's models."""
    try:
        return TypeAdapter(kind).validate_python(body)
    except ValidationError as error:
        raise Refused(400, f"Format error in JSON body: {error.errors()[0]['msg']}") from error


def _plain(value: Any) -> Any:
    """Models as JSON."""
    if isinstance(value, models.CollectionInfo):
        # A server leaves out what is not set, and clients older than a setting rely on that.
        params = value.config.params.model_dump(mode="json", exclude_none=True)
        whole = value.model_dump(mode="json")
        return {**whole, "config": {**whole["config"], "params": params}}
    if isinstance(value, BaseModel):
        return value.model_dump(mode="json")
    return [_plain(item) for item in value] if isinstance(value, list) else value


_COLLECTION = r"/collections/([^/]+)"

# Method, path, what the body is, and what to do with the names in the path and the body.
_ROUTES: list[tuple[str, str, Any, Callable[..., Any]]] = [
    ("GET", "/", None, Engine.version),
    ("GET", f"{_COLLECTION}/exists", None, lambda engine, name: {"exists": engine.exists(name)}),
    ("GET", _COLLECTION, None, Engine.info),
    ("PUT", _COLLECTION, models.CreateCollection, Engine.create),
    ("PATCH", _COLLECTION, models.UpdateCollection, Engine.change),
    ("DELETE", _COLLECTION, None, Engine.drop),
    ("PUT", f"{_COLLECTION}/vectors/([^/]+)", models.VectorNameConfig, Engine.add_vector),
    ("DELETE", f"{_COLLECTION}/vectors/([^/]+)", None, Engine.delete_vector_name),
    ("PUT", f"{_COLLECTION}/index", models.CreateFieldIndex, Engine.create_index),
    ("DELETE", f"{_COLLECTION}/index/([^/]+)", None, Engine.delete_index),
    ("GET", "/collections", None, Engine.collections),
    ("GET", "/aliases", None, Engine.aliases),
    ("POST", "/collections/aliases", models.ChangeAliasesOperation, Engine.change_aliases),
    ("POST", f"{_COLLECTION}/points/scroll", models.ScrollRequest, Engine.scroll),
    ("POST", f"{_COLLECTION}/points/batch", models.UpdateOperations, Engine.batch),
    ("POST", f"{_COLLECTION}/points/vectors/delete", models.DeleteVectors, Engine.delete_vectors),
    ("POST", f"{_COLLECTION}/points/payload/delete", models.DeletePayload, Engine.delete_payload),
    ("PUT", f"{_COLLECTION}/points", models.PointsList, Engine.upsert),
    ("POST", f"{_COLLECTION}/points", models.PointRequest, Engine.retrieve),
    ("POST", f"{_COLLECTION}/points/query", models.QueryRequest, Engine.query),
    ("POST", f"{_COLLECTION}/points/query/batch", models.QueryRequestBatch, Engine.queries),
    ("POST", f"{_COLLECTION}/points/count", models.CountRequest, Engine.count),
    ("POST", f"{_COLLECTION}/points/delete", models.PointsSelector, Engine.delete),
    ("POST", f"{_COLLECTION}/points/payload", models.SetPayload, Engine.set_payload),
    ("PUT", f"{_COLLECTION}/points/vectors", models.UpdateVectors, Engine.update_vectors),
]
