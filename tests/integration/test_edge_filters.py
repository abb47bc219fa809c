"""Filters in the embedded engine: Qdrant's JSON, with the meaning it has elsewhere."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date
from pathlib import Path
from typing import Any

import pytest
from qdrant_client import QdrantClient, models

from splade_connectors import Document, Store, connect
from splade_connectors.errors import ConfigurationError, RequestRejected
from splade_connectors.filters import Range
from splade_connectors.testing import HashEncoder

PLACES = {
    1: {"lat": 52.52, "lon": 13.40},
    2: {"lat": 48.85, "lon": 2.35},
    3: {"lat": 40.71, "lon": -74.0},
}
PAYLOADS: dict[int, dict[str, Any]] = {
    1: {"lang": "en", "n": 1, "price": 0.5, "tags": ["a", "b"], "when": "2024-01-01T00:00:00Z"},
    2: {"lang": "de", "n": 2, "price": 1.5, "tags": ["b"], "when": "2024-06-01T00:00:00Z"},
    3: {"lang": "en", "n": 3, "price": 2.5, "tags": [], "when": "2025-01-01T00:00:00Z"},
    4: {"lang": "fr", "n": 4, "price": 3.5, "tags": None, "body": "fresh water from a deep well"},
    5: {"n": 5, "people": [{"name": "Ada", "age": 36}, {"name": "Bob", "age": 20}], "ok": True},
    6: {"n": 6, "people": [{"name": "Ada", "age": 20}], "body": "well water", "ok": False},
    7: {"nested": {"deep": "x"}, "lang": ""},
}
PAYLOADS = {id: payload | {"place": PLACES.get(id)} for id, payload in PAYLOADS.items()}

SQUARE = [(0, 40), (20, 40), (20, 60), (0, 60), (0, 40)]
HOLE = [(10, 50), (15, 50), (15, 55), (10, 55), (10, 50)]


def ring(corners: list[tuple[int, int]]) -> dict[str, Any]:
    return {"points": [{"lon": lon, "lat": lat} for lon, lat in corners]}


def match(key: str, value: Any, kind: str = "value") -> dict[str, Any]:
    return {"key": key, "match": {kind: value}}


EN = match("lang", "en")
FILTERS: dict[str, dict[str, Any]] = {
    "text": {"must": [EN]},
    "empty text": {"must": [match("lang", "")]},
    "integer": {"must": [match("n", 3)]},
    "boolean": {"must": [match("ok", False)]},
    "in a list": {"must": [match("tags", "b")]},
    "nested key": {"must": [match("nested.deep", "x")]},
    "key in a list": {"must": [match("people[].name", "Ada")]},
    "any": {"must": [match("lang", ["en", "fr"], "any")]},
    "any integer": {"must": [match("n", [1, 6], "any")]},
    "none of": {"must": [match("lang", ["en"], "except")]},
    "full text": {"must": [match("body", "water", "text")]},
    "range": {"must": [{"key": "price", "range": {"gte": 1.5, "lt": 3.5}}]},
    "range of integers": {"must": [{"key": "n", "range": {"gt": 2, "lte": 5}}]},
    "range with nulls": {"must": [{"key": "n", "range": {"gt": 2, "lt": None}}]},
    "dates": {
        "must": [{"key": "when", "range": {"gte": "2024-03-01T00:00:00Z", "lt": "2025-01-01"}}]
    },
    "date": {"must": [{"key": "when", "range": {"gt": "2024-06-01"}}]},
    "count": {"must": [{"key": "tags", "values_count": {"gte": 2}}]},
    "count of few": {"must": [{"key": "people", "values_count": {"lt": 2, "gt": 0}}]},
    "empty": {"must": [{"is_empty": {"key": "tags"}}]},
    "null": {"must": [{"is_null": {"key": "tags"}}]},
    "id": {"must": [{"has_id": [1, 5, 99]}]},
    "no id": {"must_not": [{"has_id": [1, 5]}]},
    "vector": {"must": [{"has_vector": "splade"}]},
    "radius": {
        "must": [
            {
                "key": "place",
                "geo_radius": {"center": {"lat": 50, "lon": 8}, "radius": 500_000.0},
            }
        ]
    },
    "box": {
        "must": [
            {
                "key": "place",
                "geo_bounding_box": {
                    "top_left": {"lat": 60, "lon": 0},
                    "bottom_right": {"lat": 50, "lon": 20},
                },
            }
        ]
    },
    "polygon": {"must": [{"key": "place", "geo_polygon": {"exterior": ring(SQUARE)}}]},
    "polygon with a hole": {
        "must": [
            {"key": "place", "geo_polygon": {"exterior": ring(SQUARE), "interiors": [ring(HOLE)]}}
        ]
    },
    "in one element": {
        "must": [
            {
                "nested": {
                    "key": "people",
                    "filter": {"must": [match("name", "Ada"), {"key": "age", "range": {"lt": 30}}]},
                }
            }
        ]
    },
    "all": {"must": [EN, {"key": "n", "range": {"gt": 1}}]},
    "one of": {"should": [EN, match("n", 5)]},
    "none": {"must_not": [EN, match("n", 5)]},
    "together": {
        "must": [{"key": "n", "range": {"lt": 5}}],
        "should": [EN],
        "must_not": [match("n", 1)],
    },
    "inside": {"must": [{"should": [EN, {"must_not": [{"key": "n", "range": {"gte": 0}}]}]}]},
    "some of": {
        "min_should": {
            "conditions": [EN, match("n", 1), match("n", 2), match("tags", "b")],
            "min_count": 2,
        }
    },
    "some of, inside": {
        "must": [{"min_should": {"conditions": [EN, match("tags", "b")], "min_count": 2}}]
    },
    "one condition alone": {"must": EN},
    "nothing asked": {},
    "nobody": {"must": [match("lang", "xx")]},
}


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Store, Store]]:
    """The same points in the embedded engine and in qdrant-client's local mode."""
    client = QdrantClient(":memory:")
    stores = (
        connect(f"edge:{tmp_path_factory.mktemp('filters')}/shard", encoder=HashEncoder()),
        connect(client, "points", encoder=HashEncoder()),
    )
    for store in stores:
        store.index(
            Document(id=id, text=f"water {id}", payload=payload) for id, payload in PAYLOADS.items()
        )
    yield stores
    stores[0].close()
    client.close()


