"""Pages of a search that are parts of one ranking, however the server orders equal scores."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from splade_connectors.documents import Hit
from splade_connectors.runtime.effects import Steps
from splade_qdrant.address import Address
from splade_qdrant.compile.search import SearchPlan
from splade_qdrant.documents import ID_KEY, in_order, original_id, page_of, payload_of

Point = Mapping[str, Any]

# Growth factor of a request until it covers the equal scores at the page's end.
_GROWTH = 4


def search_page(address: Address, plan: SearchPlan) -> Steps[list[Hit]]:
    """The hits of the plan's page: by score, ties by the document's id as text.

    Sends one request, unless equal scores straddle an end of the page: then more requests get the
    ids of all of them, and the payloads missing from the first response.
    """
    # A list, since every point of the page and its neighbours is read anyway.
    answer = list((yield address.request("query", plan.body)))
    with_payload = plan.body["with_payload"] is True
    if not _is_cut(answer, plan):
        page = in_order(answer[plan.before : plan.before + plan.limit])
        return [_hit(point, point, with_payload) for point in page]
    payloads = {str(point["id"]): point["payload"] for point in answer}
    ranking = yield from _ranking(address, plan, answer[_last(answer, plan)]["score"])
    page = page_of(ranking, plan.offset, plan.limit)
    if with_payload:
        payloads |= yield from _payloads(address, page, payloads)
    return [
        _hit(point, {"payload": payloads.get(str(point["id"]))}, with_payload) for point in page
    ]


def _hit(point: Point, whole: Point, with_payload: bool) -> Hit:
    return Hit(
        id=original_id(point),
        score=float(point["score"]),
        payload=payload_of(whole) if with_payload else {},
    )


def _last(answer: Sequence[Point], plan: SearchPlan) -> int:
    """The position of the page's last point in the response."""
    return min(len(answer), plan.before + plan.limit) - 1


def _is_cut(answer: Sequence[Point], plan: SearchPlan) -> bool:
    """Whether a point of the page ties with its neighbour outside."""
    first, last = plan.before, _last(answer, plan)
    out_of_reach = plan.most is not None and plan.offset + plan.limit > plan.most
    if last < first or out_of_reach:
        return False
    ends = [(first - 1, first), (last, last + 1)]
    return any(
        left >= 0 and right < len(answer) and answer[left]["score"] == answer[right]["score"]
        for left, right in ends
    )


def _ranking(address: Address, plan: SearchPlan, lowest: float) -> Steps[Sequence[Point]]:
    """All points down to this score, by score, and perhaps a few below it."""
    body = {name: value for name, value in plan.body.items() if name != "offset"}
    size = plan.offset + plan.limit
    while True:
        size *= _GROWTH
        if plan.most:
            size = min(size, plan.most)
        request = {**body, "limit": size, "with_payload": [ID_KEY]}
        found: Sequence[Point] = yield address.request("query", request)
        if len(found) < size or found[-1]["score"] < lowest or size == plan.most:
            return found


def _payloads(
    address: Address, page: Sequence[Point], known: Mapping[str, Any]
) -> Steps[dict[str, Any]]:
    """The payloads of a page that are not known yet."""
    ids = [point["id"] for point in page if str(point["id"]) not in known]
    if not ids:
        return {}
    body = {"ids": ids, "with_payload": True, "with_vector": False}
    return {
        str(point["id"]): point["payload"] for point in (yield address.request("retrieve", body))
    }
