"""Send requests through qdrant-client: REST, gRPC or local mode, blocking or awaited."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext
from typing import Any

from splade_connectors.backends.secrets import Secrets
from splade_connectors.errors import (
    ConfigurationError,
    NotSupported,
    RequestRejected,
    SpladeConnectorsError,
)
from splade_connectors.extras import require
from splade_qdrant.compile.hybrid import has_text_query
from splade_qdrant.errors import from_client, no_qdrant, unquoted
from splade_qdrant.requests import QdrantRequest

# Calls that name no collection.
_OF_THE_SERVER = ("version", "collections", "aliases", "switch_alias")


class ClientCalls:
    """Translates requests into client calls, and their results back into JSON.

    Args:
        client: a `QdrantClient` or an `AsyncQdrantClient`.
        collection: the collection's name.
        location: the target, for messages.
    """

    def __init__(self, client: Any, collection: str, location: str) -> None:
        self.client = client
        self._collection = collection
        self.location = location
        remote = getattr(client, "_client", None)
        self._secrets = Secrets(
            getattr(remote, "_api_key", None),
            (getattr(remote, "_rest_headers", None) or {}).get("api-key"),
        )
        self._models = require("qdrant_client", "qdrant", "Qdrant").models
        # Local mode is not thread-safe; HTTP and gRPC connections are.
        kind = type(remote).__name__
        self._is_local = kind in ("QdrantLocal", "AsyncQdrantLocal")
        blocking = kind == "QdrantLocal"
        self._turn: AbstractContextManager[Any] = threading.Lock() if blocking else nullcontext()

    def send(self, request: QdrantRequest) -> Any:
        """Execute with a blocking client."""
        try:
            with self._turn:
                return self._parse(request, self._call(request))
        except Exception as error:  # every transport raises its own classes
            failure = self._failure(request, error)
        if failure is not None:
            raise failure
        return None

    async def asend(self, request: QdrantRequest) -> Any:
        """Execute with an async client."""
        try:
            return self._parse(request, await self._call(request))
        except Exception as error:  # every transport raises its own classes
            failure = self._failure(request, error)
        if failure is not None:
            raise failure
        return None

    def _failure(self, request: QdrantRequest, error: Exception) -> SpladeConnectorsError | None:
        """The error to raise; None if the request has succeeded despite the error."""
        if isinstance(error, SpladeConnectorsError):
            return error
        mask = self._secrets.masked
        sent = request.has_documents
        known = from_client(
            error, self.location, (lambda text: mask(unquoted(text))) if sent else mask
        )
        if sent and isinstance(known, RequestRejected):
            known.detail = str(from_client(error, self.location, mask))
        # The collection exists: created by an earlier attempt whose response was lost, or by
        # another process. The caller checks next whether it fits, as for any existing collection.
        conflict = isinstance(known, RequestRejected) and known.status == 409
        if request.operation == "create" and conflict:
            return None
        # pydantic's messages quote the response, payloads included.
        quoted = sent or _is_of_pydantic(error)
        return self._secrets.caused(known, error, quoted=quoted)

    def _call(self, request: QdrantRequest) -> Any:
        """The client's result, or an awaitable of it."""
        name, arguments = getattr(self, f"_{request.operation}")(request.body)
        method = getattr(self.client, name)
        if request.operation in _OF_THE_SERVER:
            return method(**arguments)
        return method(collection_name=request.collection or self._collection, **arguments)

    def _parse(self, request: QdrantRequest, result: Any) -> Any:
        try:
            return self._plain(request, result)
        except (AttributeError, KeyError, TypeError, ValueError):
            raise no_qdrant(self.location) from None  # Python's message may quote a payload

    def _plain(self, request: QdrantRequest, result: Any) -> Any:
        match request.operation:
            case "version":
                return {"title": "qdrant", "version": result.version}
            case "query":
                return [_scored(point) for point in result.points]
            case "batch_query":
                return [[_scored(point) for point in answer.points] for answer in result]
            case "retrieve":
                return [_json(point) for point in result]
            case "scroll":
                points, after = result
                return {"points": [_json(point) for point in points], "next": after}
            case "collections":
                return [collection.name for collection in result.collections]
            case "aliases":
                return {alias.alias_name: alias.collection_name for alias in result.aliases}
            case "schema":
                return {**_json(result), **self._local_indexes(request)}
            case "count":
                return _json(result)
            case _:
                return None

    def _local_indexes(self, request: QdrantRequest) -> dict[str, Any]:
        """The scoring text indexes of local mode, which keeps but never reports them [1.20.0]."""
        if not self._is_local:
            return {}
        found = self.client._client._get_collection(request.collection or self._collection)
        indexes = getattr(found, "text_indexes", {})
        return {
            "payload_schema": {
                field: {"data_type": "text", "params": _json(params)}
                for field, params in indexes.items()
            }
        }

    def _version(self, body: Mapping[str, Any]) -> tuple[str, dict[str, Any]]:
        return "info", {}

    def _schema(self, body: Mapping[str, Any]) -> tuple[str, dict[str, Any]]:
        return "get_collection", {}

    def _create(self, body: Mapping[str, Any]) -> tuple[str, dict[str, Any]]:
        models = self._models
        dense = {
            name: models.VectorParams.model_validate(params)
            for name, params in body["vectors"].items()
        }
        # The unnamed vector is configured alone, not as one of several.
        vectors = dense[""] if set(dense) == {""} else dense
        sparse = {name: models.SparseVectorParams() for name in body["sparse_vectors"]}
        arguments = {"vectors_config": vectors, "sparse_vectors_config": sparse}
        # Servers before 1.16 have no metadata, and clients before 1.16 lack the argument.
        metadata = {"metadata": dict(body["metadata"])} if body.get("metadata") else {}
        return "create_collection", {**arguments, **metadata}

    def _add_sparse_vector(self, body: Mapping[str, Any]) -> tuple[str, dict[str, Any]]:
        if not hasattr(self._models, "SparseVectorNameConfig"):
            raise NotSupported(
                "this qdrant-client cannot add a vector to an existing collection: "
                "pip install -U 'qdrant-client>=1.18'"
            )
        config = self._models.SparseVectorNameConfig(sparse=self._models.SparseVectorConfig())
        return "create_vector_name", {
            "vector_name": body["name"],
            "vector_name_config": config,
        }

    def _set_metadata(self, body: Mapping[str, Any]) -> tuple[str, dict[str, Any]]:
        return "update_collection", {"metadata": dict(body["metadata"])}

    def _upsert(self, body: Mapping[str, Any]) -> tuple[str, dict[str, Any]]:
        points = [self._models.PointStruct.model_validate(point) for point in body["points"]]
        return "upsert", {"points": points, "wait": True}

    def _query(self, body: Mapping[str, Any]) -> tuple[str, dict[str, Any]]:
        request = self._query_request(body)
        return "query_points", {
            "query": request.query,
            "prefetch": request.prefetch,
            "using": request.using,
            "query_filter": request.filter,
            "search_params": request.params,
            "limit": body["limit"],
            "offset": body.get("offset"),
            "with_payload": body["with_payload"],
            "with_vectors": body.get("with_vector", False),
        }

    def _batch_query(self, body: Mapping[str, Any]) -> tuple[str, dict[str, Any]]:
        return "query_batch_points", {
            "requests": [self._query_request(search) for search in body["searches"]]
        }

    def _query_request(self, body: Mapping[str, Any]) -> Any:
        if "filter" in body:
            self._filter(body["filter"])  # a readable error for an invalid filter
        if not hasattr(self._models, "TextQuery") and has_text_query(body):
            raise _client_too_old()
        return self._models.QueryRequest.model_validate(body)

    def _retrieve(self, body: Mapping[str, Any]) -> tuple[str, dict[str, Any]]:
        return "retrieve", {
            "ids": body["ids"],
            "with_payload": body["with_payload"],
            "with_vectors": body["with_vector"],
        }

    def _scroll(self, body: Mapping[str, Any]) -> tuple[str, dict[str, Any]]:
        return "scroll", {
            "scroll_filter": self._filter(body["filter"]) if "filter" in body else None,
            "limit": body["limit"],
            "offset": body["offset"],
            "with_payload": body["with_payload"],
            "with_vectors": body["with_vector"],
        }

    def _collections(self, body: Mapping[str, Any]) -> tuple[str, dict[str, Any]]:
        return "get_collections", {}

    def _create_like(self, body: Mapping[str, Any]) -> tuple[str, dict[str, Any]]:
        """Create with the settings of another collection, plus one sparse vector."""
        models, config = self._models, body["config"]
        params = config["params"]
        sparse = {**(params.get("sparse_vectors") or {}), body["add_sparse_vector"]: {}}
        arguments = {
            "vectors_config": _vectors_config(models, params.get("vectors")),
            "sparse_vectors_config": {
                name: models.SparseVectorParams.model_validate(given)
                for name, given in sparse.items()
            },
            **{name: params[name] for name in _COPIED_PARAMS if params.get(name) is not None},
            "hnsw_config": _diff(models.HnswConfigDiff, config.get("hnsw_config")),
            "optimizers_config": _diff(models.OptimizersConfigDiff, config.get("optimizer_config")),
            "wal_config": _diff(models.WalConfigDiff, config.get("wal_config")),
            "quantization_config": _quantization(models, config.get("quantization_config")),
            "strict_mode_config": _diff(models.StrictModeConfig, config.get("strict_mode_config")),
            "metadata": config.get("metadata"),
        }
        return "create_collection", {
            name: value for name, value in arguments.items() if value is not None
        }

    def _create_payload_index(self, body: Mapping[str, Any]) -> tuple[str, dict[str, Any]]:
        settings = body["index"].get("params") or {}
        if settings.get("scoring") and "scoring" not in self._models.TextIndexParams.model_fields:
            raise _client_too_old()
        index = self._models.PayloadIndexInfo.model_validate({**body["index"], "points": 0})
        schema = index.params or index.data_type
        return "create_payload_index", {
            "field_name": body["field"],
            "field_schema": schema,
            "wait": True,
        }

    def _delete_payload_index(self, body: Mapping[str, Any]) -> tuple[str, dict[str, Any]]:
        return "delete_payload_index", {"field_name": body["field"], "wait": True}

    def _aliases(self, body: Mapping[str, Any]) -> tuple[str, dict[str, Any]]:
        return "get_aliases", {}

    def _switch_alias(self, body: Mapping[str, Any]) -> tuple[str, dict[str, Any]]:
        models = self._models
        operations: list[Any] = []
        if body["exists"]:
            deleted = models.DeleteAlias(alias_name=body["alias"])
            operations.append(models.DeleteAliasOperation(delete_alias=deleted))
        created = models.CreateAlias(collection_name=body["to"], alias_name=body["alias"])
        operations.append(models.CreateAliasOperation(create_alias=created))
        # Both in one request, so that the alias never disappears.
        return "update_collection_aliases", {"change_aliases_operations": operations}

    def _delete(self, body: Mapping[str, Any]) -> tuple[str, dict[str, Any]]:
        return "delete", {"points_selector": body["points"], "wait": True}

    def _batch_update(self, body: Mapping[str, Any]) -> tuple[str, dict[str, Any]]:
        operations = [_operation(self._models, given) for given in body["operations"]]
        return "batch_update_points", {"update_operations": operations, "wait": True}

    def _delete_payload(self, body: Mapping[str, Any]) -> tuple[str, dict[str, Any]]:
        return "delete_payload", {"keys": body["keys"], "points": body["points"], "wait": True}

    def _delete_vectors(self, body: Mapping[str, Any]) -> tuple[str, dict[str, Any]]:
        return "delete_vectors", {
            "vectors": body["vectors"],
            "points": body["points"],
            "wait": True,
        }

    def _delete_vector_name(self, body: Mapping[str, Any]) -> tuple[str, dict[str, Any]]:
        if not hasattr(self.client, "delete_vector_name"):
            raise NotSupported(
                "this qdrant-client cannot remove a vector from a collection: "
                "pip install -U 'qdrant-client>=1.18'"
            )
        return "delete_vector_name", {"vector_name": body["name"]}

    def _update_vectors(self, body: Mapping[str, Any]) -> tuple[str, dict[str, Any]]:
        points = [self._models.PointVectors.model_validate(point) for point in body["points"]]
        return "update_vectors", {"points": points, "wait": True}

    def _count(self, body: Mapping[str, Any]) -> tuple[str, dict[str, Any]]:
        return "count", {"count_filter": self._filter(body["filter"]), "exact": body["exact"]}

    def _filter(self, condition: Mapping[str, Any]) -> Any:
        try:
            return self._models.Filter.model_validate(condition)
        except ValueError as error:  # pydantic's, with one line per kind of condition
            raise ConfigurationError(f"not a Qdrant filter: {dict(condition)!r}") from error