def found(store: Store, condition: Any) -> dict[Any, float]:
    return {
        hit.id: round(hit.score, 5) for hit in store.search("water", filter=condition, limit=99)
    }


@pytest.mark.parametrize("name", FILTERS)
def test_a_filter_means_in_the_engine_what_it_means_to_the_client(
    pair: tuple[Store, Store], name: str
) -> None:
    condition = FILTERS[name]
    embedded, local = pair
    assert found(embedded, condition) == found(local, condition)


def test_the_filters_tell_documents_apart(pair: tuple[Store, Store]) -> None:
    everything, nothing = {"vector", "nothing asked"}, {"nobody"}
    for name, condition in FILTERS.items():
        count = len(found(pair[0], condition))
        assert (count == len(PAYLOADS)) == (name in everything), name
        assert (count == 0) == (name in nothing), name


@pytest.mark.parametrize("name", sorted(set(FILTERS) - {"one condition alone"}))
def test_a_filter_may_be_an_object_of_the_client(pair: tuple[Store, Store], name: str) -> None:
    condition = models.Filter.model_validate(FILTERS[name])
    assert found(pair[0], condition) == found(pair[0], FILTERS[name])


@pytest.mark.parametrize(
    ("condition", "sentence"),
    [
        (
            "lang = en",
            "a models.Filter or its JSON, not str",
        ),
        (
            [EN],
            "a models.Filter or its JSON, not list",
        ),
        (
            {"term": {"lang": "en"}},
            "takes must, should, must_not or min_should, not 'term'; for ex",
        ),
        ({"must": ["lang"]}, "not a Qdrant condition: 'lang'"),
        ({"must": 5}, "not a Qdrant condition: 5"),
        ({"must": [{}]}, "not a Qdrant condition: {}"),
        ({"must": [{"match": {"value": 1}}]}, "not a Qdrant condition"),
        ({"must": [{"key": "lang"}]}, "the filter condition on 'lang' has no test; it takes"),
        ({"must": [{"key": "lang", "matches": 1}]}, "condition on 'lang' has matches; it takes"),
        (
            {"must": [{"key": "lang", "match": {}}]},
            "a match condition takes one of value, any, exc",
        ),
        ({"must": [{"key": "lang", "match": {"is": 1}}]}, "one of value, .*, not is"),
        ({"must": [{"key": "lang", "match": 5}]}, "not a Qdrant condition: .*'match': 5"),
        (
            {"must": [{"key": "n", "range": {"above": 5}}]},
            "not a Qdrant condition: .*'above'",
        ),
        ({"must": [{"key": "p", "geo_radius": {"radius": 1}}]}, r"not a .* \('center'\)"),
        ({"must": [{"nested": {"key": "p", "filter": 5}}]}, "not a Qdrant filter: 5"),
        ({"min_should": {"conditions": [EN]}}, "min_should takes conditions and min_count"),
    ],
)
def test_what_is_no_filter_is_refused_with_a_sentence(
    pair: tuple[Store, Store], condition: Any, sentence: str
) -> None:
    with pytest.raises(ConfigurationError, match=sentence):
        pair[0].search("water", filter=condition)


def test_a_date_that_is_none_is_refused(pair: tuple[Store, Store]) -> None:
    condition = {"must": [{"key": "when", "range": {"gt": "tomorrow"}}]}
    with pytest.raises((ConfigurationError, RequestRejected), match="date"):
        pair[0].search("water", filter=condition)


def test_a_range_may_begin_with_1970(tmp_path: Path) -> None:
    """Its first millisecond is 0, which is a bound like any other."""
    days = {"before": "1969-12-31", "first": "1970-01-01", "later": "2024-02-29"}
    with connect(f"edge:{tmp_path / 'shard'}", encoder=HashEncoder()) as store:
        store.index(
            [Document(id=id, text="salt", payload={"day": day}) for id, day in days.items()]
        )
        after = Range("day", gt=date(1969, 12, 31))
        assert {hit.id for hit in store.search("salt", filter=after)} == {"first", "later"}
        assert {hit.id for hit in store.search("salt", filter=~after)} == {"before"}
