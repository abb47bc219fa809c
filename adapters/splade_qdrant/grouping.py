"""The best point of each value of a payload field, exact in order and counts.

Qdrant's own groups do not count points and order equal scores arbitrarily, and the embedded engine
has no groups. So this module queries points by score, and again without the values already found,
until nothing better can follow.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from splade_connectors.backends.grouping import MOST_COUNTED, Best, Key, key_of, value_in
from splade_connectors.documents import Hit
from splade_connectors.filters import All, AnyOf, Condition, Exists, Not
from splade_connectors.runtime.effects import Steps
from splade_qdrant.address import Address
from splade_qdrant.compile.filters import filter_of
from splade_qdrant.compile.search import GroupedPlan
from splade_qdrant.documents import original_id, payload_of

Point = Mapping[str, Any]

# Growth factor of a request that found too few values.
_GROWTH = 4


@dataclass(slots=True)
class _Found:
    """The values found so far.

    Attributes:
        best: the best point of each value.
        counts: number of points seen, by value.
        everything: whether no other points match.
    """

    best: dict[Key, tuple[Best, Point]] = field(default_factory=dict)
    counts: Counter[Key] = field(default_factory=Counter)
    everything: bool = False

    def add(self, points: Sequence[Point], path: str) -> None:
        """Add points; of each value the best one stays, ties by the document's id as text."""
        self.counts.clear()
        for point in points:
            id = original_id(point)
            value = value_in(payload_of(point), path, id)
            if value is None:
                continue
            key = key_of(value)
            self.counts[key] += 1
            new = Best(id, float(point["score"]), value)
            if key not in self.best or _order(new) < _order(self.best[key][0]):
                self.best[key] = new, point

    def ranking(self) -> list[tuple[Best, Point]]:
        """Best first."""
        return sorted(self.best.values(), key=lambda found: _order(found[0]))

    def above(self, score: float) -> list[Any]:
        """The values whose best point is final: it scores above every point still to come."""
        return [best.value for best, _ in self.best.values() if best.score > score]


def search_groups(address: Address, plan: GroupedPlan) -> Steps[list[Hit]]:
    """The hits of the plan's page, one per value."""
    found = yield from _enough(address, plan)
    page = found.ranking()[plan.offset : plan.offset + plan.limit]
    counts: Mapping[Key, int] = found.counts
    if page and not found.everything:
        counts = yield from _counted(address, plan, [best.value for best, _ in page])
    payloads: dict[str, Any] = {}
    if page and plan.with_payload:
        body = {"ids": [point["id"] for _, point in page], "with_payload": True}
        answer = yield address.request("retrieve", {**body, "with_vector": False})
        payloads = {str(point["id"]): payload_of(point) for point in answer}
    return [
        Hit(
            id=best.id,
            score=best.score,
            payload=payloads.get(str(point["id"]), {}),
            group=best.value,
            more=max(0, counts.get(key_of(best.value), 1) - 1),
        )
        for best, point in page
    ]


def _enough(address: Address, plan: GroupedPlan) -> Steps[_Found]:
    """As many of the best values as the page needs, and all those tied with the last of them."""
    found, size, excluded = _Found(), plan.body["limit"], 0
    body: Mapping[str, Any] = plan.body
    while True:
        answer: Sequence[Point] = yield address.request("query", {**body, "limit": size})
        found.add(answer, plan.group_by)
        if len(answer) < size:
            found.everything = not excluded
            return found
        lowest = float(answer[-1]["score"])
        ranking, needed = found.ranking(), plan.offset + plan.limit
        if len(ranking) >= needed and ranking[needed - 1][0].score > lowest:
            return found
        known = found.above(lowest)
        if size == plan.most and len(known) == excluded:
            return found  # strict mode allows no larger request, so the other ties stay unseen
        excluded = len(known)
        body = _narrowed(plan, All(Exists(plan.group_by), Not(AnyOf(plan.group_by, known))))
        size = min(size * _GROWTH, plan.most or size * _GROWTH)


def _counted(address: Address, plan: GroupedPlan, values: Sequence[Any]) -> Steps[Counter[Key]]:
    """The number of matching points, by value."""
    body = _narrowed(plan, AnyOf(plan.group_by, values))
    size = min(MOST_COUNTED, plan.most or MOST_COUNTED)
    found = _Found()
    found.add((yield address.request("query", {**body, "limit": size})), plan.group_by)
    return found.counts


def _narrowed(plan: GroupedPlan, condition: Condition) -> dict[str, Any]:
    """The plan's request, restricted to points that also meet a condition."""
    also = filter_of(condition, plan.filterable)
    own = [plan.own_filter] if plan.own_filter is not None else []
    return {**plan.body, "filter": {"must": [*own, also]}}


def _order(best: Best) -> tuple[float, str]:
    return -best.score, str(best.id)
