"""Requests to Qdrant as plain JSON: made by the backend, executed by a client or the engine."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from splade_connectors.runtime.effects import Request

Operation = Literal[
    "version",
    "schema",
    "create",
    "add_sparse_vector",
    "set_metadata",
    "upsert",
    "query",
    "batch_query",
    "retrieve",
    "scroll",
    "collections",
    "create_like",
    "create_payload_index",
    "delete_payload_index",
    "aliases",
    "switch_alias",
    "delete",
    "delete_vectors",
    "delete_vector_name",
    "delete_payload",
    "update_vectors",
    "batch_update",
    "count",
    "flush",
]


@dataclass(slots=True)
class QdrantRequest(Request):
    """One call.

    Attributes:
        operation: the name of the call.
        body: its arguments as JSON, spelled as in Qdrant's REST API.
        collection: name of the collection; "" for the sender's own.
    """

    operation: Operation
    body: Mapping[str, Any] = field(default_factory=dict)
    collection: str = ""

    @property
    def purpose(self) -> str:
        """The name of the operation."""
        return self.operation

    @property
    def has_documents(self) -> bool:
        """Whether the body holds parts of documents, so that no error may quote it."""
        return self.operation in _WITH_DOCUMENTS


_WITH_DOCUMENTS: tuple[Operation, ...] = ("upsert", "update_vectors", "batch_update")
