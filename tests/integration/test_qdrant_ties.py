"""Pages of a search are parts of one ranking, whatever a server does with equal scores."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from qdrant_client import models

from splade_connectors import Document, SparseVector
from splade_connectors.testing.requests import counted
from tests.fronts import QdrantRestFront
from tests.integration.qdrant_kinds import KINDS, Opened, kind

QUERY = SparseVector.from_pairs({1: 1.0})[0]


def document(id: Any, weight: float, **payload: Any) -> Document:
    return Document(id=id, vector=SparseVector.from_pairs({1: weight})[0], payload=payload)


def in_order(weights: dict[Any, float]) -> list[Any]:
    """The definition: by score, ties by the id as text."""
    return sorted(weights, key=lambda id: (-weights[id], str(id)))


@pytest.fixture(params=KINDS)
def opened(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Opened]:
    with kind(request.param, tmp_path) as found:
        yield found


# Equal throughout; groups of seven; a large group between two others; no ties at all.
WEIGHTS: dict[str, dict[Any, float]] = {
    "equal": {f"d{number * 7 % 30}": 1.0 for number in range(30)},
    "numbers": {(number * 11) % 30: 0.5 for number in range(30)},
    "sevens": {f"d{number}": 2.0 + (number * 5 % 30) // 7 for number in range(30)},
    "middle": {f"d{number}": 1.0 if 3 <= number < 28 else float(number) for number in range(31)}
    | {"first": 99.0, "d0": 0.5},
    "different": {f"d{number}": 1.0 + number for number in range(30)},
}


@pytest.mark.parametrize("name", WEIGHTS)
def test_pages_put_together_are_the_ranking(opened: Opened, name: str) -> None:
    weights = WEIGHTS[name]
    expected = in_order(weights)
    with opened() as store:
        store.index([document(id, weight, own=str(id)) for id, weight in weights.items()])
        whole = store.search(QUERY, limit=len(weights))
        assert [hit.id for hit in whole] == expected
        for size in (1, 4, 10, 29):
            pages: list[Any] = []
            for offset in range(0, len(weights) + size, size):
                page = list(store.search(QUERY, limit=size, offset=offset))
                assert all(hit.payload == {"own": str(hit.id)} for hit in page)
                assert [hit.score for hit in page] == [weights[hit.id] for hit in page]
                pages += page
            assert [hit.id for hit in pages] == expected
            bare = store.search(QUERY, limit=size, offset=3, with_payload=False)
            assert [hit.id for hit in bare] == expected[3 : 3 + size]
            assert all(hit.payload == {} for hit in bare)


def test_a_filter_leaves_the_order(opened: Opened) -> None:
    with opened() as store:
        store.index([document(f"d{number}", 1.0, odd=number % 2) for number in range(40)])
        condition = {"must": [{"key": "odd", "match": {"value": 1}}]}
        odd = in_order({f"d{number}": 1.0 for number in range(1, 40, 2)})
        found = [
            hit.id
            for offset in range(0, 20, 5)
            for hit in store.search(QUERY, limit=5, offset=offset, filter=condition)
        ]
        assert found == odd


def test_more_than_one_request_is_sent_only_where_a_tie_is_cut(opened: Opened) -> None:
    with opened() as store:
        weights = {f"d{number}": 1.0 + number // 5 for number in range(30)}
        store.index([document(id, weight) for id, weight in weights.items()])
        store.search(QUERY)
        for limit, offset, most in [(10, 0, 1), (5, 5, 1), (30, 0, 1), (40, 20, 1), (7, 0, 3)]:
            with counted(store) as sent:
                store.search(QUERY, limit=limit, offset=offset)
            assert len(sent.purposes) <= most, (limit, offset, sent)


@pytest.mark.parametrize(("most", "limit"), [(10, 10), (12, 10), (64, 10)])
def test_strict_mode_is_never_exceeded(most: int, limit: int) -> None:
    from splade_connectors import connect
    from splade_connectors.testing import HashEncoder

    with QdrantRestFront() as front:
        front.engine.strict_mode = models.StrictModeConfigOutput.model_validate(
            {"enabled": True, "max_query_limit": most}
        )
        with connect(f"qdrant://{front.host}/articles", encoder=HashEncoder()) as store:
            store.index([document(f"d{number}", 1.0) for number in range(30)])
            found = [
                hit.id
                for offset in range(0, 30, limit)
                for hit in store.search(QUERY, limit=limit, offset=offset)
            ]
        asked = [item.body["limit"] for item in front.requests if item.path.endswith("/query")]
    assert len(found) == 30
    assert max(asked) <= most
    if most > 30:
        assert found == in_order(dict.fromkeys(found, 1.0))
