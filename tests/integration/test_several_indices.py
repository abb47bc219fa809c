"""A rollover alias and a data stream: several indices, searched by one name; writes are refused."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Any

import httpx
import numpy as np
import pytest

from splade_connectors import (
    Document,
    RetryOptions,
    Rrf,
    SparseLeg,
    Store,
    TextLeg,
    WriteOptions,
    connect,
)
from splade_connectors.backends.rounding import as_stored
from splade_connectors.documents import Total
from splade_connectors.errors import (
    ConfigurationError,
    NotFound,
    RequestRejected,
    SchemaConflict,
    WriteBlocked,
)
from splade_connectors.filters import Equals
from splade_connectors.testing import HashEncoder
from tests.integration.test_hybrid_cli import TUNING

pytestmark = pytest.mark.servers

FIXTURES = {
    "elasticsearch": "elasticsearch_url",
    "elasticsearch-7.17": "rank_features_url",
    "opensearch": "opensearch_url",
}
WORDS = ("tide", "moon", "salt", "bread", "water", "flour", "wave")
QUERY = "tide and salt water"


def made(start: int, count: int = 20) -> list[Document]:
    """Documents of different lengths, no two of one score."""
    return [
        Document(
            id=f"d{n}",
            text=" ".join([*([WORDS[n % 7]] * (1 + n % 3)), WORDS[(n * 3 + 1) % 7], f"only{n}"]),
            payload={"n": n, "shelf": f"s{n % 4}"},
        )
        for n in range(start, start + count)
    ]


@dataclass
class Place:
    """A server, and what was made on it."""

    url: str
    scheme: str
    names: list[str] = field(default_factory=list)

    def new(self) -> str:
        self.names.append(f"splade-test-{uuid.uuid4().hex}")
        return self.names[-1]

    def open(self, name: str, model: str = "hash", **options: Any) -> Store:
        target = f"{self.url.rstrip('/').replace('http', self.scheme, 1)}/{name}"
        options = {"encoder": HashEncoder(model), "retry": RetryOptions(attempts=1), **options}
        return connect(target, **options)

    def call(self, method: str, path: str, body: Any = None) -> Any:
        answer = httpx.request(
            method, f"{self.url.rstrip('/')}{path}", json=body, trust_env=False, timeout=60
        )
        assert answer.is_success, answer.text
        return answer.json()

    def alias(self, alias: str, names: list[str], write: str | None = None) -> None:
        actions = [
            {"add": {"index": name, "alias": alias, "is_write_index": name == write}}
            for name in names
        ]
        self.call("POST", "/_aliases", {"actions": actions})


@pytest.fixture(params=list(FIXTURES), scope="module")
def place(request: pytest.FixtureRequest) -> Iterator[Place]:
    place = Place(request.getfixturevalue(FIXTURES[request.param]), request.param.split("-")[0])
    yield place
    for name in place.names:
        httpx.delete(f"{place.url.rstrip('/')}/{name}", trust_env=False)


@dataclass
class Rolled:
    """An alias of three indices: two with vectors, and a third that has just been rolled to."""

    place: Place
    alias: str
    names: list[str]
    documents: list[Document]

    def open(self, **options: Any) -> Store:
        return self.place.open(self.alias, **options)

    def scores(self, query: str) -> dict[str, float]:
        """The reference: rounded as stored, added up in numpy."""
        encoder = HashEncoder()
        wanted = encoder.encode_queries([query])[0]
        found = {}
        for document in self.documents:
            vector = as_stored(encoder.encode_documents([document.text])[0], "lucene")
            stored = dict(zip(vector.indices.tolist(), vector.values.tolist(), strict=True))
            pairs = zip(wanted.indices.tolist(), wanted.values.tolist(), strict=True)
            score = float(np.sum([weight * stored.get(index, 0.0) for index, weight in pairs]))
            if score > 0:
                found[str(document.id)] = score
        return found


@pytest.fixture(scope="module")
def kept(place: Place) -> Rolled:
    """For tests that only read."""
    return rolled_to(place)


@pytest.fixture
def rolled(place: Place) -> Rolled:
    return rolled_to(place)


def rolled_to(place: Place) -> Rolled:
    names = [place.new() for _ in range(3)]
    documents = made(0, 40)
    for name, portion in zip(names, (documents[:20], documents[20:]), strict=False):
        with place.open(name) as store:
            store.index(portion)
    place.call("PUT", f"/{names[2]}", {"mappings": {"properties": {"note": {"type": "keyword"}}}})
    place.call("PUT", f"/{names[2]}/_doc/late?refresh=true", {"note": "no vector yet"})
    alias = f"{names[0]}-all"
    place.alias(alias, names, write=names[2])
    return Rolled(place, alias, names, documents)


def test_scores_are_those_of_all_documents(kept: Rolled) -> None:
    wanted = kept.scores(QUERY)
    with kept.open() as store:
        hits = store.search(QUERY, limit=100)
        assert {hit.id: hit.score for hit in hits} == pytest.approx(wanted, rel=1e-5)
        assert [hit.score for hit in hits] == sorted((hit.score for hit in hits), reverse=True)
        assert store.search(QUERY, with_total=True).total == Total(value=len(wanted))
        assert store.count() == len(kept.documents)
        inspected = store.inspect()
        assert inspected.documents == len(kept.documents) + 1
        assert inspected.capabilities.details["indices"] == sorted(kept.names)


def test_filters_groups_terms_and_snippets(kept: Rolled) -> None:
    wanted = kept.scores(QUERY)
    with kept.open() as store:
        of_shelf = store.search(QUERY, limit=100, filter=Equals("shelf", "s1"))
        assert {hit.id for hit in of_shelf} == {id for id in wanted if int(id[1:]) % 4 == 1}
        grouped = store.search(QUERY, group_by="shelf", limit=10)
        best: dict[str, float] = {}
        for id, score in wanted.items():
            shelf = f"s{int(id[1:]) % 4}"
            best[shelf] = max(score, best.get(shelf, 0.0))
        assert {hit.group: hit.score for hit in grouped} == pytest.approx(best, rel=1e-5)
        assert [hit.score for hit in grouped] == sorted(
            (hit.score for hit in grouped), reverse=True
        )
        assert sum(hit.more + 1 for hit in grouped) == len(wanted)
        for hit in store.search(QUERY, limit=5, with_terms=True):
            total = sum(term.contribution for term in hit.terms)
            assert total == pytest.approx(hit.score, rel=1e-2)


def test_documents_are_found_by_their_ids(kept: Rolled) -> None:
    with kept.open() as store:
        ids = ["d33", "d2", "d19"]
        found = store.get(ids, with_vectors=True)
        assert [one.id for one in found] == ids
        assert all(one.vector for one in found)
        assert found[0].payload["n"] == 33
        assert store.known(["d1", "nobody", "d39"]) == ["d1", "d39"]
        with pytest.raises(NotFound, match="nobody"):
            store.get(["nobody"])
        best = store.search(QUERY, limit=1)[0]
        assert store.explain(QUERY, best.id).score == pytest.approx(best.score, rel=1e-2)
        exported = {one.id for one in store.export()}
        assert exported == {str(one.id) for one in kept.documents} | {"late"}


def test_legs_are_fused_over_all_documents(kept: Rolled) -> None:
    wanted = kept.scores(QUERY)
    legs = [SparseLeg(), TextLeg(fields=("text",))]
    with kept.open() as store:
        hits = store.search(QUERY, legs=legs, fusion=Rrf(), limit=40, with_legs=True)
        page = store.search(QUERY, legs=legs, fusion=Rrf(), limit=5)
    found = {hit.id: hit.legs["sparse"] for hit in hits if "sparse" in hit.legs}
    assert {id: leg.score for id, leg in found.items()} == pytest.approx(wanted, rel=1e-5)
    by_rank = [found[id].score for id in sorted(found, key=lambda id: found[id].rank)]
    assert by_rank == sorted(by_rank, reverse=True)
    for hit in hits:
        assert hit.score == pytest.approx(
            sum(1 / (60 + leg.rank) for leg in hit.legs.values()), rel=1e-5
        )
    assert [hit.score for hit in page] == pytest.approx([hit.score for hit in hits[:5]], rel=1e-5)


def test_writes_are_refused_and_name_the_write_index(rolled: Rolled) -> None:
    third = rolled.names[2]
    listed = ", ".join(sorted(rolled.names))
    wanted = (
        rf"{rolled.alias} is an alias of several indices \({listed}\), which can only be searched "
        rf"together; to write, name its write index, {third}$"
    )
    with rolled.open() as store:
        for write in (
            lambda: store.index(made(90, 1)),
            lambda: store.index(made(0, 1), skip_unchanged=True),
            lambda: store.update("d1", text="bread"),
            lambda: store.update("d1", payload={"n": -1}),
            lambda: store.delete(["d1"]),
            lambda: store.attach(["text"]),
            lambda: store.detach(),
            lambda: store.adopt(["text"]),
            lambda: store.save_tuning(replace(TUNING, model="hash")),
        ):
            with pytest.raises(SchemaConflict, match=wanted):
                write()
        assert store.get(["d1"])[0].payload["n"] == 1
        assert store.count() == len(rolled.documents)
    with rolled.place.open(third) as store:
        store.index(made(90, 1), options=WriteOptions(replace=True))
    with rolled.open() as store:
        assert store.known(["d90", "d1"]) == ["d90", "d1"]
        assert "d90" in {hit.id for hit in store.search("only90")}


def test_vectors_of_another_model_are_not_mixed(rolled: Rolled) -> None:
    other = rolled.place.new()
    with rolled.place.open(other, model="second") as store:
        store.index(made(50, 2))
    rolled.place.alias(rolled.alias, [other])
    with rolled.open() as store, pytest.raises(SchemaConflict) as raised:
        store.search(QUERY)
    assert (
        "refers to several indices whose vectors cannot be searched together: its manifest"
        in str(raised.value)
    )
    assert other in str(raised.value)


def test_vectors_that_nobody_vouches_for_are_not_mixed(rolled: Rolled) -> None:
    other = rolled.place.new()
    kind = rolled.place.call("GET", f"/{rolled.names[0]}/_mapping")[rolled.names[0]]["mappings"]
    mapped = {"splade": kind["properties"]["splade"]}
    rolled.place.call("PUT", f"/{other}", {"mappings": {"properties": mapped}})
    rolled.place.alias(rolled.alias, [other])
    with rolled.open() as store, pytest.raises(SchemaConflict, match=rf"absent in {other}"):
        store.search(QUERY)


def test_a_field_that_is_mapped_in_two_ways_is_no_filter(rolled: Rolled) -> None:
    other = rolled.place.new()
    properties = {"shelf": {"type": "integer"}}
    rolled.place.call("PUT", f"/{other}", {"mappings": {"properties": properties}})
    rolled.place.alias(rolled.alias, [other])
    with rolled.open() as store:
        assert [hit.id for hit in store.search(QUERY, filter=Equals("n", 7))] == ["d7"]
        with pytest.raises(ConfigurationError, match=r"'shelf' of .* is mapped differently by"):
            store.search(QUERY, filter=Equals("shelf", "s1"))
        # A query that one of the indices cannot answer is an error, not fewer hits.
        with pytest.raises((RequestRejected, ConfigurationError)):
            store.search(QUERY, group_by="shelf")


def test_a_sub_field_that_one_index_lacks_is_no_filter(rolled: Rolled) -> None:
    """Asked for it, that index would find nothing, and everything when the filter is negated."""
    other = rolled.place.new()
    properties = {"shelf": {"type": "text"}}
    rolled.place.call("PUT", f"/{other}", {"mappings": {"properties": properties}})
    with rolled.place.open(other) as store:
        store.index([Document(id="x", text=QUERY, payload={"shelf": "s1"})])
    rolled.place.alias(rolled.alias, [other])
    with rolled.open() as store:
        for condition in (Equals("shelf", "s1"), ~Equals("shelf", "s1")):
            with pytest.raises(ConfigurationError, match="text without a keyword sub-field"):
                store.search(QUERY, filter=condition)
        with pytest.raises(ConfigurationError, match="group_by needs a keyword field"):
            store.search(QUERY, group_by="shelf")


def test_an_alias_with_a_filter_filters_documents_by_id_too(rolled: Rolled) -> None:
    alias = f"{rolled.names[0]}-some"
    body = {"filter": {"range": {"n": {"lt": 10}}}}
    rolled.place.call("PUT", f"/{rolled.names[0]}/_alias/{alias}", body)
    with rolled.place.open(alias) as store:
        assert store.known(["d3", "d13"]) == ["d3"]
        assert store.get(["d3"], with_vectors=True)[0].vector
        with pytest.raises(NotFound, match="d13"):
            store.get(["d13"])
        assert {hit.id for hit in store.search("only3 only13")} == {"d3"}


def test_hits_of_fewer_shards_are_refused(rolled: Rolled) -> None:
    """A regular expression is refused by the shards that have numbers under the name."""
    other = rolled.place.new()
    rolled.place.call("PUT", f"/{other}", {"mappings": {"properties": {"text": {"type": "long"}}}})
    rolled.place.alias(rolled.alias, [other])
    own = {"regexp": {"text": "tid.*"}}
    with rolled.open() as store, pytest.raises(RequestRejected, match="1 of 4 shards"):
        store.search(QUERY, filter=own)


def test_an_id_in_two_indices_is_ambiguous(rolled: Rolled) -> None:
    with rolled.place.open(rolled.names[1]) as store:
        store.index(made(0, 1))
    with rolled.open() as store:
        assert [hit.id for hit in store.search("only0")].count("d0") == 2
        with pytest.raises(RequestRejected, match="the id 'd0' exists in two of its indices"):
            store.get(["d0"])
        assert store.get(["d1"])[0].payload["n"] == 1


def test_a_closed_index_is_named(rolled: Rolled) -> None:
    rolled.place.call("POST", f"/{rolled.names[1]}/_close")
    with (
        rolled.open() as store,
        pytest.raises(WriteBlocked, match=f"POST /{rolled.names[1]}/_open"),
    ):
        store.search(QUERY)


def test_an_open_store_follows_a_rollover(rolled: Rolled) -> None:
    fourth = rolled.place.new()
    with rolled.open() as store:
        before = {hit.id for hit in store.search(QUERY, limit=100)}
        with rolled.place.open(fourth) as other:
            other.index([Document(id="new", text=QUERY)])
        rolled.place.alias(rolled.alias, [fourth])
        assert {hit.id for hit in store.search(QUERY, limit=100)} == before | {"new"}


def test_a_real_rollover_with_our_mapping_in_the_template(place: Place) -> None:
    """As docs/targets.md says: what the first index maps, later ones map from the start."""
    base = place.new()
    names = [f"{base}-000001", f"{base}-000002"]
    place.names += names
    with place.open(names[0]) as store:
        store.index(made(0, 10))
    mapping = place.call("GET", f"/{names[0]}/_mapping")[names[0]]["mappings"]
    template = {"index_patterns": [f"{base}-*"], "priority": 500, "template": {"mappings": mapping}}
    place.call("PUT", f"/_index_template/{base}", template)
    place.alias(base, names[:1], write=names[0])
    place.call("POST", f"/{base}/_rollover")
    with place.open(names[1]) as store:
        assert store.inspect().manifest
        store.index(made(10, 10))
    with place.open(base) as store:
        assert store.count() == 20
        assert {hit.id for hit in store.search("only3 only13")} == {"d3", "d13"}
        with pytest.raises(SchemaConflict, match=f"name its write index, {names[1]}"):
            store.index(made(20, 1))
    place.call("DELETE", f"/_index_template/{base}")


@pytest.mark.parametrize("place", ["elasticsearch"], indirect=True)
def test_a_data_stream_is_searched(place: Place) -> None:
    """Its indices are attached to one by one. Test builds cannot remove a stream."""
    stream = f"splade-test-stream-{uuid.uuid4().hex}"
    place.call(
        "PUT",
        f"/_index_template/{stream}",
        {"index_patterns": [stream], "data_stream": {}, "priority": 500},
    )
    for round, title in enumerate(("the tide was high", "salt and water")):
        body = {"@timestamp": "2026-01-01T00:00:00Z", "title": title}
        place.call("POST", f"/{stream}/_doc?refresh=true", body)
        if not round:
            with place.open(sorted(place.call("GET", f"/{stream}/_mapping"))[0]) as store:
                store.attach(["title"])
            with place.open(stream) as store:
                assert len(store.search("tide")) == 1
                with pytest.raises(SchemaConflict, match="is a data stream, whose documents"):
                    store.index(made(0, 1))
            place.call("POST", f"/{stream}/_rollover")
    newest = sorted(place.call("GET", f"/{stream}/_mapping"))[1]
    with place.open(newest) as store:
        store.attach(["title"])
    with place.open(stream) as store:
        (hit,) = store.search("salt")
        assert store.get([hit.id])[0].payload["title"] == "salt and water"
        assert len(store.search("tide and salt")) == 2
        with pytest.raises(SchemaConflict, match="is a data stream of several indices"):
            store.delete([hit.id])
