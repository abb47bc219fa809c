"""What the mapping of a `knn_vector` field says about its scores."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

# Lucene as run on 3.6.0, faiss as documented; other engines may score differently.
_ENGINES_OF_COSINES = ("lucene", "faiss")


def engine(mapping: Mapping[str, Any]) -> str:
    """The library that holds the graph; "" if the mapping leaves it to the server."""
    return str((mapping.get("method") or {}).get("engine") or "")


def scores_cosines(mapping: Mapping[str, Any]) -> bool:
    """Whether an approximate search of the field scores (1 + cosine) / 2."""
    return by_angle(mapping) and engine(mapping) in _ENGINES_OF_COSINES


def by_angle(mapping: Mapping[str, Any]) -> bool:
    """Whether the field compares directions."""
    # From 2.17 on the space may be given beside the method.
    space = (mapping.get("method") or {}).get("space_type") or mapping.get("space_type")
    return bool(space == "cosinesimil")
