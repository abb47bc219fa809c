"""Documents with a routing of their own: found by a search, they are found by their id, too."""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import httpx
import pytest

from splade_connectors import Document, Store, WriteOptions, connect
from splade_connectors.errors import ConfigurationError, InvalidDocument, NotFound
from splade_connectors.testing import HashEncoder

pytestmark = pytest.mark.servers

FIXTURES = {
    "elasticsearch": "elasticsearch_url",
    "elasticsearch-7.17": "rank_features_url",
    "opensearch": "opensearch_url",
}
COUNT = 30
IDS = [str(number) for number in range(COUNT)]
JOIN = {"relation": {"type": "join", "relations": {"question": "answer"}}}


@dataclass(frozen=True)
class Index:
    """An index of four shards, most of whose documents do not lie where their id says."""

    client: httpx.Client
    name: str
    target: str

    def open(self, **parameters: str) -> Store:
        return connect(self.target, encoder=HashEncoder(), **parameters)

    def routings(self) -> dict[str, str | None]:
        self.client.post(f"/{self.name}/_refresh")
        hits = self.client.post(f"/{self.name}/_search", json={"size": 1000}).json()["hits"]["hits"]
        assert len({hit["_id"] for hit in hits}) == len(hits), "a document is there twice"
        return {hit["_id"]: hit.get("_routing") for hit in hits}

    def create(self, **mapping: Any) -> None:
        properties = {"title": {"type": "text"}, **mapping.pop("properties", {})}
        body = {
            "mappings": {"properties": properties, **mapping},
            "settings": {"number_of_shards": 4, "number_of_replicas": 0},
        }
        self.client.put(f"/{self.name}", json=body).raise_for_status()

    def fill(self, lines: list[Any]) -> None:
        answer = self.client.post(
            f"/{self.name}/_bulk?refresh=true",
            content="".join(f"{json.dumps(line)}\n" for line in lines),
            headers={"content-type": "application/x-ndjson"},
        )
        assert answer.json()["errors"] is False, answer.text[:500]

    def titles(self) -> dict[str, str]:
        self.client.post(f"/{self.name}/_refresh")
        hits = self.client.post(f"/{self.name}/_search", json={"size": 1000}).json()["hits"]["hits"]
        return {hit["_id"]: hit["_source"]["title"] for hit in hits}


@pytest.fixture(params=list(FIXTURES))
def empty(request: pytest.FixtureRequest) -> Iterator[Index]:
    url = request.getfixturevalue(FIXTURES[request.param])
    scheme = request.param.partition("-")[0]
    name = f"splade-test-{uuid.uuid4().hex}"
    with httpx.Client(base_url=url, trust_env=False, timeout=60) as client:
        yield Index(client, name, f"{url.rstrip('/').replace('http', scheme, 1)}/{name}")
        client.delete(f"/{name}")


@pytest.fixture(params=[True, False], ids=["required", "optional"])
def index(request: pytest.FixtureRequest, empty: Index) -> Index:
    """Routed documents; where routing is optional, some that are not, too."""
    empty.create(_routing={"required": request.param})
    lines: list[Any] = []
    for number, id in enumerate(IDS):
        routing = {"routing": f"r{number % 7}"} if request.param or number % 3 else {}
        lines += [{"index": {"_id": id, **routing}}, {"title": f"tide number {number}"}]
    empty.fill(lines)
    with empty.open() as store:
        store.attach(["title"])
    return empty


def test_what_a_search_finds_is_there(index: Index) -> None:
    with index.open() as store:
        wanted = ["7", *reversed(IDS), "3"]
        assert [found.id for found in store.get(wanted)] == wanted
        assert store.get(["4"])[0].payload["title"] == "tide number 4"
        assert store.get(["4"], with_vectors=True)[0].vector
        assert store.known([*IDS, "nobody"]) == IDS
        for hit in store.search("tide", limit=COUNT):
            assert store.explain("tide", hit.id).score == pytest.approx(hit.score, rel=1e-2)


