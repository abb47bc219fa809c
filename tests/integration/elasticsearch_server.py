"""An Elasticsearch to test against: real clients, raw requests, and indices that are removed."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from typing import Any

import httpx
import pytest

from splade_connectors import (
    AsyncStore,
    Document,
    RetryOptions,
    SparseEncoder,
    Store,
    aconnect,
    connect,
)
from splade_connectors.testing import HashEncoder
from tests.servers import client_for

FIXTURES = {
    "9.3.2": "elasticsearch_url",
    "8.19.21": "elasticsearch_8_url",
    "7.17.29": "rank_features_url",
}
BOTH_KINDS = ["9.3.2", "7.17.29"]
NO_RETRY = RetryOptions(attempts=1)


@dataclass
class Server:
    """A running server, and the names of the indices that a test made on it."""

    url: str
    version: tuple[int, ...]
    modules: frozenset[str]
    names: list[str] = field(default_factory=list)

    @property
    def major(self) -> int:
        return self.version[0]

    @property
    def kind(self) -> str:
        return "sparse_vector" if self.version >= (8, 15) else "rank_features"

    @property
    def has_rank_features(self) -> bool:
        return "mapper-extras" in self.modules

    @property
    def has_dense_vectors(self) -> bool:
        # A module of its own up to 8.2, then part of the server.
        return self.version >= (8, 3) or "vectors" in self.modules

    def new_name(self) -> str:
        """The name of an index, removed after the test."""
        self.names.append(f"splade-test-{uuid.uuid4().hex}")
        return self.names[-1]

    def target(self, name: str) -> str:
        return f"{self.url.replace('http', 'elasticsearch', 1)}/{name}"

    def call(self, method: str, path: str, body: Any = None) -> Any:
        """A request as one sends it by hand."""
        url = f"{self.url}{path}"
        answer = httpx.request(method, url, json=body, trust_env=False, timeout=60)
        assert answer.is_success, answer.text
        return answer.json()

    def put(self, name: str, documents: dict[str, Any]) -> None:
        """Documents of the owner."""
        for id, source in documents.items():
            self.call("PUT", f"/{name}/_doc/{id}", source)
        self.call("POST", f"/{name}/_refresh")

    def sources(self, name: str) -> dict[str, Any]:
        """What the index holds, vectors included."""
        body: dict[str, Any] = {"size": 1000}
        if self.version >= (9, 2):
            body["_source"] = {"exclude_vectors": False}
        hits = self.call("POST", f"/{name}/_search", body)["hits"]["hits"]
        return {hit["_id"]: hit["_source"] for hit in hits}

    def mapping(self, name: str) -> Any:
        return self.call("GET", f"/{name}/_mapping")[name]["mappings"]

    @contextmanager
    def store(
        self, name: str, encoder: SparseEncoder | None = None, **parameters: Any
    ) -> Iterator[Store]:
        """By URL; on 8.x with a client that passes for an older one (see tests.servers.compat)."""
        parameters = {"encoder": encoder or HashEncoder(), "retry": NO_RETRY} | parameters
        if self.major != 8:
            with connect(self.target(name), **parameters) as store:
                yield store
            return
        with client_for(self.url, 8) as client, connect(client, name, **parameters) as store:
            yield store

    @asynccontextmanager
    async def astore(self, name: str, *, by_client: bool, **parameters: Any) -> Any:
        """As `store`, awaited."""
        parameters = {"encoder": HashEncoder(), "retry": NO_RETRY} | parameters
        if not by_client:
            async with await aconnect(self.target(name), **parameters) as store:
                yield store
            return
        async with client_for(self.url, self.major, async_=True) as client:
            store: AsyncStore = await aconnect(client, name, **parameters)
            async with store:
                yield store


@contextmanager
def server_of(version: str, request: pytest.FixtureRequest) -> Iterator[Server]:
    """The server of a version, or the one that the environment names instead."""
    url = request.getfixturevalue(FIXTURES[version]).rstrip("/")
    with httpx.Client(trust_env=False) as client:
        found = client.get(f"{url}/_nodes/plugins?filter_path=nodes.*.version,nodes.*.modules.name")
        node = next(iter(found.raise_for_status().json()["nodes"].values()))
        number = tuple(int(part) for part in node["version"].split("-")[0].split("."))
        server = Server(url, number, frozenset(module["name"] for module in node["modules"]))
        yield server
        for name in server.names:
            client.delete(f"{url}/{name}")


def document(id: str, text: str, **payload: Any) -> Document:
    return Document(id=id, text=text, payload=payload)
