"""The one look at a server: its version, and the collection's vectors, indexes and metadata."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from splade_connectors.backends.metadata import is_created, manifests_of, vector_of
from splade_connectors.backends.protocol import Capabilities, Description
from splade_connectors.backends.versions import Version, parse_version
from splade_connectors.errors import NotFound
from splade_connectors.files.json_files import read_json_object, read_manifest_file
from splade_connectors.manifest import IndexManifest, parse_manifest
from splade_connectors.runtime.effects import Steps
from splade_qdrant.address import Address
from splade_qdrant.requests import QdrantRequest
from splade_qdrant.schema import Schema, check_sparse_vector, parse_collection

# `service.max_request_size_mb` of REST is 32 by default; 1 MiB is reserved for the vectors, which
# are not known yet when a document is checked.
_MAX_REQUEST_BYTES = 31 * 2**20


class Server:
    """A server's title and version, requested once: unlike a schema, they cannot go stale.

    The backends of all its collections share this object, and keep nothing else.
    """

    def __init__(self) -> None:
        self._told: Mapping[str, str] | None = None

    def told(self) -> Steps[Mapping[str, str]]:
        """Title and version."""
        if self._told is None:
            self._told = yield QdrantRequest("version")
        return self._told

    def version(self) -> Steps[Version]:
        """The server's version; for the embedded engine, the server version that it matches."""
        told = yield from self.told()
        return parse_version(told.get("like_server", told["version"]))


def look(address: Address, server: Server) -> Steps[Description]:
    """Version, vectors, metadata and manifest, as they are now; as `Backend.describe`."""
    told = yield from server.told()
    info = yield from collection_info(address)
    if info is None:
        found = Capabilities(backend=told["title"], version=parse_version(told["version"]))
        return Description(capabilities=found, manifest=None, vector=address.vector)
    schema = parse_collection(info, (yield from server.version()))
    return description(address, told, schema)


def collection_info(address: Address) -> Steps[Mapping[str, Any] | None]:
    """The server's description of the collection; None if it does not exist."""
    try:
        info: Mapping[str, Any] = yield address.request("schema")
    except NotFound:
        return None
    return info


def description(address: Address, told: Mapping[str, str], schema: Schema) -> Description:
    """The description of an existing collection.

    Raises:
        SchemaConflict: if the sparse vector cannot hold SPLADE vectors.
    """
    metadata = schema.metadata
    vector = address.vector if address.exactly else vector_of(metadata, address.vector)
    check_sparse_vector(schema, vector, address.location)
    capabilities = Capabilities(
        backend=told["title"],
        version=parse_version(told["version"]),
        exists=True,
        has_field=vector in schema.sparse,
        created_by_us=is_created(metadata) or is_created(_manifest_file(address)),
        max_request_bytes=None if address.is_embedded else _MAX_REQUEST_BYTES,
        max_write_documents=schema.limits.get("upsert_max_batchsize"),
        details={
            "vector": vector,
            "sparse_fields": sorted(schema.sparse),
            "dense_fields": dict(sorted(schema.dense.items())),
            "text_fields": sorted(name for name, index in schema.indexes.items() if index.scores),
        },
    )
    manifest = _manifest(address, vector, metadata)
    return Description(capabilities=capabilities, manifest=manifest, vector=vector, schema=schema)


def schema_of(seen: Description, address: Address) -> Schema:
    """The schema in a description.

    Raises:
        NotFound: if the collection did not exist.
    """
    if seen.schema is None:
        raise NotFound(f"{address.location} does not exist; `splade-connectors index` creates it")
    schema: Schema = seen.schema
    return schema


def _manifest(address: Address, vector: str, metadata: Mapping[str, Any]) -> IndexManifest | None:
    """The manifest from the manifest file, if one was given and exists, else from the metadata."""
    if address.manifest_file and address.manifest_file.is_file():
        return read_manifest_file(address.manifest_file, vector)
    return parse_manifest(manifests_of(metadata).get(vector), address.location)


def _manifest_file(address: Address) -> Mapping[str, Any]:
    return read_json_object(address.manifest_file) if address.manifest_file else {}
