"""What a search found. Pure."""

from __future__ import annotations

from typing import Any

from splade_connectors.documents import Hit


def hits_of(answer: Any) -> list[Hit]:
    """The hits in the answer of a search, with their scores."""
    return [
        Hit(id=str(hit["_id"]), score=float(hit["_score"]), payload=hit.get("_source") or {})
        for hit in answer["hits"]["hits"]
    ]
