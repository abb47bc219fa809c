"""The four kinds of a Qdrant store, each of them empty: embedded, local mode, REST and gRPC."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import qdrant_edge
from qdrant_client import QdrantClient, models

from splade_connectors import Store, connect
from splade_connectors.testing import HashEncoder
from tests.fronts import QdrantGrpcFront, QdrantRestFront

KINDS = ("edge", "local", "rest", "grpc")
_FRONTS = {"rest": (QdrantRestFront, "qdrant"), "grpc": (QdrantGrpcFront, "qdrant+grpc")}

Opened = Callable[..., Store]


@contextmanager
def kind(name: str, folder: Path) -> Iterator[Opened]:
    """A function that opens a store of one collection; only one at a time may be open on `edge`."""
    if name == "edge":
        yield lambda **more: connect(f"edge:{folder / 'shard'}", **_encoder(more))
    elif name == "local":
        client = QdrantClient(":memory:")
        yield lambda **more: connect(client, "articles", **_encoder(more))
        client.close()
    else:
        front, scheme = _FRONTS[name]
        with front() as server:
            target = f"{scheme}://{server.host}/articles"
            yield lambda **more: connect(target, **_encoder(more))


def foreign_points(store: Store, payloads: dict[Any, dict[str, Any]]) -> None:
    """Points of somebody else, with a dense vector, in a collection that they make."""
    send: Any = store._opened.send
    engine = send.__self__
    if hasattr(engine, "client"):
        _foreign_points(engine.client, payloads)
        return
    path = engine._folder.path
    path.mkdir()
    params = qdrant_edge.EdgeVectorParams(size=2, distance=qdrant_edge.Distance.Dot)
    shard = qdrant_edge.EdgeShard.create(
        str(path), qdrant_edge.EdgeConfig(vectors={"dense": params})
    )
    points = [
        qdrant_edge.Point(id, {"dense": [1.0, 2.0]}, payload) for id, payload in payloads.items()
    ]
    shard.update(qdrant_edge.UpdateOperation.upsert_points(points))
    shard.close()


def _foreign_points(client: Any, payloads: dict[Any, dict[str, Any]]) -> None:
    params = models.VectorParams(size=2, distance=models.Distance.DOT)
    client.create_collection("articles", {"dense": params})
    points = [
        models.PointStruct(id=id, vector={"dense": [1.0, 2.0]}, payload=payload)
        for id, payload in payloads.items()
    ]
    client.upsert("articles", points, wait=True)


def _encoder(more: dict[str, Any]) -> dict[str, Any]:
    return {"encoder": HashEncoder(), **more}