def test_its_text_is_changed_where_it_lies(index: Index) -> None:
    before = index.titles()
    with index.open() as store:
        store.update("4", text="a mountain")
        assert [hit.id for hit in store.search("mountain")] == ["4"]
        assert store.verify(everything=True, recheck=True).complete
    assert index.titles() == before | {"4": "a mountain"}


def test_it_is_deleted_and_nothing_else_is(index: Index) -> None:
    before = index.titles()
    with index.open() as store:
        store.delete(["3", "4", "nobody", "5"])
        assert index.titles() == {id: before[id] for id in IDS if id not in ("3", "4", "5")}
        store.delete(IDS)
        assert index.titles() == {}


def test_what_is_nowhere_is_said_to_be_absent(index: Index) -> None:
    with index.open() as store:
        with pytest.raises(NotFound, match=r"has no document 'nobody', 'b'$"):
            store.get(["nobody", "4", "b"])
        with pytest.raises(NotFound, match=r"has no document 'nobody'$"):
            store.update("nobody", text="x")
        store.delete(["nobody"])


@pytest.mark.parametrize("empty", ["opensearch"], indirect=True)
def test_children_of_a_join(empty: Index) -> None:
    empty.create(properties=JOIN)
    lines: list[Any] = []
    for number in range(10):
        child = {"name": "answer", "parent": f"q{number}"}
        lines += [
            {"index": {"_id": f"q{number}"}},
            {"title": f"tide {number}", "relation": "question"},
            {"index": {"_id": f"a{number}", "routing": f"q{number}"}},
            {"title": f"moon {number}", "relation": child},
        ]
    empty.fill(lines)
    with empty.open() as store:
        store.attach(["title"])
        store.update("a3", text="bread")
        assert store.get(["a3"])[0].payload["relation"] == {"name": "answer", "parent": "q3"}
        assert store.explain("bread", "a3").score > 0
        of_parent = {"parent_id": {"type": "answer", "id": "q3"}}
        assert [hit.id for hit in store.search("bread", filter=of_parent)] == ["a3"]


def tenants(count: int = COUNT, **changes: Any) -> list[Document]:
    return [
        Document(
            id=str(number),
            text=f"tide number {number}",
            payload={"owner": {"tenant": f"t{number % 5}"}, "rank": number, **changes},
        )
        for number in range(count)
    ]


@pytest.mark.parametrize("required", [True, False], ids=["required", "optional"])
def test_documents_are_routed_by_a_field_of_their_payload(empty: Index, required: bool) -> None:
    empty.create(_routing={"required": required})
    with empty.open(routing="owner.tenant") as store:
        assert store.index(tenants()).written == COUNT
        assert empty.routings() == {str(number): f"t{number % 5}" for number in range(COUNT)}
        assert store.known(IDS) == IDS
        assert len(store.search("tide", limit=100)) == COUNT
        # Indexed again, each is replaced where it is.
        report = store.index(tenants(rank=-1), options=WriteOptions(replace=True))
        assert (report.written, report.replaced, store.count()) == (COUNT, COUNT, COUNT)
        assert store.get(["7"])[0].payload["rank"] == -1
        store.update("7", payload={"rank": 7})
        store.delete(["7", "8"])
    assert empty.routings().keys() == {*IDS} - {"7", "8"}


def test_an_unchanged_night_of_routed_documents_sends_nothing(empty: Index) -> None:
    empty.create(_routing={"required": True})
    options = WriteOptions(skip_unchanged=True, delete_missing=True, replace=True, most_deleted=1)
    with empty.open(routing="owner.tenant") as store:
        assert store.index(tenants(), options=options).written == COUNT
        night = store.index(tenants(), options=options)
        assert (night.written, night.unchanged, night.encoded) == (0, COUNT, 0)
        fewer = store.index(tenants(COUNT - 3), options=options)
        assert (fewer.unchanged, fewer.deleted) == (COUNT - 3, 3)
    assert empty.routings().keys() == {*IDS[: COUNT - 3]}


class Lengths:
    """A dense model that counts the texts it is given."""

    name = "lengths"

    def __init__(self) -> None:
        self.texts: list[str] = []

    def documents(self, texts: Sequence[str]) -> list[list[float]]:
        self.texts += texts
        return [[float(len(text)), 1.0] for text in texts]


