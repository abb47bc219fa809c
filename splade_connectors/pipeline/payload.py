"""Whether a payload can be stored as JSON, found out before anything is sent."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

# Qdrant's engine writes deeper payloads into its log and then cannot read the log again, nor
# anything else in it [edge 0.9.0: 120 levels are read, 125 are not].
DEEPEST = 100


def payload_reason(payload: Mapping[str, Any]) -> str | None:
    """Why a payload cannot be stored, None when nothing is known against it."""
    if _is_deeper(payload, DEEPEST):
        return f"the payload is nested more than {DEEPEST} levels deep"
    try:
        # Encoded as well: half a surrogate is a Python string, but no text.
        json.dumps(payload, allow_nan=False, ensure_ascii=False).encode()
    except (TypeError, ValueError) as error:
        return f"the payload is not JSON: {error}"
    return None


def _is_deeper(value: Any, levels: int) -> bool:
    """Level by level instead of recursively: the depth is what may be too much."""
    parts = [value]
    for _ in range(levels + 1):
        parts = [inner for part in parts for inner in _inside(part)]
        if not parts:
            return False
    return True


def _inside(value: Any) -> list[Any]:
    if isinstance(value, Mapping):
        return list(value.values())
    return list(value) if isinstance(value, list | tuple) else []
