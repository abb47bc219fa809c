"""Qdrant's gRPC API, as far as the adapter uses it. It listens on one port only: no REST beside it.

The generated servicers are untyped; their requests become REST models at once.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import grpc as transport  # type: ignore[import-untyped]
from google.protobuf.json_format import MessageToDict  # type: ignore[import-untyped]
from qdrant_client import grpc
from qdrant_client.conversions.conversion import GrpcToRest, RestToGrpc
from qdrant_client.grpc.collections_service_pb2_grpc import add_CollectionsServicer_to_server
from qdrant_client.grpc.points_service_pb2_grpc import add_PointsServicer_to_server
from qdrant_client.grpc.qdrant_pb2_grpc import add_QdrantServicer_to_server
from qdrant_client.http import models

from tests.fronts.front import Front, Recorded, Refused

_CODES = {
    400: transport.StatusCode.INVALID_ARGUMENT,
    401: transport.StatusCode.UNAUTHENTICATED,
    403: transport.StatusCode.PERMISSION_DENIED,
    404: transport.StatusCode.NOT_FOUND,
    408: transport.StatusCode.DEADLINE_EXCEEDED,
    409: transport.StatusCode.ALREADY_EXISTS,
    422: transport.StatusCode.INVALID_ARGUMENT,
    413: transport.StatusCode.OUT_OF_RANGE,
    429: transport.StatusCode.RESOURCE_EXHAUSTED,
    500: transport.StatusCode.INTERNAL,
    503: transport.StatusCode.UNAVAILABLE,
}
_READS = (
    "HealthCheck",
    "CollectionExists",
    "Get",
    "Query",
    "QueryBatch",
    "Count",
    "Scroll",
    "List",
    "ListAliases",
)


class QdrantGrpcFront(Front):
    """gRPC on a free port. As `Front`.

    Args:
        max_message_bytes: of a request; -1 for no limit, as Qdrant has none.
        **options: of `Front`.
    """

    def __init__(self, *, max_message_bytes: int = -1, **options: Any) -> None:
        super().__init__(**options)
        self.max_message_bytes = max_message_bytes

    def start(self) -> None:
        """Listen."""
        self._threads = ThreadPoolExecutor(4)
        limit = [("grpc.max_receive_message_length", self.max_message_bytes)]
        self._server = transport.server(self._threads, interceptors=[_Gate(self)], options=limit)
        add_QdrantServicer_to_server(_Root(self), self._server)  # type: ignore[no-untyped-call]
        add_CollectionsServicer_to_server(_Collections(self), self._server)  # type: ignore[no-untyped-call]
        add_PointsServicer_to_server(_Points(self), self._server)  # type: ignore[no-untyped-call]
        self.port = self._server.add_insecure_port(self.host)
        self._server.start()

    def stop(self) -> None:
        """Close the port and all connections."""
        self._server.stop(grace=None).wait()
        self._threads.shutdown()


class _Gate(transport.ServerInterceptor):  # type: ignore[misc]
    """Wraps every method: keys, faults, records, and errors as gRPC codes."""

    def __init__(self, front: QdrantGrpcFront) -> None:
        self._front = front

    def intercept_service(self, continuation: Any, details: Any) -> Any:
        """The handler of a method, wrapped."""
        handler = continuation(details)
        if handler is None or handler.unary_unary is None:
            return handler
        return transport.unary_unary_rpc_method_handler(
            lambda request, context: self._handle(details, handler.unary_unary, request, context),
            request_deserializer=handler.request_deserializer,
            response_serializer=handler.response_serializer,
        )

    def _handle(
        self, details: Any, work: Callable[[Any, Any], Any], request: Any, context: Any
    ) -> Any:
        given = dict(details.invocation_metadata)
        bearer = str(given.get("authorization", "")).removeprefix("Bearer ")
        body = MessageToDict(request, preserving_proto_field_name=True)
        name = details.method.rpartition("/")[2]
        try:
            return self._front.answer(
                Recorded("gRPC", details.method, body),
                given.get("api-key") or bearer or None,
                public=name == "HealthCheck",
                writes=name not in _READS,
                work=lambda: work(request, context),
            )
        except Refused as refusal:
            trailing = [(key.lower(), value) for key, value in refusal.headers.items()]
            context.set_trailing_metadata(trailing)
            # A path that the server does not know has a code of its own here.
            unknown = refusal.status == 404 and not refusal.message
            code = transport.StatusCode.UNIMPLEMENTED if unknown else _CODES[refusal.status]
            context.abort(code, refusal.message)


class _Servicer:
    def __init__(self, front: QdrantGrpcFront) -> None:
        self.engine = front.engine


class _Root(_Servicer, grpc.QdrantServicer):
    def HealthCheck(self, request: Any, context: Any) -> Any:  # noqa: N802
        return RestToGrpc.convert_health_check_reply(self.engine.version())


class _Collections(_Servicer, grpc.CollectionsServicer):
    def CollectionExists(self, request: Any, context: Any) -> Any:  # noqa: N802
        exists = self.engine.exists(request.collection_name)
        return grpc.CollectionExistsResponse(result=grpc.CollectionExists(exists=exists))

    def Get(self, request: Any, context: Any) -> Any:  # noqa: N802
        info = self.engine.info(request.collection_name)
        return grpc.GetCollectionInfoResponse(result=RestToGrpc.convert_collection_info(info))

    def Create(self, request: Any, context: Any) -> Any:  # noqa: N802
        asked = models.CreateCollection(
            vectors=_set(request, "vectors_config", GrpcToRest.convert_vectors_config) or {},
            sparse_vectors=_set(
                request, "sparse_vectors_config", GrpcToRest.convert_sparse_vector_config
            ),
            metadata=GrpcToRest.convert_payload(request.metadata) or None,
        )
        return _done(self.engine.create(request.collection_name, asked))

    def Update(self, request: Any, context: Any) -> Any:  # noqa: N802
        asked = GrpcToRest.convert_update_collection(request)
        return _done(self.engine.change(request.collection_name, asked))

    def Delete(self, request: Any, context: Any) -> Any:  # noqa: N802
        return _done(self.engine.drop(request.collection_name))

    def List(self, request: Any, context: Any) -> Any:  # noqa: N802
        found = self.engine.collections().collections
        return grpc.ListCollectionsResponse(
            collections=[RestToGrpc.convert_collection_description(item) for item in found]
        )

    def ListAliases(self, request: Any, context: Any) -> Any:  # noqa: N802
        found = self.engine.aliases().aliases
        return grpc.ListAliasesResponse(
            aliases=[RestToGrpc.convert_alias_description(item) for item in found]
        )

    def UpdateAliases(self, request: Any, context: Any) -> Any:  # noqa: N802
        actions = [GrpcToRest.convert_alias_operations(action) for action in request.actions]
        return _done(self.engine.change_aliases(models.ChangeAliasesOperation(actions=actions)))


class _Points(_Servicer, grpc.PointsServicer):
    def CreateVectorName(self, request: Any, context: Any) -> Any:  # noqa: N802
        sparse = models.SparseVectorConfig(
            modifier=_set(request.sparse_config, "modifier", GrpcToRest.convert_modifier)
        )
        config = models.SparseVectorNameConfig(sparse=sparse)
        return _updated(
            self.engine.add_vector(request.collection_name, request.vector_name, config)
        )

    def DeleteVectorName(self, request: Any, context: Any) -> Any:  # noqa: N802
        return _updated(
            self.engine.delete_vector_name(request.collection_name, request.vector_name)
        )

    def CreateFieldIndex(self, request: Any, context: Any) -> Any:  # noqa: N802
        field = request.field_name
        given: Any
        if request.HasField("field_index_params"):
            given = GrpcToRest.convert_payload_schema_params(request.field_index_params)
        else:
            named = grpc.FieldType.Name(request.field_type).removeprefix("FieldType")
            given = models.PayloadSchemaType(named.lower())
        asked = models.CreateFieldIndex(field_name=field, field_schema=given)
        return _updated(self.engine.create_index(request.collection_name, asked))

    def DeleteFieldIndex(self, request: Any, context: Any) -> Any:  # noqa: N802
        return _updated(self.engine.delete_index(request.collection_name, request.field_name))

    def Upsert(self, request: Any, context: Any) -> Any:  # noqa: N802
        points = [GrpcToRest.convert_point_struct(point) for point in request.points]
        return _updated(
            self.engine.upsert(request.collection_name, models.PointsList(points=points))
        )

    def Query(self, request: Any, context: Any) -> Any:  # noqa: N802
        asked = GrpcToRest.convert_query_points(request)
        found = self.engine.query(request.collection_name, asked).points
        result = [RestToGrpc.convert_scored_point(point) for point in found]
        return grpc.QueryResponse(result=result)

    def QueryBatch(self, request: Any, context: Any) -> Any:  # noqa: N802
        asked = [GrpcToRest.convert_query_points(item) for item in request.query_points]
        batch = models.QueryRequestBatch(searches=asked)
        answers = self.engine.queries(request.collection_name, batch)
        results = [
            grpc.BatchResult(
                result=[RestToGrpc.convert_scored_point(point) for point in answer.points]
            )
            for answer in answers
        ]
        return grpc.QueryBatchResponse(result=results)

    def Get(self, request: Any, context: Any) -> Any:  # noqa: N802
        asked = models.PointRequest(
            ids=[GrpcToRest.convert_point_id(id) for id in request.ids],
            with_payload=_set(request, "with_payload", GrpcToRest.convert_with_payload_interface),
            with_vector=_set(request, "with_vectors", GrpcToRest.convert_with_vectors_selector)
            or False,
        )
        found = self.engine.retrieve(request.collection_name, asked)
        return grpc.GetResponse(result=[_record(record) for record in found])

    def Scroll(self, request: Any, context: Any) -> Any:  # noqa: N802
        asked = models.ScrollRequest(
            filter=_set(request, "filter", GrpcToRest.convert_filter),
            offset=_set(request, "offset", GrpcToRest.convert_point_id),
            limit=request.limit if request.HasField("limit") else None,
            with_payload=_set(request, "with_payload", GrpcToRest.convert_with_payload_interface),
            with_vector=_set(request, "with_vectors", GrpcToRest.convert_with_vectors_selector)
            or False,
        )
        found = self.engine.scroll(request.collection_name, asked)
        after = found.next_page_offset
        return grpc.ScrollResponse(
            result=[_record(record) for record in found.points],
            next_page_offset=None if after is None else RestToGrpc.convert_extended_point_id(after),
        )

    def Delete(self, request: Any, context: Any) -> Any:  # noqa: N802
        selector = GrpcToRest.convert_points_selector(request.points)
        return _updated(self.engine.delete(request.collection_name, selector))

    def SetPayload(self, request: Any, context: Any) -> Any:  # noqa: N802
        asked = models.SetPayload(
            payload=GrpcToRest.convert_payload(request.payload), points=_ids(request)
        )
        return _updated(self.engine.set_payload(request.collection_name, asked))

    def DeletePayload(self, request: Any, context: Any) -> Any:  # noqa: N802
        asked = models.DeletePayload(keys=list(request.keys), points=_ids(request))
        return _updated(self.engine.delete_payload(request.collection_name, asked))

    def DeleteVectors(self, request: Any, context: Any) -> Any:  # noqa: N802
        names = GrpcToRest.convert_vectors_selector(request.vectors)
        asked = models.DeleteVectors(vector=list(names), points=_ids(request))
        return _updated(self.engine.delete_vectors(request.collection_name, asked))

    def UpdateBatch(self, request: Any, context: Any) -> Any:  # noqa: N802
        operations = [
            GrpcToRest.convert_points_update_operation(item) for item in request.operations
        ]
        done = self.engine.batch(
            request.collection_name, models.UpdateOperations(operations=operations)
        )
        return grpc.UpdateBatchResponse(
            result=[RestToGrpc.convert_update_result(item) for item in done]
        )

    def UpdateVectors(self, request: Any, context: Any) -> Any:  # noqa: N802
        points = [GrpcToRest.convert_point_vectors(point) for point in request.points]
        return _updated(
            self.engine.update_vectors(request.collection_name, models.UpdateVectors(points=points))
        )

    def Count(self, request: Any, context: Any) -> Any:  # noqa: N802
        condition = _set(request, "filter", GrpcToRest.convert_filter)
        asked = models.CountRequest(filter=condition, exact=request.exact)
        count = self.engine.count(request.collection_name, asked)
        return grpc.CountResponse(result=RestToGrpc.convert_count_result(count))


def _set(request: Any, name: str, convert: Callable[[Any], Any]) -> Any:
    """A field converted, None if it was not sent."""
    return convert(getattr(request, name)) if request.HasField(name) else None


def _ids(request: Any) -> list[models.ExtendedPointId]:
    """The points that a change is for."""
    selector = GrpcToRest.convert_points_selector(request.points_selector)
    assert isinstance(selector, models.PointIdsList)
    return selector.points


def _record(record: models.Record) -> Any:
    """A point; the message has no way to say that the payload was not asked for."""
    return RestToGrpc.convert_record(record.model_copy(update={"payload": record.payload or {}}))


def _done(result: bool) -> Any:
    return grpc.CollectionOperationResponse(result=result, time=0.0)


def _updated(result: models.UpdateResult) -> Any:
    converted = RestToGrpc.convert_update_result(result)
    return grpc.PointsOperationResponse(result=converted, time=0.0)
