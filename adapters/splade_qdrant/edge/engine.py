"""Execute requests in the embedded engine (qdrant-edge-py): one shard, one folder, one process.

The engine checks less than a server does [0.9.0]: it silently accepts NaN and duplicate indices
(`SparseVector` has none), ignores a sparse vector created under a dense vector's name
(`check_sparse_vector` refuses that), and exposes no schema: it is read from the shard's own
edge_config.json. It stores no metadata: a file beside the shard's files does.
"""

from __future__ import annotations

import errno
import json
import os
import threading
from collections.abc import Iterator, Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

from splade_connectors.backends.secrets import Secrets
from splade_connectors.errors import (
    ConfigurationError,
    NotFound,
    RequestRejected,
    SpladeConnectorsError,
    StorageFull,
)
from splade_connectors.extras import require
from splade_connectors.files.json_files import read_json_object, write_json_object
from splade_qdrant.edge.filter import edge_filter
from splade_qdrant.edge.folder import CONFIG_FILE, METADATA_FILE, ShardFolder
from splade_qdrant.edge.payload_index import index_json, text_index_params
from splade_qdrant.edge.query import edge_query, selected
from splade_qdrant.errors import from_engine, unquoted
from splade_qdrant.requests import QdrantRequest

# The server version with the engine's [0.9.0] abilities: metadata (stored here), added vectors, and
# BM25 of payload text.
_LIKE_SERVER = "1.20.0"


