"""The address of one sparse vector in one collection; immutable."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from splade_qdrant.requests import Operation, QdrantRequest


@dataclass(frozen=True, kw_only=True, slots=True)
class Address:
    """A sparse vector, as users or other parts of this package name it.

    Attributes:
        collection: name of the collection; "" for an embedded shard, which holds only one.
        vector: the users' name for the sparse vector; after a model swap it refers to another one.
        exactly: whether `vector` is the stored name, never redirected.
        dense: name of the dense vector that stores the documents' unnamed one.
        location: the target, for messages.
        manifest_file: file that holds the manifest instead of the collection's metadata.
    """

    collection: str
    vector: str
    dense: str
    location: str
    manifest_file: Path | None
    exactly: bool = False

    @property
    def is_embedded(self) -> bool:
        """Whether the collection is a shard embedded in this process."""
        return not self.collection

    def request(self, operation: Operation, body: Mapping[str, Any] | None = None) -> QdrantRequest:
        """A request to this collection."""
        return QdrantRequest(operation, body or {}, self.collection)
