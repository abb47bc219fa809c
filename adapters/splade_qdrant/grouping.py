"""The best point of each value of a payload field, exact in order and counts.

Qdrant's own groups say nothing of how many points there are, and equal scores come in any order;
the embedded engine has no groups. So points are asked for by score, and again without the values
that were found, until nothing better can come.
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

# By so much a request grows when it has not found enough values.
_GROWTH = 4


@dataclass(slots=True)
class _Found:
    """What has been found so far.

    Attributes:
        best: of each value, with the point that it is.
        counts: points of each value that were seen.
        everything: whether these are all that there are.
    """

    best: dict[Key, tuple[Best, Point]] = field(default_factory=dict)
    counts: Counter[Key] = field(default_factory=Counter)
    everything: bool = False

    def add(self, points: Sequence[Point], path: str) -> None:
        """Points by score; ties by the document's id as text."""
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
        """The values whose best point is known: it scores above what is still to come."""
        return [best.value for best, _ in self.best.values() if best.score > score]


def search_groups(address: Address, plan: GroupedPlan) -> Steps[list[Hit]]:
    """The page of a plan, a hit for each value."""
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
    """The best values, as many as the page needs, and all that are tied with the last of them."""
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
            return found  # strict mode lets nobody see farther into equal scores
        excluded = len(known)
        body = _narrowed(plan, All(Exists(plan.group_by), Not(AnyOf(plan.group_by, known))))
        size = min(size * _GROWTH, plan.most or size * _GROWTH)


def _counted(address: Address, plan: GroupedPlan, values: Sequence[Any]) -> Steps[Counter[Key]]:
    """How many points of these values match the query."""
    body = _narrowed(plan, AnyOf(plan.group_by, values))
    size = min(MOST_COUNTED, plan.most or MOST_COUNTED)
    found = _Found()
    found.add((yield address.request("query", {**body, "limit": size})), plan.group_by)
    return found.counts


def _narrowed(plan: GroupedPlan, condition: Condition) -> dict[str, Any]:
    """The request of a plan for the points that meet a condition as well."""
    also = filter_of(condition, plan.filterable)
    own = [plan.own_filter] if plan.own_filter is not None else []
    return {**plan.body, "filter": {"must": [*own, also]}}


def _order(best: Best) -> tuple[float, str]:
    return -best.score, str(best.id)
