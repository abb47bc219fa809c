"""Check that grouped hits are the best of their groups, against the ranking without groups."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from splade_connectors.backends.grouping import key_of
from splade_connectors.documents import Hit
from splade_connectors.payloads import values_at
from splade_connectors.testing.oracle import TOLERANCE


def assert_best_of_groups(
    hits: Sequence[Hit], ranking: Sequence[Hit], path: str, *, offset: int, limit: int
) -> None:
    """Check a page of grouped hits.

    Args:
        hits: of a search with `group_by=path`.
        ranking: all hits of the same search without `group_by`, with their payload.
        path: of the field.
        offset: of the page.
        limit: of the page.

    Raises:
        AssertionError: if not; names the first wrong hit. Groups with equal scores may come in any
            order.
    """
    groups: dict[Any, list[Hit]] = {}
    for hit in ranking:
        values = [value for value in values_at(hit.payload, path) if value is not None]
        if values:
            groups.setdefault(key_of(values[0]), []).append(hit)
    scores = sorted((found[0].score for found in groups.values()), reverse=True)
    expected = scores[offset : offset + limit]
    assert len(hits) == len(expected), f"{len(hits)} groups, expected {len(expected)}"
    assert len({key_of(hit.group) for hit in hits}) == len(hits), "a group was found twice"
    for rank, (hit, score) in enumerate(zip(hits, expected, strict=True), start=offset + 1):
        found = groups[key_of(hit.group)]
        best = [other.id for other in found if _near(other.score, found[0].score)]
        assert _near(hit.score, score), f"group {rank}: {hit} should have the score {score}"
        assert hit.id in best, f"group {rank}: {hit} is not one of {best}"
        assert hit.more == len(found) - 1, f"group {rank}: {hit} has {len(found) - 1} more"


def _near(one: float, other: float) -> bool:
    return abs(one - other) <= TOLERANCE * abs(other)
