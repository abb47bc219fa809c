"""Which sparse vector of which collection is meant; it never changes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from splade_qdrant.requests import Operation, QdrantRequest


@dataclass(frozen=True, kw_only=True, slots=True)
class Address:
    """A sparse vector, as users or another part of this package name it.

    Attributes:
        collection: its name; "" for an embedded shard, which holds only one.
        vector: what users call the sparse vector; it stands for another one after the model was
            replaced.
        exactly: `vector` is the vector's own name, and stands for nothing else.
        dense: name of the dense vector that documents' unnamed ones go to.
        location: the target, for messages.
        manifest_file: where the manifest is kept instead of in the collection's metadata.
    """

    collection: str
    vector: str
    dense: str
    location: str
    manifest_file: Path | None
    exactly: bool = False

    @property
    def is_embedded(self) -> bool:
        """Whether it is a shard in this process."""
        return not self.collection

    def request(self, operation: Operation, body: Mapping[str, Any] | None = None) -> QdrantRequest:
        """A request to this collection."""
        return QdrantRequest(operation, body or {}, self.collection)
