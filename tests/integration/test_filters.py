"""One filter language: the same documents for a condition on every store, also the owner's own."""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date
from pathlib import Path
from typing import Any

import httpx
import pytest
from qdrant_client import QdrantClient

from splade_connectors import Document, Store, connect, filters
from splade_connectors.errors import ConfigurationError
from splade_connectors.filters import AnyOf, Condition, Equals, Exists, Range
from splade_connectors.fusion import SparseLeg
from splade_connectors.testing import HashEncoder, MemoryStore
from splade_connectors.testing.filtering import assert_filters_generated, assert_same_filtering
from splade_connectors.testing.requests import counted
from tests.integration.command_line import Run, target
from tests.integration.qdrant_place import place

SERVERS = {
    "elasticsearch-9.3.2": "elasticsearch_url",
    "elasticsearch-7.17.29": "rank_features_url",
    "opensearch-3.6.0": "opensearch_url",
}
ON_SERVERS = [pytest.param(name, marks=pytest.mark.servers) for name in SERVERS]


@contextmanager
def index_of_owner(url: str, scheme: str, mapping: Any) -> Iterator[str]:
    """The target of an index with this mapping; None leaves it to us to make it."""
    name = f"splade-test-{uuid.uuid4().hex}"
    with httpx.Client(trust_env=False, timeout=60) as client:
        if mapping is not None:
            client.put(f"{url}/{name}", json={"mappings": mapping}).raise_for_status()
        yield f"{url.replace('http', scheme, 1)}/{name}"
        client.delete(f"{url}/{name}").raise_for_status()


@contextmanager
def opened(name: str, request: pytest.FixtureRequest, mapping: Any = None) -> Iterator[Store]:
    """An empty store at a place."""
    if name == "memory":
        yield MemoryStore(HashEncoder())
    elif name == "edge":
        folder = request.getfixturevalue("tmp_path") / "shard"
        with connect(f"edge:{folder}", encoder=HashEncoder()) as store:
            yield store
    elif name == "local":
        yield connect(QdrantClient(":memory:"), "points", encoder=HashEncoder())
    else:
        url = request.getfixturevalue(SERVERS[name]).rstrip("/")
        scheme = name.partition("-")[0]
        with (
            index_of_owner(url, scheme, mapping) as there,
            connect(there, encoder=HashEncoder()) as store,
        ):
            yield store


@pytest.mark.full("500 generated conditions for each store, other ones in every run")
@pytest.mark.parametrize("name", ["memory", "edge", "local", *ON_SERVERS])
def test_500_conditions_are_equal_to_the_reference(
    name: str, request: pytest.FixtureRequest
) -> None:
    with opened(name, request) as store:
        assert_filters_generated(store, rounds=20, at_once=25, same=False)


@pytest.mark.parametrize("way", ["rest-sync", "rest-async", "grpc-sync", "grpc-async"])
async def test_conditions_over_the_wire(way: str) -> None:
    conditions = [
        Equals("n", 5),
        AnyOf("lang", ["en", "de"]),
        AnyOf("lang", []),
        Equals("ok", True),
        Range("when", gte=date(2024, 2, 29), lt="2024-03-01T00:00:00.5Z"),
        Range("n", gt=-1, lte=5.5),
        ~Exists("lang"),
        Exists("people.name") | Equals("people.name", ""),
    ]
    payloads: list[dict[str, Any]] = [
        {"n": 5, "lang": "en", "ok": True},
        {"n": 5.0, "when": "2024-02-29T12:00:00.123456Z"},
        {"n": [6, -2], "lang": [None], "ok": False, "when": "2024-03-01T00:00:00.499Z"},
        {"people": [{"name": None}, {"name": "Ada"}], "when": "2024-03-01T00:00:00.500Z"},
        {"people": {"name": ""}, "lang": ["fr", "de"], "n": 2**53},
    ]
    with place(way) as there:
        async with there.opened(encoder=HashEncoder()) as store:
            await store.index(
                Document(id=at, text="water", payload=payload)
                for at, payload in enumerate(payloads)
            )
            for condition in conditions:
                hits = await store.search("water", filter=condition)
                wanted = [n for n, one in enumerate(payloads) if filters.matches(condition, one)]
                assert sorted(hit.id for hit in hits) == wanted, condition


