"""A Qdrant to test against: a front, reached in four ways, or the server at $QDRANT_URL."""

from __future__ import annotations

import inspect
import os
import uuid
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Any
from urllib.parse import urlsplit

from qdrant_client import QdrantClient

from splade_connectors import AsyncStore, RetryOptions, Store, aconnect, connect
from tests.fronts import Front, QdrantGrpcFront, QdrantRestFront

FRONTS: dict[str, type[Front]] = {
    "rest-sync": QdrantRestFront,
    "rest-async": QdrantRestFront,
    "grpc-sync": QdrantGrpcFront,
    "grpc-async": QdrantGrpcFront,
}
SERVERS = ["server-sync", "server-async"] if os.environ.get("QDRANT_URL") else []

QUICK = RetryOptions(attempts=3, initial_wait_s=0.001, max_wait_s=0.002)


class Verbs:
    """The verbs of either kind of store, awaited."""

    def __init__(self, store: Store | AsyncStore) -> None:
        self.store = store

    def __getattr__(self, name: str) -> Callable[..., Any]:
        async def verb(*args: Any, **kwargs: Any) -> Any:
            result = getattr(self.store, name)(*args, **kwargs)
            return await result if inspect.isawaitable(result) else result

        return verb


class Place:
    """A server and a way to it.

    Args:
        way: a key of `FRONTS`, or one of `SERVERS`.
        scheme: of targets.
        address: HOST:PORT.
        owner: a client of the collections' owner, who is not us.
        front: the stand-in, None for a real server.

    Attributes:
        name: a collection of this test alone.
    """

    def __init__(
        self, way: str, scheme: str, address: str, owner: QdrantClient, front: Front | None
    ) -> None:
        self.way = way
        self.address = address
        self.name = f"splade-test-{uuid.uuid4().hex}"
        self.target = f"{scheme}://{address}/{self.name}"
        self.owner = owner
        self._front = front

    @property
    def front(self) -> Front:
        assert self._front is not None, "only for tests that do not run against a server"
        return self._front

    @property
    def over_grpc(self) -> bool:
        return self.way.startswith("grpc")

    def opened(self, suffix: str = "", **arguments: Any) -> Any:
        """A store of this place, as an async context manager of `Verbs`."""
        return opened(self.target + suffix, self.way, **arguments)

    def metadata(self) -> dict[str, Any]:
        """The collection's, as its owner sees it."""
        return self.owner.get_collection(self.name).config.metadata or {}


@asynccontextmanager
async def opened(target: str, way: str, **arguments: Any) -> AsyncIterator[Verbs]:
    """A store, blocking or not."""
    arguments.setdefault("retry", QUICK)
    if way.endswith("async"):
        async with await aconnect(target, **arguments) as store:
            yield Verbs(store)
    else:
        with connect(target, **arguments) as store:
            yield Verbs(store)


@contextmanager
def place(way: str, **options: Any) -> Iterator[Place]:
    """A place that is gone afterwards; `options` are those of `Front`."""
    if way in SERVERS:
        with _server(way) as found:
            yield found
        return
    with FRONTS[way](**options) as front:
        grpc = way.startswith("grpc")
        ports = {"grpc_port": front.port, "prefer_grpc": True} if grpc else {"port": front.port}
        key = options.get("api_key")
        owner = QdrantClient(
            host="127.0.0.1", check_compatibility=False, https=False, api_key=key, **ports
        )
        scheme = "qdrant+grpc" if grpc else "qdrant"
        yield Place(way, scheme, front.host, owner, front)
        owner.close()


@contextmanager
def _server(way: str) -> Iterator[Place]:
    url = os.environ["QDRANT_URL"]
    owner = QdrantClient(url, check_compatibility=False)
    parts = urlsplit(url)
    scheme = "qdrant+https" if parts.scheme == "https" else "qdrant"
    found = Place(way, scheme, parts.netloc, owner, None)
    yield found
    owner.delete_collection(found.name)
    owner.close()