class EdgeEngine:
    """A shard on disk, opened by its first request.

    Args:
        path: the shard's folder.
        location: the target, for messages.
    """

    def __init__(self, path: Path, location: str) -> None:
        self._folder = ShardFolder(path, location)
        self._location = location
        self._engine: Any = require("qdrant_edge", "qdrant", "an edge: target")
        self._shard: Any = None
        self._closed = False
        # The process that opened the shard: a forked child has a copy of its memory, and both would
        # write to the same files.
        self._process: int | None = None
        # Since the last flush.
        self._is_changed = False
        # All threads of an async store share this engine.
        self._lock = threading.Lock()

    def send(self, request: QdrantRequest) -> Any:
        """Execute one request."""
        self._check_process()
        with self._lock:
            if self._closed:
                raise ConfigurationError(
                    f"this store of {self._location} has been closed; connect again"
                )
            try:
                return getattr(self, f"_{request.operation}")(request.body)
            except SpladeConnectorsError:
                raise
            except OSError as error:
                raise _from_disk(error, self._location) from error
            except Exception as error:  # the engine raises bare Exception
                failure = self._failure(request, error)
            raise failure

    def _failure(self, request: QdrantRequest, error: Exception) -> SpladeConnectorsError:
        """This package's error, with the engine's as its cause unless that may quote a document."""
        if not request.has_documents:
            return Secrets().caused(from_engine(error, self._location), error)
        known = from_engine(error, self._location, unquoted)
        if isinstance(known, RequestRejected):
            known.detail = str(from_engine(error, self._location))
        return known

    def close(self) -> None:
        """Flush, and release the folder to other processes."""
        if self._is_of_another_process:
            return
        with self._lock:
            self._closed = True
            if self._shard is not None:
                self._shard.close()
                self._shard = None
            self._folder.unlock()

    @property
    def _is_of_another_process(self) -> bool:
        return self._shard is not None and os.getpid() != self._process

    def _check_process(self) -> None:
        if self._is_of_another_process:
            raise ConfigurationError(
                f"this store of {self._location} was opened before this process was forked, but a "
                "shard can be open in one process only: close it before the fork, and connect in "
                "the process that uses it"
            )

    def _version(self, body: Mapping[str, Any]) -> dict[str, str]:
        own = version("qdrant-edge-py")
        return {"title": "qdrant-edge", "version": own, "like_server": _LIKE_SERVER}

    def _schema(self, body: Mapping[str, Any]) -> dict[str, Any]:
        """The schema in the form of GET /collections/NAME."""
        shard = self._open()  # from now on no other process can change these files
        path = self._folder.path
        config = json.loads((path / CONFIG_FILE).read_text(encoding="utf-8"))
        params = {"vectors": config.get("vectors"), "sparse_vectors": config.get("sparse_vectors")}
        metadata = read_json_object(path / METADATA_FILE)
        indexes = {name: index_json(found) for name, found in shard.info().payload_schema.items()}
        return {"config": {"params": params, "metadata": metadata}, "payload_schema": indexes}

    def _create(self, body: Mapping[str, Any]) -> None:
        folder, engine = self._folder, self._engine
        dense = {
            name: engine.EdgeVectorParams(
                size=params["size"], distance=getattr(engine.Distance, params["distance"])
            )
            for name, params in body["vectors"].items()
        }
        sparse = {name: engine.EdgeSparseVectorParams() for name in body["sparse_vectors"]}
        folder.check_free()
        folder.path.mkdir(parents=True, exist_ok=True)
        folder.check_room()
        folder.lock()
        try:
            if self._is_made():
                return  # another process created it first, as can happen on a server
            folder.begin()
            folder.clear()
            if body.get("metadata"):
                self._set_metadata(body)
            config = engine.EdgeConfig(vectors=dense or None, sparse_vectors=sparse)
            self._keep(engine.EdgeShard.create(str(folder.path), config))
            folder.finish()
        finally:
            self._release_unless_open()

    def _open(self) -> Any:
        folder = self._folder
        if self._shard is None:
            if not folder.has_configuration:
                folder.check_free()
                raise NotFound(f"{self._location} does not exist")
            folder.lock()
            try:
                if not self._is_made():
                    raise NotFound(f"{self._location} does not exist")
            finally:
                self._release_unless_open()
        return self._shard

    def _is_made(self) -> bool:
        """Open the shard if it exists; False too for one whose creator died halfway."""
        if not self._folder.has_configuration:
            return False
        try:
            self._keep(self._engine.EdgeShard.load(str(self._folder.path)))
        except Exception as error:  # the engine raises bare Exception
            known = from_engine(error, self._location)
            if self._folder.is_unfinished and isinstance(known, RequestRejected):
                return False
            raise
        self._folder.finish()
        return True

    def _release_unless_open(self) -> None:
        if self._shard is None:
            self._folder.unlock()

    def _keep(self, shard: Any) -> None:
        self._shard, self._process = shard, os.getpid()

    def _add_sparse_vector(self, body: Mapping[str, Any]) -> None:
        self._update(self._engine.UpdateOperation.create_sparse_vector(body["name"]))
        self._flush(body)

    def _create_payload_index(self, body: Mapping[str, Any]) -> None:
        params = text_index_params(body["index"]["params"])
        self._update(self._engine.UpdateOperation.create_field_index(body["field"], params))
        self._flush(body)

    def _delete_payload_index(self, body: Mapping[str, Any]) -> None:
        self._update(self._engine.UpdateOperation.delete_field_index(body["field"]))
        self._flush(body)

    def _set_metadata(self, body: Mapping[str, Any]) -> None:
        """Merge, as a server does: null removes a key."""
        path = self._folder.path / METADATA_FILE
        merged = {**read_json_object(path), **body["metadata"]}
        write_json_object(path, {key: value for key, value in merged.items() if value is not None})

    def _upsert(self, body: Mapping[str, Any]) -> None:
        points = [
            self._engine.Point(point["id"], self._vectors(point["vector"]), dict(point["payload"]))
            for point in body["points"]
        ]
        self._update(self._engine.UpdateOperation.upsert_points(points))

    def _query(self, body: Mapping[str, Any]) -> _Scored:
        return _Scored(self._open().query(edge_query(body)))

    def _batch_query(self, body: Mapping[str, Any]) -> list[_Scored]:
        requests = [edge_query(search) for search in body["searches"]]
        batch = self._engine.QueryBatchRequest(requests)
        return list(map(_Scored, self._open().query_batch(batch)))

    def _retrieve(self, body: Mapping[str, Any]) -> list[dict[str, Any]]:
        records = self._open().retrieve(
            body["ids"], selected(body["with_payload"]), body["with_vector"]
        )
        return _records(records)

    def _scroll(self, body: Mapping[str, Any]) -> dict[str, Any]:
        request = self._engine.ScrollRequest(
            offset=body["offset"],
            limit=body["limit"],
            filter=edge_filter(body["filter"]) if "filter" in body else None,
            with_payload=selected(body["with_payload"]),
            with_vector=body["with_vector"],
        )
        records, after = self._open().scroll(request)
        return {"points": _records(records), "next": None if after is None else _id(after)}

    def _collections(self, body: Mapping[str, Any]) -> list[str]:
        """A folder holds one shard."""
        return []

    def _delete(self, body: Mapping[str, Any]) -> None:
        self._update(self._engine.UpdateOperation.delete_points(body["points"]))

    def _delete_vectors(self, body: Mapping[str, Any]) -> None:
        operation = self._engine.UpdateOperation.delete_vectors(body["points"], body["vectors"])
        self._update(operation)

    def _delete_vector_name(self, body: Mapping[str, Any]) -> None:
        self._update(self._engine.UpdateOperation.delete_vector_name(body["name"]))
        self._flush(body)

    def _delete_payload(self, body: Mapping[str, Any]) -> None:
        operation = self._engine.UpdateOperation.delete_payload(body["points"], body["keys"])
        self._update(operation)

    def _batch_update(self, body: Mapping[str, Any]) -> None:
        for change in body["operations"]:
            for operation, arguments in change.items():
                getattr(self, f"_{operation}")(arguments)

    def _set_payload(self, body: Mapping[str, Any]) -> None:
        operation = self._engine.UpdateOperation.set_payload(body["points"], dict(body["payload"]))
        self._update(operation)

    def _update_vectors(self, body: Mapping[str, Any]) -> None:
        points = [
            self._engine.PointVectors(point["id"], self._vectors(point["vector"]))
            for point in body["points"]
        ]
        self._update(self._engine.UpdateOperation.update_vectors(points))

    def _count(self, body: Mapping[str, Any]) -> dict[str, int]:
        request = self._engine.CountRequest(filter=edge_filter(body["filter"]), exact=True)
        return {"count": self._open().count(request)}

    def _flush(self, body: Mapping[str, Any]) -> None:
        if self._is_changed:
            self._open().flush()
            self._is_changed = False

    def _update(self, operation: Any) -> None:
        self._folder.check_room()
        self._is_changed = True
        self._open().update(operation)

    def _vectors(self, given: Mapping[str, Any]) -> dict[str, Any]:
        return {
            name: self._sparse(value) if isinstance(value, Mapping) else value
            for name, value in given.items()
        }

    def _sparse(self, given: Mapping[str, Any]) -> Any:
        return self._engine.SparseVector(given["indices"], given["values"])


