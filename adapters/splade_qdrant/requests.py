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
        operation: which.
        body: its arguments as JSON, in the spelling of Qdrant's REST API.
        collection: its name; "" for the sender's own.
    """

    operation: Operation
    body: Mapping[str, Any] = field(default_factory=dict)
    collection: str = ""

    @property
    def purpose(self) -> str:
        """The operation."""
        return self.operation

    @property
    def has_documents(self) -> bool:
        """Whether documents, or parts of them, are sent: no error may quote the body."""
        return self.operation in _WITH_DOCUMENTS


_WITH_DOCUMENTS: tuple[Operation, ...] = ("upsert", "update_vectors", "batch_update")