@pytest.mark.parametrize("empty", ["elasticsearch"], indirect=True)
def test_a_changed_payload_keeps_the_dense_vector_of_a_routed_document(empty: Index) -> None:
    empty.create(properties={"dense": {"type": "dense_vector", "dims": 2}})
    options = WriteOptions(skip_unchanged=True, replace=True)
    with empty.open(routing="owner.tenant") as store:
        store.index(tenants(10), options=options, dense=Lengths())
        again = Lengths()
        report = store.index(tenants(10, rank=-1), options=options, dense=again)
        assert (report.written, report.encoded, report.rejected_count) == (10, 0, 0)
        assert again.texts == []
        assert {document.payload["rank"] for document in store.export()} == {-1}


def test_a_document_whose_routing_changed_is_not_stored_twice(empty: Index) -> None:
    empty.create()
    with empty.open(routing="owner.tenant") as store:
        store.index(tenants(10))
        moved = tenants(3, owner={"tenant": "elsewhere"})
        report = store.index([*moved, *tenants(5)[3:]], options=WriteOptions(replace=True))
        assert (report.written, report.rejected_count) == (2, 3)
        assert "is stored under another routing" in report.rejected[0].reason
        assert empty.routings()["0"] == "t0"
        store.delete(["0", "1", "2"])
        assert store.index(moved, options=WriteOptions(replace=True)).written == 3
    assert empty.routings()["0"] == "elsewhere"


def test_an_update_does_not_change_the_routing(empty: Index) -> None:
    empty.create()
    with empty.open(routing="owner.tenant") as store:
        store.index(tenants(5))
        for owner in ({"tenant": "elsewhere"}, None):
            with pytest.raises(InvalidDocument, match="by which the document '1' is routed"):
                store.update("1", payload={"owner": owner})
        store.update("1", payload={"owner": {"tenant": "t1", "since": 2020}, "rank": 7})
        store.update("1", payload={"owner": {"since": 2021}})
        assert store.get(["1"])[0].payload["owner"] == {"tenant": "t1", "since": 2021}


def test_what_has_no_usable_routing_is_rejected_before_encoding(empty: Index) -> None:
    empty.create(_routing={"required": True})
    owners: list[Any] = [{"tenant": value} for value in (None, "", 1.5, True, ["a", "b"], {"x": 1})]
    with empty.open(routing="owner.tenant") as store:
        documents = [
            Document(id=f"x{number}", text="tide", payload={"owner": owner})
            for number, owner in enumerate([*owners, {"tenant": 42}, {}])
        ]
        report = store.index(documents)
        assert (report.written, report.encoded, report.rejected_count) == (1, 1, 7)
        reasons = {rejected.reason for rejected in report.rejected}
        assert any("requires a routing" in reason for reason in reasons)
        assert any("neither text nor a whole number" in reason for reason in reasons)
        assert any("is several values" in reason for reason in reasons)
    assert empty.routings() == {"x6": "42"}


def test_an_index_that_requires_a_routing_says_how_it_is_named(empty: Index) -> None:
    empty.create(_routing={"required": True})
    with empty.open() as store, pytest.raises(ConfigurationError, match=r"\?routing=FIELD"):
        store.index(tenants(1))
    assert empty.routings() == {}


@pytest.mark.parametrize("empty", ["opensearch"], indirect=True)
def test_children_of_a_join_are_indexed(empty: Index) -> None:
    empty.create(properties=JOIN)
    documents = []
    for number in range(6):
        relation = {"name": "answer", "parent": f"q{number}"}
        documents += [
            Document(id=f"q{number}", text=f"tide {number}", payload={"relation": "question"}),
            Document(id=f"a{number}", text=f"moon {number}", payload={"relation": relation}),
        ]
    with empty.open(routing="relation.parent") as store:
        assert store.index(documents, options=WriteOptions(replace=True)).written == 12
        of_parent = {"parent_id": {"type": "answer", "id": "q3"}}
        assert [hit.id for hit in store.search("moon", filter=of_parent)] == ["a3"]
    assert empty.routings()["a3"] == "q3"
    assert empty.routings()["q3"] is None