def _client_too_old() -> NotSupported:
    return NotSupported(
        "this qdrant-client does not support BM25 on payload text: "
        "pip install -U 'qdrant-client>=1.20'"
    )


def _is_of_pydantic(error: Exception) -> bool:
    kinds = (type(error), type(getattr(error, "source", None)))
    return "ValidationError" in {kind.__name__ for kind in kinds}


_COPIED_PARAMS = (
    "shard_number",
    "sharding_method",
    "replication_factor",
    "write_consistency_factor",
    "on_disk_payload",
)


def _vectors_config(models: Any, given: Any) -> Any:
    """The configuration of one unnamed vector, or of several by name."""
    if not given:
        return {}
    if "size" in given and "distance" in given:
        return models.VectorParams.model_validate(given)
    return {name: models.VectorParams.model_validate(params) for name, params in given.items()}


def _diff(kind: Any, given: Mapping[str, Any] | None) -> Any:
    """A configuration as a client model, without the settings that this model does not know."""
    if not given:
        return None
    known = {name: value for name, value in given.items() if name in kind.model_fields}
    return kind.model_validate(known)


def _quantization(models: Any, given: Mapping[str, Any] | None) -> Any:
    kinds = {
        "scalar": "ScalarQuantization",
        "product": "ProductQuantization",
        "binary": "BinaryQuantization",
        "turbo": "TurboQuantization",
    }
    for name, kind in kinds.items():
        if given and given.get(name) is not None:
            return getattr(models, kind).model_validate({name: given[name]})
    return None


def _operation(models: Any, given: Mapping[str, Any]) -> Any:
    """One operation of a batch."""
    match given:
        case {"set_payload": change}:
            return models.SetPayloadOperation(set_payload=models.SetPayload.model_validate(change))
        case {"update_vectors": change}:
            changed = models.UpdateVectors.model_validate(change)
            return models.UpdateVectorsOperation(update_vectors=changed)
    raise AssertionError(f"unknown change: {sorted(given)}")


def _scored(point: Any) -> dict[str, Any]:
    """A scored point as JSON; dumping the model would take ten times as long."""
    id = point.id if isinstance(point.id, int) else str(point.id)
    found = {"id": id, "score": point.score, "payload": point.payload}
    return found if point.vector is None else {**found, "vector": _json(point)["vector"]}


def _json(value: Any) -> Any:
    """A client's model as plain JSON."""
    return value.model_dump(mode="json") if hasattr(value, "model_dump") else value
