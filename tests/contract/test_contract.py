"""Every store passes the same suite."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from qdrant_client import AsyncQdrantClient, QdrantClient

from splade_connectors import AsyncStore, SparseEncoder, Store, aconnect, connect
from splade_connectors.backends.protocol import Opened, does_nothing
from splade_connectors.operations.session import Session
from splade_connectors.options import PruneOptions
from splade_connectors.testing import AttachContract, MemoryStore, Owner
from splade_connectors.testing.memory import Collection, MemoryBackend
from splade_qdrant.edge.engine import EdgeEngine
from tests.contract.owners import EdgeOwner, ElasticsearchOwner, MemoryOwner, QdrantOwner


def qdrant_filter(field: str, value: str) -> dict[str, Any]:
    return {"must": [{"key": field, "match": {"value": value}}]}


class TestMemory(AttachContract):
    @pytest.fixture(autouse=True)
    def _fresh(self) -> None:
        self._collection = Collection()

    def make_store(self, encoder: SparseEncoder) -> Store:
        return MemoryStore(encoder, collection=self._collection)

    async def amake_store(self, encoder: SparseEncoder) -> AsyncStore:
        async def send(request: Any) -> Any:
            raise AssertionError("there is nothing to send")

        backend = MemoryBackend(self._collection)
        opened = Opened(backend=backend, send=send, close=does_nothing(asynchronous=True))
        return AsyncStore(Session(backend, lambda: encoder, PruneOptions(), False), opened, None)

    def make_owner(self) -> Owner:
        return MemoryOwner(self._collection)

    def filter_for(self, field: str, value: str) -> Any:
        return {field: value}


class TestEdge(AttachContract):
    @pytest.fixture(autouse=True)
    def _folder(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self._path = tmp_path / "shard"
        self._open: Store | None = None
        self._engine: EdgeEngine | None = None
        monkeypatch.setattr("splade_qdrant.adapter.EdgeEngine", self._remembered)

    def _remembered(self, path: Path, location: str) -> EdgeEngine:
        """The owner has to share it: one process, one opening at a time."""
        self._engine = EdgeEngine(path, location)
        return self._engine

    def make_store(self, encoder: SparseEncoder) -> Store:
        if self._open:
            self._open.close()
        self._open = connect(f"edge:{self._path}", encoder=encoder)
        return self._open

    async def amake_store(self, encoder: SparseEncoder) -> AsyncStore:
        return await aconnect(f"edge:{self._path}", encoder=encoder)

    def make_owner(self) -> Owner:
        return EdgeOwner(self._path, lambda: self._engine)

    def filter_for(self, field: str, value: str) -> Any:
        return qdrant_filter(field, value)


class TestQdrantLocalMode(AttachContract):
    @pytest.fixture(autouse=True)
    def _client(self) -> None:
        self._qdrant = QdrantClient(":memory:")

    def make_store(self, encoder: SparseEncoder) -> Store:
        return connect(self._qdrant, "articles", encoder=encoder)

    async def amake_store(self, encoder: SparseEncoder) -> AsyncStore:
        awaited: Any = AsyncQdrantClient(":memory:")
        mine: Any = self._qdrant
        awaited._client.collections = mine._client.collections  # the same, not another memory
        return await aconnect(awaited, "articles", encoder=encoder)

    def make_owner(self) -> Owner:
        return QdrantOwner(self._qdrant, "articles")

    def filter_for(self, field: str, value: str) -> Any:
        return qdrant_filter(field, value)


class TestQdrantServer(AttachContract):
    @pytest.fixture(autouse=True)
    def _url(self, qdrant_url: str) -> Iterator[None]:
        self._target = qdrant_url.replace("http", "qdrant+http", 1).replace("+http:", ":")
        self._collection = f"splade-test-{uuid.uuid4().hex}"
        self._owners = QdrantClient(qdrant_url, check_compatibility=False)
        yield
        self._owners.delete_collection(self._collection)
        self._owners.close()

    def make_store(self, encoder: SparseEncoder) -> Store:
        return connect(f"{self._target}/{self._collection}", encoder=encoder)

    async def amake_store(self, encoder: SparseEncoder) -> AsyncStore:
        return await aconnect(f"{self._target}/{self._collection}", encoder=encoder)

    def make_owner(self) -> Owner:
        return QdrantOwner(self._owners, self._collection)

    def filter_for(self, field: str, value: str) -> Any:
        return qdrant_filter(field, value)


class ElasticsearchContract(AttachContract):
    """Shared by both kinds of fields."""

    rounding = "lucene"
    scheme = "elasticsearch"
    kind: str
    url: str

    @pytest.fixture(autouse=True)
    def _index(self, _server: None) -> Iterator[None]:
        self._name = f"splade-test-{uuid.uuid4().hex}"
        address = self.url.removeprefix("http://").rstrip("/")
        self._target = f"{self.scheme}://{address}/{self._name}?kind={self.kind}"
        self._owner = ElasticsearchOwner(self.url, self._name)
        yield
        self._owner.delete()

    def make_store(self, encoder: SparseEncoder) -> Store:
        return connect(self._target, encoder=encoder)

    async def amake_store(self, encoder: SparseEncoder) -> AsyncStore:
        return await aconnect(self._target, encoder=encoder)

    def make_owner(self) -> Owner:
        return self._owner

    def filter_for(self, field: str, value: str) -> Any:
        return {"term": {f"{field}.keyword": value}}


@pytest.mark.servers
class TestSparseVector(ElasticsearchContract):
    kind = "sparse_vector"

    @pytest.fixture
    def _server(self, elasticsearch_url: str) -> None:
        self.url = elasticsearch_url


@pytest.mark.servers
class TestRankFeatures(ElasticsearchContract):
    kind = "rank_features"
    # The server at hand is a build without them.
    has_dense = False

    @pytest.fixture
    def _server(self, rank_features_url: str) -> None:
        self.url = rank_features_url


@pytest.mark.servers
class TestOpenSearch(ElasticsearchContract):
    scheme = "opensearch"
    kind = "rank_features"

    @pytest.fixture
    def _server(self, opensearch_url: str) -> None:
        self.url = opensearch_url