# Every kind of field that answers in a way of its own.
OWNED = {
    "properties": {
        "title": {"type": "text"},
        "code": {"type": "keyword", "ignore_above": 8},
        "size": {"type": "byte"},
        "ratio": {"type": "float"},
        "serial": {"type": "integer", "ignore_malformed": True},
        "day": {"type": "date", "format": "yyyy-MM-dd"},
        "nanos": {"type": "date_nanos"},
        "people": {
            "type": "nested",
            "properties": {"name": {"type": "keyword"}, "age": {"type": "short"}},
        },
        "renamed": {"type": "alias", "path": "code"},
        "closed": {"dynamic": False, "properties": {"known": {"type": "keyword"}}},
    }
}
OWNERS: list[dict[str, Any]] = [
    {"code": "a", "size": 5, "ratio": 0.5, "day": "2024-02-29", "closed": {"known": "x"}},
    {"code": "longer than eight", "size": -128, "nanos": "2024-02-29T00:00:00.000999Z"},
    {"code": ["b", "a"], "people": [{"name": "Ada", "age": 36}, {"name": "Bob"}], "ratio": -0.0},
    {"code": None, "people": {"name": None, "age": 20}, "serial": "no number"},
    {"size": [1, 127], "nanos": "2024-02-28T23:59:59.999Z", "day": "1969-12-31"},
    {"closed": {"known": None}, "people": [], "serial": 7},
]
ASKED: list[Condition] = [
    Equals("code", "a"),
    AnyOf("code", ["b", "z"]),
    Exists("code"),
    ~Exists("code"),
    Exists("serial"),
    Equals("serial", 7),
    Equals("size", 127),
    Equals("size", 300),
    Range("size", gte=-1000, lt=1000),
    Range("size", gt=126.5),
    Range("ratio", gte=0, lt=1e300),
    Equals("ratio", 0),
    Equals("day", date(2024, 2, 29)),
    Range("day", lt=date(1970, 1, 1)),
    Range("nanos", lt=date(1960, 1, 1)),
    Range("nanos", gt=date(1960, 1, 1)),
    Equals("nanos", date(2024, 2, 29)),
    Range("nanos", lt=date(2024, 2, 29)),
    Equals("people.name", "Ada") & Range("people.age", gt=30),
    ~Equals("people.name", "Ada"),
    Exists("people.name"),
    Exists("people.age"),
    Equals("closed.known", "x"),
    Equals("nowhere", True),
]


# Whose index does not have the values that documents have.
CHANGED = {
    "properties": {
        "title": {"type": "text"},
        "lower": {"type": "keyword", "normalizer": "lowercase"},
        "beside": {
            "type": "keyword",
            "normalizer": "lowercase",
            "fields": {"raw": {"type": "keyword"}},
        },
        "filled": {"type": "keyword", "null_value": "NULL"},
        "count": {"type": "integer", "null_value": 0},
        "dark": {"type": "keyword", "index": False, "doc_values": False},
        "net": {"type": "ip"},
    }
}
VALUES: list[dict[str, Any]] = [
    {"lower": "EN", "beside": "EN", "filled": None, "count": None, "dark": "en", "net": "::1"},
    {"lower": "en", "beside": "en", "filled": "a", "count": 0, "dark": None, "net": "10.0.0.1"},
]
REFUSED: list[tuple[Condition, str]] = [
    (Equals("lower", "EN"), "keyword with a normalizer without a keyword sub-field"),
    (AnyOf("lower", ["en", "de"]), "keyword with a normalizer without a keyword sub-field"),
    (Exists("filled"), r"indexed as 'NULL' if it is null \(null_value\)"),
    (Equals("filled", "NULL"), "indexed as 'NULL' if it is null"),
    (Equals("count", 0), "indexed as 0 if it is null"),
    (~Range("count", lt=1), "indexed as 0 if it is null"),
    (Equals("dark", "en"), r"not searchable \(index and doc_values: false\)"),
    (~Exists("dark"), "not searchable"),
    (Equals("net", "10.0.0.1"), "ip, which conditions do not compare"),
]


@pytest.mark.parametrize("name", ON_SERVERS)
def test_values_that_a_mapping_changes_are_refused(
    name: str, request: pytest.FixtureRequest
) -> None:
    with opened(name, request, CHANGED) as store:
        asked = [Equals("beside", "EN"), Equals("filled", "a"), Exists("lower"), Exists("net")]
        assert_same_filtering(store, VALUES, asked)
        for condition, wanted in REFUSED:
            with pytest.raises(ConfigurationError, match=wanted):
                store.search("water", filter=condition)


def _existing(condition: Condition) -> set[str]:
    """The paths whose existence it asks for."""
    match condition:
        case Exists(path=path) | filters.Not(condition=Exists(path=path)):
            return {path}
    return set()


