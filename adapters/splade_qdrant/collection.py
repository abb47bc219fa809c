"""The verbs of a Qdrant collection, for servers and for the embedded engine alike."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from splade_connectors.backends.metadata import vector_of
from splade_connectors.backends.protocol import Capabilities, Plan
from splade_connectors.backends.versions import parse_version, version_text
from splade_connectors.documents import (
    DocumentId,
    EncodedDocument,
    Hit,
    Outcome,
    StoredDocument,
    Written,
)
from splade_connectors.errors import NotFound, NotSupported
from splade_connectors.files.json_files import read_manifest_file, write_manifest_file
from splade_connectors.manifest import MANIFEST_KEY, IndexManifest, parse_manifest
from splade_connectors.options import SearchOptions
from splade_connectors.payloads import payload_reason
from splade_connectors.runtime.effects import Steps
from splade_connectors.vectors import SparseVector
from splade_qdrant.compile.search import compile_search
from splade_qdrant.documents import (
    hit,
    id_payload,
    point,
    point_id,
    reserved_key,
    sparse_json,
    stored,
)
from splade_qdrant.requests import Operation, QdrantRequest
from splade_qdrant.schema import Schema, check_sparse_vector, parse_collection

# The first servers with collection metadata, and with vectors added to a collection that exists.
METADATA = (1, 16)
ADD_VECTOR = (1, 18)

# JSON spends about this many bytes on one term: "29871," and "1.2345678901234567,".
_BYTES_PER_TERM = 28


class QdrantBackend:
    """A collection and the sparse vector `vector_name` in it.

    Args:
        collection: its name; "" for an embedded shard, which holds only one.
        vector_name: name of the sparse vector.
        dense_name: name of the dense vector that documents' unnamed ones go to.
        location: the target, for messages.
        manifest_file: where the manifest is kept instead of in the collection's metadata.
    """

    def __init__(
        self,
        collection: str,
        *,
        vector_name: str,
        dense_name: str,
        location: str,
        manifest_file: Path | None,
    ) -> None:
        self.location = location
        self._collection = collection
        # Where it is not the sender's own: a copy.
        self._other_collection = ""
        # What users call it; it stands for another vector after the model was replaced.
        self._asked_vector = vector_name
        self._exactly = False
        self._vector = vector_name
        self._dense = dense_name
        self._manifest_file = manifest_file
        self._schema: Schema | None = None
        self._engine: Mapping[str, str] | None = None

    def describe(self) -> Steps[Capabilities]:
        """Version, vectors and size. As `Backend.describe`."""
        engine = yield from self._read_engine()
        version = parse_version(engine["version"])
        if not (yield self._request("exists")):
            return Capabilities(backend=engine["title"], version=version)
        schema = yield from self._read_schema()
        check_sparse_vector(schema, self._vector, self.location)
        return Capabilities(
            backend=engine["title"],
            version=version,
            exists=True,
            has_field=self._vector in schema.sparse,
            documents=schema.points,
            max_write_documents=schema.limits.get("upsert_max_batchsize"),
            details={
                "vector": self._vector,
                "sparse_fields": sorted(schema.sparse),
                "dense_fields": dict(sorted(schema.dense.items())),
            },
        )

    def read_manifest(self) -> Steps[IndexManifest | None]:
        """From the manifest file where one was named, else from the collection's metadata."""
        if self._manifest_file and self._manifest_file.is_file():
            return read_manifest_file(self._manifest_file, self._vector)
        schema = yield from self._read_schema()
        ours = (schema.metadata or {}).get(MANIFEST_KEY) or {}
        return parse_manifest(ours.get(self._vector), self.location)

    def prepare(
        self, manifest: IndexManifest, dense_sizes: Mapping[str, int], *, write_manifest: bool
    ) -> Steps[None]:
        """Create what is absent. As `Backend.prepare`."""
        version = yield from self._read_version()
        if write_manifest and not self._manifest_file and version < METADATA:
            raise NotSupported(
                f"{self.location}: Qdrant {version_text(version)} cannot keep a manifest "
                "(collection metadata came with 1.16); keep it in a file: --manifest FILE"
            )
        exists = yield self._request("exists")
        if not exists:
            yield self._request("create", self._creation(dense_sizes))
        schema = yield from self._read_schema()
        check_sparse_vector(schema, self._vector, self.location)
        if self._vector not in schema.sparse:
            yield from self._add_vector(version)
            schema = yield from self._read_schema()
        if write_manifest:
            yield from self._write_manifest(manifest, schema)

    def write_manifest(self, manifest: IndexManifest) -> Steps[None]:
        """Into the manifest file, or into our part of the metadata as it is now."""
        yield from self._write_manifest(manifest, (yield from self._read_schema()))

    def check(self, document: EncodedDocument) -> str | None:
        """Wrong dense vectors, reserved keys, values that are not JSON."""
        assert self._schema is not None
        for name, values in document.document.dense_vectors().items():
            reason = self._dense_reason(name or self._dense, len(values))
            if reason:
                return reason
        reserved = reserved_key(document.payload)
        if reserved:
            return f"the payload has the key {reserved!r}, which is used here; rename it"
        too_many = self._terms_reason(document.vector)
        if too_many:
            return too_many
        reason = payload_reason(document.payload)
        if reason:
            return reason
        large = _large_integer(document.payload)
        if large is not None:
            return (
                f"the payload's {large!r} holds an integer beyond 2^63: Qdrant makes a float of it"
            )
        return None

    def size(self, document: EncodedDocument) -> int:
        """About how many bytes the point takes."""
        dense = sum(len(values) for values in document.document.dense_vectors().values())
        payload = len(json.dumps(document.payload))
        return payload + _BYTES_PER_TERM * (len(document.vector) + dense) + 100

    def write(self, documents: Sequence[EncodedDocument]) -> Steps[list[Outcome]]:
        """Upsert the points, and wait: with wait=false Qdrant drops bad ones behind a 200."""
        points = [point(document, self._vector, self._dense) for document in documents]
        yield self._request("upsert", {"points": points})
        return [Written(id=document.id) for document in documents]

    def update(
        self,
        id: DocumentId,
        payload: Mapping[str, Any],
        vector: SparseVector | None,
        marker: str,
    ) -> Steps[None]:
        """Set these payload keys, and the sparse vector; dense vectors are not touched."""
        point = point_id(id)
        if vector is not None:
            vectors = {self._vector: sparse_json(vector)}
            points = [{"id": point, "vector": vectors}]
            yield self._request("update_vectors", {"points": points})
        changes = {**payload, **id_payload(id)}
        yield self._request("set_payload", {"payload": changes, "points": [point]})
        yield self._request("flush")

    def refresh(self) -> Steps[None]:
        """Flush; a server has applied what it acknowledged."""
        yield self._request("flush")

    def plan(self, query: SparseVector, options: SearchOptions) -> Steps[Plan]:
        """One sparse query."""
        yield from ()
        return compile_search(self._collection, self._vector, query, options)

    def search(self, plan: Plan) -> Steps[list[Hit]]:
        """Send the query."""
        answer = yield self._request("query", plan.body)
        with_payload = plan.body["with_payload"] is True
        return [hit(found, with_payload) for found in answer]

    def fetch(
        self, ids: Sequence[DocumentId], *, with_vectors: bool
    ) -> Steps[list[StoredDocument]]:
        """Retrieve by point id."""
        if self._schema is None:
            yield from self._read_schema()
        points = [point_id(id) for id in ids]
        body = {
            "ids": points,
            "with_payload": True,
            "with_vector": [self._vector] if with_vectors else False,
        }
        answer = yield self._request("retrieve", body)
        found = {str(item["id"]): stored(item, self._vector) for item in answer}
        return [found[str(point)] for point in points if str(point) in found]

    def delete(self, ids: Sequence[DocumentId]) -> Steps[None]:
        """Delete the points."""
        if not (yield self._request("exists")):
            raise NotFound(f"{self.location} does not exist")
        yield self._request("delete", {"points": [point_id(id) for id in ids]})
        yield self._request("flush")

    def count(self) -> Steps[int]:
        """Points that have the vector, counted exactly."""
        schema = yield from self._read_schema()
        if self._vector not in schema.sparse:
            return 0
        has_vector = {"must": [{"has_vector": self._vector}]}
        answer = yield self._request("count", {"filter": has_vector, "exact": True})
        return int(answer["count"])

    def _request(
        self, operation: Operation, body: Mapping[str, Any] | None = None
    ) -> QdrantRequest:
        return QdrantRequest(operation, body or {}, self._other_collection)

    def _read_engine(self) -> Steps[Mapping[str, str]]:
        """Title and version, asked for once."""
        if self._engine is None:
            self._engine = yield self._request("version")
        return self._engine

    def _read_version(self) -> Steps[tuple[int, ...]]:
        """The server's version; the embedded engine counts its own and says whose it matches."""
        engine = yield from self._read_engine()
        return parse_version(engine.get("like_server", engine["version"]))

    def _read_schema(self) -> Steps[Schema]:
        if not (yield self._request("exists")):
            raise NotFound(f"{self.location} does not exist; `splade-connectors index` creates it")
        self._schema = parse_collection((yield self._request("schema")))
        if not self._exactly:
            self._vector = vector_of(self._schema.metadata or {}, self._asked_vector)
        return self._schema

    def _creation(self, dense_sizes: Mapping[str, int]) -> dict[str, Any]:
        vectors = {
            name or self._dense: {"size": size, "distance": "Cosine"}
            for name, size in dense_sizes.items()
        }
        return {"vectors": vectors, "sparse_vectors": {self._vector: {}}}

    def _add_vector(self, version: tuple[int, ...]) -> Steps[None]:
        if version < ADD_VECTOR:
            raise NotSupported(
                f"{self.location} has no sparse vector {self._vector!r}, and Qdrant "
                f"{version_text(version)} cannot add one to a collection that exists (1.18 and "
                "later can): upgrade, or index into a new collection"
            )
        yield self._request("add_sparse_vector", {"name": self._vector})

    def _write_manifest(self, manifest: IndexManifest, schema: Schema) -> Steps[None]:
        if self._manifest_file:
            write_manifest_file(self._manifest_file, self._vector, manifest)
            return
        ours = dict((schema.metadata or {}).get(MANIFEST_KEY) or {})
        ours[self._vector] = manifest.to_json()
        # The owner's other keys stay: metadata is merged.
        yield self._request("set_metadata", {"metadata": {MANIFEST_KEY: ours}})

    def _terms_reason(self, vector: SparseVector) -> str | None:
        assert self._schema is not None
        most = self._schema.max_terms(self._vector)
        if most is None or len(vector) <= most:
            return None
        return (
            f"its vector has {len(vector)} terms, and the collection's strict mode allows {most}: "
            f"--prune-top-k {most} keeps the heaviest"
        )

    def _dense_reason(self, name: str, dimensions: int) -> str | None:
        assert self._schema is not None
        known = self._schema.dense
        shown = repr(name) if name else "without a name"
        if name not in known:
            names = ", ".join(repr(other) for other in sorted(known)) or "none"
            return f"the collection has no dense vector {shown}; it has {names}"
        if dimensions != known[name]:
            return (
                f"the dense vector {shown} has {dimensions} dimensions, the collection's has "
                f"{known[name]}"
            )
        return None


def _large_integer(value: Any, path: str = "") -> str | None:
    """Where the first integer is that does not fit into 64 bits, sign included; None without one.

    Where and not which: reasons are printed and logged, values are not.
    """
    match value:
        case int():
            return None if -(2**63) <= value < 2**63 else path
        case Mapping():
            parts = [
                (f"{path}.{name}" if path else str(name), part) for name, part in value.items()
            ]
        case list() | tuple():
            parts = [(path, part) for part in value]
        case _:
            return None
    found = (_large_integer(part, where) for where, part in parts)
    return next((where for where in found if where is not None), None)
