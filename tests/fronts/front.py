"""What both fronts share: options, access, faults, records, and the engine that does the work."""

from __future__ import annotations

import threading
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Self, TypeVar

from qdrant_client import QdrantClient
from qdrant_client.http import models

T = TypeVar("T")

# The first servers with collection metadata, and with vectors added to a collection that exists.
_METADATA = (1, 16)
_ADD_VECTOR = (1, 18)
# The first one that scores BM25 over text indexes.
_TEXT_SCORING = (1, 20)


@dataclass(frozen=True)
class Recorded:
    """A request as it came over the wire; `method` is "gRPC" for all of that protocol's."""

    method: str
    path: str
    body: Any


class Refused(Exception):
    """An answer other than success.

    Attributes:
        status: the HTTP status.
        message: Qdrant's own words.
        headers: additional headers of the answer.
        plain: the body is the message itself, without the usual envelope.
    """

    def __init__(
        self,
        status: int,
        message: str,
        headers: Mapping[str, str] | None = None,
        *,
        plain: bool = False,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.message = message
        self.headers = dict(headers or {})
        self.plain = plain


@dataclass
class _Fault:
    refusal: Refused
    path: str
    executed: bool


@dataclass
class _Faults:
    waiting: list[_Fault] = field(default_factory=list)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def take(self, request: Recorded, *, executed: bool) -> Refused | None:
        with self.lock:
            for fault in self.waiting:
                asked = f"{request.method} {request.path}"
                if fault.path in asked and fault.executed == executed:
                    self.waiting.remove(fault)
                    return fault.refusal
        return None


class Front:
    """A server on a free port of this machine, up inside its `with` block.

    Args:
        version: what it says it is. Below 1.16 it knows no collection metadata, below 1.18 it
            cannot add a vector to a collection, below 1.20 it has no BM25 of payload text.
        api_key: asked of every request when set.
        read_only_key: allows reading only.

    Attributes:
        requests: everything that was asked, in order, refused requests included.
        port: where it listens; the same again when it is stopped and started.
        engine: what answers; tests may look behind the wire with `engine.client`.
    """

    def __init__(
        self,
        *,
        version: str = "1.18.3",
        api_key: str | None = None,
        read_only_key: str | None = None,
    ) -> None:
        self.requests: list[Recorded] = []
        self.port = 0
        self.engine = Engine(version)
        self._api_key = api_key
        self._read_only_key = read_only_key
        self._faults = _Faults()

    @property
    def host(self) -> str:
        """HOST:PORT."""
        return f"127.0.0.1:{self.port}"

    def fail_next(
        self,
        n: int = 1,
        status: int = 503,
        headers: Mapping[str, str] | None = None,
        *,
        path: str = "",
        message: str = "Service unavailable",
        executed: bool = False,
    ) -> None:
        """Answer the next `n` requests with an error.

        Args:
            n: how many.
            status: HTTP status, or the one that the gRPC code stands for.
            headers: of the answer; trailing metadata in gRPC.
            path: only requests whose "METHOD PATH" contains this.
            message: what the error says.
            executed: the request is carried out, only its answer is lost.
        """
        refusal = Refused(status, message, headers)
        self._faults.waiting += [_Fault(refusal, path, executed) for _ in range(n)]

    def answer(
        self,
        request: Recorded,
        key: str | None,
        *,
        public: bool,
        writes: bool,
        work: Callable[[], T],
    ) -> T:
        """Record a request, apply keys and faults, and do its work.

        Args:
            request: as it came.
            key: that came with it.
            public: answered without a key; a server tells its version to everybody.
            writes: needs a key that may write.
            work: makes the answer.

        Raises:
            Refused: in place of an answer.
        """
        self.requests.append(request)
        if not public:
            self._admit(key, writes=writes)
        if fault := self._faults.take(request, executed=False):
            raise fault
        answer = self.engine.run(work)
        if fault := self._faults.take(request, executed=True):
            raise fault
        return answer

    def start(self) -> None:
        """Listen; on the port it had, after a `stop`."""
        raise NotImplementedError

    def stop(self) -> None:
        """Close the port and all connections."""
        raise NotImplementedError

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()
        self.engine.client.close()

    def _admit(self, key: str | None, *, writes: bool) -> None:
        if self._api_key is None or key == self._api_key:
            return
        if key is None:
            message = "Must provide an API key or an Authorization bearer token"
            raise Refused(401, message, plain=True)
        if self._read_only_key is None or key != self._read_only_key:
            raise Refused(401, "Invalid API key or JWT", plain=True)
        if writes:
            raise Refused(403, "Forbidden: Global access is required")


class Engine:
    """Qdrant's operations on REST models, carried out by qdrant-client's local mode.

    Local mode raises `ValueError`s; here they are told apart as a server does.
    """

    def __init__(self, version: str) -> None:
        self.client = QdrantClient(":memory:")
        # Local mode has none; what is set here is shown, and may be enforced by tests.
        self.strict_mode: models.StrictModeConfigOutput | None = None
        # Collection -> field -> its index. Local mode shows none, and keeps only those that score.
        self._indexes: dict[str, dict[str, models.PayloadIndexInfo]] = {}
        self._version = version
        self._lock = threading.Lock()

    def run(self, work: Callable[[], T]) -> T:
        """Do one piece of work at a time; local mode is not made for threads."""
        with self._lock:
            try:
                return work()
            except KeyError as error:
                raise Refused(404, f"Not found: No point with id {error} found") from error
            except ValueError as error:
                raise Refused(400, f"Wrong input: {error}") from error

    def version(self) -> models.VersionInfo:
        """What GET / says."""
        return models.VersionInfo(title="qdrant - vector search engine", version=self._version)

    def exists(self, name: str) -> bool:
        """Whether there is such a collection."""
        return self.client.collection_exists(name)

    def info(self, name: str) -> models.CollectionInfo:
        """Schema and size."""
        self._find(name)
        found = self.client.get_collection(name)
        if self.strict_mode is not None:
            found.config.strict_mode_config = self.strict_mode
        found.payload_schema = self._indexes.get(name, {})
        return found

    def create_index(self, name: str, asked: models.CreateFieldIndex) -> models.UpdateResult:
        """Index a payload field; a new index takes the place of the old one."""
        self._find(name)
        schema = asked.field_schema
        if isinstance(schema, models.TextIndexParams) and not self._at_least(_TEXT_SCORING):
            schema = schema.model_copy(update={"scoring": None})  # an unknown field is ignored
        if schema is None:
            raise Refused(400, "Wrong input: cannot auto-detect field type")
        kind = schema if isinstance(schema, models.PayloadSchemaType) else schema.type.value
        self._indexes.setdefault(name, {})[asked.field_name] = models.PayloadIndexInfo(
            data_type=models.PayloadSchemaType(kind),
            params=None if isinstance(schema, models.PayloadSchemaType) else schema,
            points=0,
        )
        with warnings.catch_warnings(action="ignore"):  # of indexes that local mode does not keep
            return self.client.create_payload_index(name, asked.field_name, schema)

    def delete_index(self, name: str, field: str) -> models.UpdateResult:
        """Remove the index of a payload field, if there is one."""
        self._find(name)
        self._indexes.get(name, {}).pop(field, None)
        with warnings.catch_warnings(action="ignore"):
            return self.client.delete_payload_index(name, field)

    def create(self, name: str, asked: models.CreateCollection) -> bool:
        """Create a collection."""
        if self.exists(name):
            raise Refused(409, f"Wrong input: Collection `{name}` already exists!")
        return self.client.create_collection(
            name,
            vectors_config=asked.vectors or {},
            sparse_vectors_config=asked.sparse_vectors,
            metadata=asked.metadata if self._at_least(_METADATA) else None,
        )

    def change(self, name: str, asked: models.UpdateCollection) -> bool:
        """Change its metadata."""
        self._find(name)
        if not self._at_least(_METADATA):
            return True  # an unknown field is ignored
        return self.client.update_collection(name, metadata=asked.metadata)

    def drop(self, name: str) -> bool:
        """Delete a collection."""
        return self.client.delete_collection(name)

    def add_vector(self, name: str, vector: str, config: Any) -> models.UpdateResult:
        """Add a vector name to a collection."""
        if not self._at_least(_ADD_VECTOR):
            raise Refused(404, "", plain=True)  # no such path
        self._find(name)
        return self.client.create_vector_name(name, vector, config)

    def upsert(self, name: str, asked: models.PointsList) -> models.UpdateResult:
        """Store points whole."""
        self._find(name)
        return self.client.upsert(name, asked.points)

    def query(self, name: str, asked: models.QueryRequest) -> models.QueryResponse:
        """Search."""
        self._find(name)
        self._check_text(name, asked)
        return self.client.query_points(
            name,
            query=asked.query,
            prefetch=asked.prefetch,
            using=asked.using,
            query_filter=asked.filter,
            limit=10 if asked.limit is None else asked.limit,
            offset=asked.offset,
            with_payload=False if asked.with_payload is None else asked.with_payload,
            with_vectors=False if asked.with_vector is None else asked.with_vector,
        )

    def queries(self, name: str, asked: models.QueryRequestBatch) -> list[models.QueryResponse]:
        """Several searches."""
        return [self.query(name, search) for search in asked.searches]

    def retrieve(self, name: str, asked: models.PointRequest) -> list[models.Record]:
        """Points by id."""
        self._find(name)
        return self.client.retrieve(
            name,
            ids=asked.ids,
            with_payload=True if asked.with_payload is None else asked.with_payload,
            with_vectors=False if asked.with_vector is None else asked.with_vector,
        )

    def scroll(self, name: str, asked: models.ScrollRequest) -> models.ScrollResult:
        """A page of points in the order of their ids."""
        self._find(name)
        points, after = self.client.scroll(
            name,
            scroll_filter=asked.filter,
            limit=10 if asked.limit is None else asked.limit,
            offset=asked.offset,
            with_payload=True if asked.with_payload is None else asked.with_payload,
            with_vectors=False if asked.with_vector is None else asked.with_vector,
        )
        return models.ScrollResult(points=points, next_page_offset=after)

    def collections(self) -> models.CollectionsResponse:
        """All of them."""
        return self.client.get_collections()

    def aliases(self) -> models.CollectionsAliasesResponse:
        """All of them."""
        return self.client.get_aliases()

    def change_aliases(self, asked: models.ChangeAliasesOperation) -> bool:
        """In one step."""
        return self.client.update_collection_aliases(asked.actions)

    def batch(self, name: str, asked: models.UpdateOperations) -> list[models.UpdateResult]:
        """Several changes."""
        self._find(name)
        for operation in asked.operations:
            if isinstance(operation, models.UpdateVectorsOperation):
                _refuse_empty(operation.update_vectors)
        return self.client.batch_update_points(name, asked.operations)

    def delete_vectors(self, name: str, asked: models.DeleteVectors) -> models.UpdateResult:
        """Vectors of some points."""
        self._find(name)
        return self.client.delete_vectors(name, asked.vector, asked.points or [])

    def delete_vector_name(self, name: str, vector: str) -> models.UpdateResult:
        """A vector of all points, and its name."""
        self._find(name)
        return self.client.delete_vector_name(name, vector)

    def delete_payload(self, name: str, asked: models.DeletePayload) -> models.UpdateResult:
        """Some keys of some points."""
        self._find(name)
        return self.client.delete_payload(name, asked.keys, asked.points or [])

    def delete(self, name: str, selector: models.PointsSelector) -> models.UpdateResult:
        """Delete points."""
        self._find(name)
        return self.client.delete(name, selector)

    def set_payload(self, name: str, asked: models.SetPayload) -> models.UpdateResult:
        """Set some keys."""
        self._find(name)
        return self.client.set_payload(name, payload=asked.payload, points=asked.points or [])

    def update_vectors(self, name: str, asked: models.UpdateVectors) -> models.UpdateResult:
        """Set some vectors."""
        self._find(name)
        _refuse_empty(asked)
        return self.client.update_vectors(name, asked.points)

    def count(self, name: str, asked: models.CountRequest) -> models.CountResult:
        """Count points."""
        self._find(name)
        return self.client.count(name, count_filter=asked.filter, exact=asked.exact is not False)

    def _check_text(self, name: str, asked: models.QueryRequest | models.Prefetch) -> None:
        """Refuse BM25 where a server does; in the words of the engine [edge 0.9.0]."""
        prefetches = asked.prefetch if isinstance(asked.prefetch, list) else [asked.prefetch]
        for prefetch in filter(None, prefetches):
            self._check_text(name, prefetch)
        if not isinstance(asked.query, models.TextQuery):
            return
        if not self._at_least(_TEXT_SCORING):
            raise Refused(
                400,
                "Format error in JSON body: data did not match any variant of untagged enum "
                "QueryInterface",
            )
        index = self._indexes.get(name, {}).get(asked.using or "")
        if index is None:
            reason = f"BM25 requires a text index on field {asked.using}, which has none"
            raise Refused(400, f"Wrong input: {reason}")
        if not isinstance(index.params, models.TextIndexParams):
            kind = index.data_type.value.capitalize()
            reason = (
                f"BM25 requires a text index on field {asked.using}, which is indexed as {kind}"
            )
            raise Refused(400, f"Wrong input: {reason}")
        if not index.params.scoring:
            reason = f"The text index on `{asked.using}` does not score"
            raise Refused(400, f"Wrong input: {reason}: set `scoring` on it to query it")

    def _find(self, name: str) -> None:
        if not self.exists(name):
            raise Refused(404, f"Not found: Collection `{name}` doesn't exist!")

    def _at_least(self, wanted: tuple[int, int]) -> bool:
        return tuple(int(part) for part in self._version.split(".")[:2]) >= wanted


def _refuse_empty(asked: models.UpdateVectors) -> None:
    """As a server does [1.18.3]: a point whose only vector is an empty sparse one has none."""
    for at, point in enumerate(asked.points):
        named = point.vector if isinstance(point.vector, dict) else {"": point.vector}
        if all(
            isinstance(found, models.SparseVector) and not found.indices for found in named.values()
        ):
            reason = f"points[{at}].vector: must specify vectors to update for point"
            raise Refused(422, f"Validation error in JSON body: [{reason}]")