@pytest.mark.parametrize("name", ON_SERVERS)
def test_fields_that_their_owner_has_mapped(name: str, request: pytest.FixtureRequest) -> None:
    with opened(name, request, OWNED) as store:
        tells_long = not name.startswith("opensearch")
        asked = [one for one in ASKED if tells_long or "code" not in _existing(one)]
        assert_same_filtering(store, OWNERS, asked)
        if not tells_long:
            with pytest.raises(ConfigurationError, match=r"'code' of .* documents have a lon"):
                store.search("water", filter=Exists("code"))
        hits = store.search("water", filter=Equals("renamed", "a"))
        assert {hit.id for hit in hits} == {"0", "2"}
        with pytest.raises(ConfigurationError, match=r"'title' of .* without a keyword sub-field"):
            store.search("water", filter=Equals("title", "water"))
        with pytest.raises(ConfigurationError, match=r"'closed.unknown' .* kept out of the index"):
            store.search("water", filter=Equals("closed.unknown", "x"))


@pytest.mark.parametrize("name", ON_SERVERS)
def test_a_field_that_came_since_the_last_look_is_found(
    name: str, request: pytest.FixtureRequest
) -> None:
    with opened(name, request) as store:
        store.index([Document(id="1", text="water")])
        assert not store.search("water", filter=Equals("new.field", 0.0))
        store.index([Document(id="2", text="water", payload={"new": {"field": -0.0}})])
        with counted(store) as sent:
            assert [hit.id for hit in store.search("water", filter=Equals("new.field", 0.0))] == [
                "2"
            ]
        assert len(sent.purposes) == 2, sent
        with counted(store) as sent:
            assert store.search("water", filter=~Equals("new.field", 0.0))[0].id == "1"
        assert len(sent.purposes) == 1, sent


@pytest.mark.parametrize("name", ["edge", *ON_SERVERS])
def test_every_leg_of_a_hybrid_search_is_filtered(
    name: str, request: pytest.FixtureRequest
) -> None:
    english = Equals("lang", "en")
    with opened(name, request) as store:
        store.index(
            Document(id=str(n), text="water", payload={"lang": lang, "n": n})
            for n, lang in enumerate(["en", "de", "en", "de"])
        )
        legs = [SparseLeg(filter=Range("n", gte=1)), SparseLeg(name="again")]
        for path in ("auto", "client"):
            hits = store.search("water", legs=legs, filter=english, path=path)
            assert {hit.id for hit in hits} == {"0", "2"}
            assert hits[0].id == "2"


def test_a_condition_on_the_command_line(run: Run, tmp_path: Path) -> None:
    with connect(target(tmp_path)) as store:
        store.index(
            Document(id=str(n), text="water", payload={"lang": lang, "day": f"2024-02-2{n}"})
            for n, lang in enumerate(["en", "de", ["fr", "en"]])
        )
    condition = {
        "all": [
            {"equals": {"path": "lang", "value": "en"}},
            {"not": {"range": {"path": "day", "lt": "2024-02-21"}}},
        ]
    }
    line = ["search", target(tmp_path), "water", "--json", "--filter"]
    assert [hit["id"] for hit in run(*line, json.dumps(condition)).json] == ["2"]
    own = {"must": [{"key": "lang", "match": {"value": "de"}}]}
    assert [hit["id"] for hit in run(*line, json.dumps(own)).json] == ["1"]
    refused = run(*line, '{"any_of": {"path": "lang", "values": "en"}}')
    assert refused.code == 2
    assert "'any_of' takes a list of values, not 'en'" in refused.err


@pytest.mark.parametrize("name", ON_SERVERS)
def test_an_index_of_ours_keeps_all_digits_of_fractions(
    name: str, request: pytest.FixtureRequest
) -> None:
    """By themselves these servers would take the first two for one."""
    payloads = [{"n": 16777217.5}, {"n": 16777217.25}, {"n": 16777216.5}]
    with opened(name, request) as store:
        assert_same_filtering(
            store, payloads, [Equals("n", 16777217.5), Range("n", gt=16777217.25)]
        )


@pytest.mark.parametrize("name", ["edge", *ON_SERVERS])
def test_a_field_that_no_document_has_is_named(name: str, request: pytest.FixtureRequest) -> None:
    with opened(name, request) as store:
        store.index([Document(id=1, text="water", payload={"lang": "en"})])
        given = {"any": [{"exists": {"path": "lnag"}}, Equals("lang", "en")]}
        with pytest.raises(ConfigurationError, match="not Equals"):
            store.search("water", filter=given)  # Python's conditions are not JSON's
        given["any"][1] = {"equals": {"path": "lang", "value": "en"}}
        for arguments in ({}, {"legs": [SparseLeg(filter={"not": {"exists": {"path": "lnag"}}})]}):
            hits = store.search("water", filter=given, **arguments)  # type: ignore[arg-type]
            assert [str(hit.id) for hit in hits] == ["1"]
            told = [text for text in hits.plan.warnings if "of the filter" in text]
            known = name == "edge"  # whose payload index does not say what documents have
            assert len(told) == (0 if known else 1)
            assert known or "has the field 'lnag'" in told[0]
        assert not store.search("water", filter=Equals("lang", "en")).plan.warnings
