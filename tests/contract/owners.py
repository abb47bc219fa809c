"""Owners of collections in every store: they write by hand what attaching then meets."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import httpx
import qdrant_edge
from qdrant_client import QdrantClient, models

from splade_connectors.documents import DocumentId
from splade_connectors.testing import Owner
from splade_connectors.testing.memory import Collection
from splade_qdrant.edge.engine import EdgeEngine

DENSE = [0.25, -1.5, 3.125, 2.0]


def theirs(payload: Mapping[str, Any] | None) -> dict[str, Any]:
    return {key: value for key, value in (payload or {}).items() if not key.startswith("_splade")}


class MemoryOwner(Owner):
    """Of a `Collection`."""

    def __init__(self, collection: Collection) -> None:
        self._collection = collection

    def put(self, documents: Mapping[DocumentId, Mapping[str, Any]]) -> None:
        self._collection.exists = True
        self._collection.payloads |= documents

    def change(self, id: DocumentId, fields: Mapping[str, Any]) -> None:
        self._collection.payloads[id] = {**self._collection.payloads[id], **fields}

    def remove_vector(self, id: DocumentId) -> None:
        del self._collection.vectors["splade"][id]

    def documents(self) -> Mapping[str, Any]:
        return {str(id): payload for id, payload in self._collection.payloads.items()}


class EdgeOwner(Owner):
    """Of a shard on disk; while a store has it open, by the engine of that store.

    Args:
        path: of the shard.
        engine: the store's, None before there is one.
    """

    def __init__(self, path: Path, engine: Callable[[], EdgeEngine | None]) -> None:
        self._path = path
        self._engine = engine

    def put(self, documents: Mapping[DocumentId, Mapping[str, Any]]) -> None:
        points = [
            qdrant_edge.Point(id, {"dense": DENSE}, dict(payload))
            for id, payload in documents.items()
        ]
        update = qdrant_edge.UpdateOperation.upsert_points(points)
        if engine := self._engine():
            with engine._lock:
                engine._open().update(update)
            return
        self._path.mkdir()
        params = qdrant_edge.EdgeVectorParams(size=len(DENSE), distance=qdrant_edge.Distance.Dot)
        config = qdrant_edge.EdgeConfig(vectors={"dense": params}, sparse_vectors=None)
        shard = qdrant_edge.EdgeShard.create(str(self._path), config)
        shard.update(update)
        shard.close()

    def change(self, id: DocumentId, fields: Mapping[str, Any]) -> None:
        engine = self._engine()
        assert engine
        with engine._lock:
            engine._open().update(qdrant_edge.UpdateOperation.set_payload([id], dict(fields)))

    def remove_vector(self, id: DocumentId) -> None:
        engine = self._engine()
        assert engine
        with engine._lock:
            engine._open().update(qdrant_edge.UpdateOperation.delete_vectors([id], ["splade"]))

    def documents(self) -> Mapping[str, Any]:
        engine = self._engine()
        assert engine
        request = qdrant_edge.ScrollRequest(limit=1000, with_payload=True, with_vector=["dense"])
        with engine._lock:
            records, _ = engine._open().scroll(request)
        return {str(item.id): (theirs(item.payload), item.vector["dense"]) for item in records}


class QdrantOwner(Owner):
    """Of a collection that a client reaches."""

    def __init__(self, client: QdrantClient, collection: str) -> None:
        self._client = client
        self._collection = collection

    def put(self, documents: Mapping[DocumentId, Mapping[str, Any]]) -> None:
        if not self._client.collection_exists(self._collection):
            params = models.VectorParams(size=len(DENSE), distance=models.Distance.DOT)
            self._client.create_collection(self._collection, {"dense": params})
        points = [
            models.PointStruct(id=id, vector={"dense": DENSE}, payload=dict(payload))
            for id, payload in documents.items()
        ]
        self._client.upsert(self._collection, points)

    def change(self, id: DocumentId, fields: Mapping[str, Any]) -> None:
        self._client.set_payload(self._collection, dict(fields), [id])

    def remove_vector(self, id: DocumentId) -> None:
        self._client.delete_vectors(self._collection, ["splade"], [id])

    def documents(self) -> Mapping[str, Any]:
        records, _ = self._client.scroll(
            self._collection, limit=1000, with_payload=True, with_vectors=["dense"]
        )
        return {str(item.id): (theirs(item.payload), item.vector) for item in records}


class ElasticsearchOwner(Owner):
    """Of an index, by requests alone; of OpenSearch as well."""

    def __init__(self, url: str, index: str) -> None:
        self._url = url.rstrip("/")
        self._index = index

    def put(self, documents: Mapping[DocumentId, Mapping[str, Any]]) -> None:
        lines: list[Any] = []
        for id, payload in documents.items():
            lines += [{"index": {"_id": str(id)}}, payload]
        body = "".join(f"{json.dumps(line)}\n" for line in lines)
        answer = self._call("POST", "_bulk?refresh=true", content=body)
        assert not answer["errors"], answer

    def change(self, id: DocumentId, fields: Mapping[str, Any]) -> None:
        self._call("POST", f"_update/{id}?refresh=true", content=json.dumps({"doc": fields}))

    def remove_vector(self, id: DocumentId) -> None:
        whole = self._call("GET", f"_doc/{id}")["_source"]
        whole.pop("splade", None)  # from Elasticsearch 9.2 on it is not shown
        self._call("PUT", f"_doc/{id}?refresh=true", content=json.dumps(whole))

    def documents(self) -> Mapping[str, Any]:
        self._call("POST", "_refresh")
        found = self._call("GET", "_search?size=1000")["hits"]["hits"]
        return {
            hit["_id"]: {
                name: value
                for name, value in hit["_source"].items()
                if not name.startswith("splade")
            }
            for hit in found
        }

    def delete(self) -> None:
        """The index, after a test."""
        httpx.delete(f"{self._url}/{self._index}", trust_env=False, timeout=60)

    def _call(self, method: str, path: str, content: str | None = None) -> Any:
        url = f"{self._url}/{self._index}/{path}"
        headers = {"content-type": "application/x-ndjson" if "_bulk" in path else JSON}
        answer = httpx.request(
            method, url, content=content, headers=headers, trust_env=False, timeout=60
        )
        assert answer.is_success, answer.text
        return answer.json()


JSON = "application/json"
