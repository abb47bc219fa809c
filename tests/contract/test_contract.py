"""Every store passes the same suite."""

from __future__ import annotations

import uuid
from pathlib import Path
from typing import Any

import pytest
from qdrant_client import QdrantClient

from splade_connectors import SparseEncoder, Store, connect
from splade_connectors.testing import MemoryStore, StoreContract


def qdrant_filter(field: str, value: str) -> dict[str, Any]:
    return {"must": [{"key": field, "match": {"value": value}}]}


class TestMemory(StoreContract):
    @pytest.fixture(autouse=True)
    def _fresh(self) -> None:
        self._first: MemoryStore | None = None

    def make_store(self, encoder: SparseEncoder) -> Store:
        store = MemoryStore(encoder)
        if self._first:
            # The same collection within one test.
            store._verbs.backend = self._first._verbs.backend
        self._first = self._first or store
        return store

    def filter_for(self, field: str, value: str) -> Any:
        return {field: value}


class TestEdge(StoreContract):
    @pytest.fixture(autouse=True)
    def _folder(self, tmp_path: Path) -> None:
        self._path = tmp_path / "shard"
        self._open: Store | None = None

    def make_store(self, encoder: SparseEncoder) -> Store:
        if self._open:
            self._open.close()  # one process, one opening at a time
        self._open = connect(f"edge:{self._path}", encoder=encoder)
        return self._open

    def filter_for(self, field: str, value: str) -> Any:
        return qdrant_filter(field, value)


class TestQdrantLocalMode(StoreContract):
    @pytest.fixture(autouse=True)
    def _client(self) -> None:
        self._qdrant = QdrantClient(":memory:")

    def make_store(self, encoder: SparseEncoder) -> Store:
        return connect(self._qdrant, "articles", encoder=encoder)

    def filter_for(self, field: str, value: str) -> Any:
        return qdrant_filter(field, value)


class TestQdrantServer(StoreContract):
    @pytest.fixture(autouse=True)
    def _url(self, qdrant_url: str) -> Any:
        self._target = qdrant_url.replace("http", "qdrant+http", 1).replace("+http:", ":")
        self._collection = f"splade-test-{uuid.uuid4().hex}"
        yield
        client = QdrantClient(qdrant_url, check_compatibility=False)
        client.delete_collection(self._collection)
        client.close()

    def make_store(self, encoder: SparseEncoder) -> Store:
        return connect(f"{self._target}/{self._collection}", encoder=encoder)

    def filter_for(self, field: str, value: str) -> Any:
        return qdrant_filter(field, value)


class ElasticsearchContract(StoreContract):
    """Shared by both kinds of fields."""

    precision = "lucene"
    scheme = "elasticsearch"
    kind: str
    url: str

    @pytest.fixture(autouse=True)
    def _index(self) -> None:
        self._name = f"splade-test-{uuid.uuid4().hex}"

    def make_store(self, encoder: SparseEncoder) -> Store:
        address = self.url.removeprefix("http://").rstrip("/")
        target = f"{self.scheme}://{address}/{self._name}?kind={self.kind}"
        return connect(target, encoder=encoder)

    def filter_for(self, field: str, value: str) -> Any:
        return {"term": {f"{field}.keyword": value}}


@pytest.mark.servers
class TestSparseVector(ElasticsearchContract):
    kind = "sparse_vector"

    @pytest.fixture(autouse=True)
    def _server(self, elasticsearch_url: str) -> None:
        self.url = elasticsearch_url


@pytest.mark.servers
class TestRankFeatures(ElasticsearchContract):
    kind = "rank_features"

    @pytest.fixture(autouse=True)
    def _server(self, rank_features_url: str) -> None:
        self.url = rank_features_url


@pytest.mark.servers
class TestOpenSearch(ElasticsearchContract):
    scheme = "opensearch"
    kind = "rank_features"

    @pytest.fixture(autouse=True)
    def _server(self, opensearch_url: str) -> None:
        self.url = opensearch_url
