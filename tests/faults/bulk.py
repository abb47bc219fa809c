"""Bulk requests of Elasticsearch: some actions taken out, and the answer put together again."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from tests.faults.faults import REJECTED

_REASON = "rejected execution of coordinating operation [the proxy's doing]"


@dataclass(frozen=True)
class Action:
    """An action of a bulk request with its lines, as they came."""

    kind: str
    header: dict[str, Any]
    lines: tuple[bytes, ...]


def parse(body: bytes) -> list[Action]:
    """The actions of a request, in order."""
    lines = iter(line for line in body.split(b"\n") if line.strip())
    actions = []
    for line in lines:
        ((kind, header),) = json.loads(line).items()
        source = () if kind == "delete" else (next(lines),)
        actions.append(Action(kind, header, (line, *source)))
    return actions


def unparse(actions: Sequence[Action]) -> bytes:
    """The body of a request with these actions."""
    return b"".join(line + b"\n" for action in actions for line in action.lines)


def merged(
    actions: Sequence[Action],
    failed: set[int],
    answer: dict[str, Any] | None,
    index: str,
) -> dict[str, Any]:
    """The answer to all actions: that of the server, and failures where it was not asked.

    Args:
        actions: of the whole request.
        failed: positions of those that the server never saw.
        answer: what it said to the others; None when there were none.
        index: named in the failures.
    """
    known = iter(answer["items"] if answer else ())
    items = [
        _failure(action, index) if at in failed else next(known)
        for at, action in enumerate(actions)
    ]
    errors = bool(failed) or bool(answer and answer["errors"])
    return {"took": answer["took"] if answer else 0, "errors": errors, "items": items}


def _failure(action: Action, index: str) -> dict[str, Any]:
    error = {"type": REJECTED, "reason": _REASON}
    named = {
        "_index": action.header.get("_index", index),
        "_id": action.header.get("_id"),
    }
    return {action.kind: {**named, "status": 429, "error": error}}