def _from_disk(error: OSError, location: str) -> SpladeConnectorsError:
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return StorageFull(
            f"the disk of {location} is full: {error}. Acknowledged documents are safe; free some "
            "space and run the same command again"
        )
    return ConfigurationError(f"{location} cannot be read or written: {error}")


class _Scored(Sequence[Mapping[str, Any]]):
    """Points that the engine found, as JSON; each is converted only when it is read."""

    def __init__(self, points: Sequence[Any]) -> None:
        self._points = points

    def __len__(self) -> int:
        return len(self._points)

    def __getitem__(self, at: Any) -> Any:
        return _scored(self._points[at])

    def __iter__(self) -> Iterator[Mapping[str, Any]]:
        return map(_scored, self._points)


def _scored(point: Any) -> Mapping[str, Any]:
    # UUIDs are not made text here: most documents keep their own id in the payload.
    found = {"id": point.id, "score": point.score, "payload": point.payload}
    return found if point.vector is None else {**found, "vector": _plain(point.vector)}


def _records(found: Any) -> list[dict[str, Any]]:
    return [
        {"id": _id(record.id), "payload": record.payload, "vector": _plain(record.vector)}
        for record in found
    ]


def _id(value: Any) -> int | str:
    return value if isinstance(value, int) else str(value)


def _plain(vectors: Any) -> Any:
    """The engine's vectors as JSON."""
    if not isinstance(vectors, dict):
        return vectors
    return {
        name: {"indices": value.indices, "values": value.values}
        if hasattr(value, "indices")
        else value
        for name, value in vectors.items()
    }
