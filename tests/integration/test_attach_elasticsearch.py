"""Attaching to an index that its owner made: everything gets its vector, nothing else changes."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import httpx
import pytest

from splade_connectors import AttachOptions, EncodeStats, Store, WriteOptions
from splade_connectors.cli.attach import print_remedy
from splade_connectors.errors import AttachRefused, NotFound, SchemaConflict, WriteBlocked
from splade_connectors.options import OnProgress, PruneOptions
from splade_connectors.testing import HashEncoder, assert_same_ranking, exact_scores
from splade_connectors.vectors import SparseBatch, SparseVector
from tests.integration.elasticsearch_server import BOTH_KINDS, Server, server_of
from tests.servers.elasticsearch import ElasticsearchServer

pytestmark = pytest.mark.servers

FIELDS = ("title", "author.bio", "parts.text")
WORDS = ("water", "salt", "flour", "time", "mountain", "apple", "cat", "moon", "bread", "tide")
COUNT = 300


def source(number: int) -> dict[str, Any]:
    """A document of the owner, with what owners have."""
    word, other = WORDS[number % 10], WORDS[number // 10 % 10]
    return {
        "title": f"{word} and {other} {number}",
        "author": {"name": "Ada", "bio": [f"likes {word}", "and the sea"]},
        "parts": [{"text": f"part {other}"}, {"text": "the end"}],
        "price": number / 7,
        "big": 2**53 + number,
        "nothing": None,
        "tags": ["ä", "漢字", ""],
    }


def text(number: int) -> str:
    found = source(number)
    return " ".join([found["title"], *found["author"]["bio"], *(p["text"] for p in found["parts"])])


class Owner:
    """The owner of an index, who writes to it by hand."""

    def __init__(self, server: Server, shards: int = 1, **mapping: Any) -> None:
        self.server = server
        self.name = server.new_name()
        properties = {"title": {"type": "text"}} | mapping.pop("properties", {})
        settings = {"number_of_shards": shards, "number_of_replicas": 0}
        body = {"mappings": {"_meta": {"team": "search"}, "properties": properties, **mapping}}
        server.call("PUT", f"/{self.name}", {**body, "settings": settings})

    def fill(self, count: int = COUNT, **more: Any) -> None:
        lines = []
        for number in range(count):
            action: dict[str, Any] = {"_id": str(number)}
            if number % 7 == 0:
                action["routing"] = "somewhere else"
            lines += [{"index": action}, {**source(number), **more}]
        self.bulk([*lines, {"index": {"_id": "no text"}}, {"year": 2024}])

    def bulk(self, lines: Sequence[Any]) -> None:
        content = "".join(f"{json.dumps(line)}\n" for line in lines)
        url = f"{self.server.url}/{self.name}/_bulk?refresh=true"
        headers = {"content-type": "application/x-ndjson"}
        answer = httpx.post(url, content=content, headers=headers, trust_env=False, timeout=60)
        assert answer.is_success, answer.text
        assert not answer.json()["errors"], answer.text[:500]

    def rest(self) -> dict[str, Any]:
        """All documents, without what is ours."""
        ours = ("splade", "splade_marker")
        return {
            id: {name: value for name, value in found.items() if name not in ours}
            for id, found in self.server.sources(self.name).items()
        }

    def store(self, encoder: HashEncoder | None = None, **more: Any) -> Any:
        return self.server.store(self.name, encoder, **more)


@pytest.fixture(params=BOTH_KINDS)
def server(request: pytest.FixtureRequest) -> Iterator[Server]:
    with server_of(request.param, request) as found:
        yield found


@pytest.fixture
def newest(request: pytest.FixtureRequest) -> Iterator[Server]:
    with server_of("9.3.2", request) as found:
        yield found


def assert_attached(store: Store, numbers: Sequence[int] = range(COUNT)) -> None:
    """Scores of the documents are the dot products with the vectors of their texts."""
    encoder = HashEncoder()
    vectors = encoder.encode_documents([text(number) for number in numbers])
    for query in ("water and salt", "the moon", "apple bread"):
        exact = exact_scores(encoder.encode_queries([query])[0], vectors, "lucene")
        wanted = dict(zip(map(str, numbers), exact.tolist(), strict=True))
        hits = store.search(query, limit=50, with_payload=False)
        assert_same_ranking([(str(hit.id), hit.score) for hit in hits], wanted, limit=50)


@pytest.mark.parametrize("shards", [1, 3])
def test_every_document_gets_its_vector_and_nothing_else_changes(
    server: Server, shards: int
) -> None:
    owner = Owner(server, shards)
    owner.fill()
    before = owner.rest()
    small = AttachOptions(write=WriteOptions(portion_documents=64, chunk_documents=20))
    with owner.store() as store:
        report = store.attach(FIELDS, options=small)
        assert (report.attached, report.empty, report.rejected_count) == (COUNT + 1, 1, 0)
        assert report.encoded == COUNT
        assert report.verification is not None
        assert report.verification.complete
        assert report.verification.compared == 100
        assert_attached(store)
        assert store.count() == COUNT + 1
    assert owner.rest() == before
    assert server.mapping(owner.name)["_meta"]["team"] == "search"


def test_attaching_again_reads_and_writes_nothing(server: Server) -> None:
    owner = Owner(server)
    owner.fill()
    with owner.store() as store:
        store.attach(FIELDS)
        again = store.attach()
        assert (again.attached, again.unchanged, again.encoded) == (0, COUNT + 1, 0)


def test_a_dry_run_says_everything_and_writes_nothing(server: Server) -> None:
    owner = Owner(server)
    owner.fill(20)
    before = (server.mapping(owner.name), server.sources(owner.name))
    with owner.store() as store:
        plan = store.plan_attach(FIELDS)
    assert (plan.documents, plan.to_do, plan.refusals) == (21, 21, ())
    assert set(FIELDS) <= set(plan.present)
    assert any("'splade'" in change for change in plan.changes)
    assert plan.seconds is not None
    assert plan.bytes > 0
    assert (server.mapping(owner.name), server.sources(owner.name)) == before


def test_numbers_that_an_update_respells_are_named(server: Server) -> None:
    owner = Owner(server)
    url = f"{server.url}/{owner.name}/_doc/1?refresh=true"
    content = '{"title": "x", "price": 1.10, "list": [{"e": 1e2}], "same": 0.25, "whole": 7}'
    headers = {"content-type": "application/json"}
    assert httpx.put(url, content=content, headers=headers, trust_env=False).is_success
    with owner.store() as store:
        (note,) = [note for note in store.plan_attach(["title"]).notes if "number" in note]
        assert "price: 1.10 -> 1.1 " in note
        assert "list.e: 1e2 -> 100.0 " in note
        assert "same:" not in note
        before = owner.rest()
        store.attach(["title"])
    assert owner.rest() == before


def test_an_edited_text_gets_its_new_vector_and_a_new_document_too(server: Server) -> None:
    owner = Owner(server)
    owner.fill(40)
    with owner.store() as store:
        store.attach(FIELDS)
        change = {"doc": {"title": "cat", "author": {"bio": []}, "parts": []}}
        server.call("POST", f"/{owner.name}/_update/1?refresh=true", change)
        server.call("PUT", f"/{owner.name}/_doc/new?refresh=true", {"title": "cat"})
        looked = store.verify(everything=True)
        assert (looked.different, looked.missing, looked.complete) == (["1"], 1, False)
        again = store.attach()
        assert (again.attached, again.unchanged) == (2, 40)
        fresh = HashEncoder().encode_documents(["cat"])[0]
        for id in ("1", "new"):
            vector = store.get([id], with_vectors=True)[0].vector
            assert vector is not None
            assert vector.indices.tolist() == fresh.indices.tolist()
        assert store.verify(everything=True, recheck=True).complete


def rewrite(server: Server, owner: Owner, ids: Sequence[str]) -> None:
    """As an application does that reads `_source`, changes a field, and writes it back."""
    for id in ids:
        routing = "?routing=somewhere%20else" if id.isdigit() and int(id) % 7 == 0 else ""
        found = server.call("GET", f"/{owner.name}/_doc/{id}{routing}")["_source"]
        found.pop("splade", None)  # before 9.2 the server shows it
        assert "splade_marker" in found
        server.call("PUT", f"/{owner.name}/_doc/{id}{routing}", found | {"price": -1})
    server.call("POST", f"/{owner.name}/_refresh")


def robbed(server: Server) -> tuple[Owner, list[str]]:
    """Attached to 40 documents, of which 20 have lost their vectors since: the owner, their ids."""
    owner = Owner(server)
    owner.fill(40)
    lost = [str(number) for number in range(0, 40, 2)]
    with owner.store() as store:
        store.attach(FIELDS)
    rewrite(server, owner, [*lost, "no text"])
    return owner, lost


def test_vectors_lost_by_a_rewritten_source_come_back(
    newest: Server, capsys: pytest.CaptureFixture[str]
) -> None:
    owner, lost = robbed(newest)
    with owner.store() as store:
        assert store.count() == 21
        looked = store.verify(everything=True)
        assert (looked.missing, looked.lost, looked.different_count) == (20, 0, 0)
        print_remedy(looked, "TARGET")
        assert capsys.readouterr().err == "to fix it: splade-connectors attach TARGET\n"
        assert store.verify().missing == 20
        assert store.plan_attach().to_do == 20
        again = store.attach()
        assert (again.attached, again.encoded, again.unchanged) == (20, 20, 21)
        assert_attached(store, range(40))
        assert store.verify(everything=True, recheck=True).complete
        assert store.count() == 41
    found = owner.rest()
    assert {found[id]["price"] for id in lost} == {-1}


def test_lost_vectors_that_no_query_finds_are_found_by_reading(
    request: pytest.FixtureRequest, capsys: pytest.CaptureFixture[str]
) -> None:
    with server_of("7.17.29", request) as server:
        owner, _ = robbed(server)
        with owner.store() as store:
            looked = store.verify(everything=True)
            assert (looked.missing, looked.lost, looked.different_count) == (20, 20, 0)
            print_remedy(looked, "TARGET")
            remedy = "to fix it: splade-connectors attach TARGET --recheck\n"
            assert capsys.readouterr().err == remedy
            sampled = store.verify(sample=41)
            assert (sampled.missing, sampled.complete) == (20, False)
            again = store.attach(options=AttachOptions(recheck=True))
            assert (again.attached, again.unchanged) == (20, 21)
            assert_attached(store, range(40))
            assert store.verify(everything=True).complete


class Wordy(HashEncoder):
    """Finds no terms in punctuation."""

    def _vector(self, text: str) -> SparseVector:
        return super()._vector(text) if any(map(str.isalnum, text)) else SparseVector.empty()


def test_texts_without_terms_are_not_read_again(server: Server) -> None:
    """Blank, or with nothing that the model knows: their vectors are empty by design."""
    owner = Owner(server)
    blank = {"blank": "   ", "none": "", "dots": "...!?"}
    server.put(owner.name, {id: {"title": value} for id, value in blank.items()})
    server.put(owner.name, {"words": {"title": "salt water"}})
    with owner.store(Wordy()) as store:
        assert store.attach(["title"]).attached == 4
        assert not any(len(found.vector or ()) for found in store.get([*blank], with_vectors=True))
        assert store.count() == 4
        looked = store.verify(everything=True)
        assert (looked.missing, looked.lost, looked.complete) == (0, 0, True)
        again = store.attach()
        assert (again.attached, again.encoded, again.unchanged) == (0, 0, 4)


@pytest.fixture
def inexpensive(mortal: ElasticsearchServer) -> Iterator[Server]:
    """Not the servers that all tests share: this is a setting of the whole cluster."""
    server = Server(mortal.url, (9, 3, 2), frozenset())
    for allowed in (False, None):
        body = {"persistent": {"search.allow_expensive_queries": allowed}}
        server.call("PUT", "/_cluster/settings", body)
        if allowed is False:
            yield server


@pytest.mark.servers
def test_lost_vectors_come_back_where_expensive_queries_are_forbidden(inexpensive: Server) -> None:
    owner = Owner(inexpensive)
    owner.fill(20)
    with owner.store() as store:
        store.attach(FIELDS, options=AttachOptions(verify=0))
        rewrite(inexpensive, owner, ["1", "2"])
        assert store.verify(everything=True).missing == 2
        again = store.attach(options=AttachOptions(verify=0))
        assert (again.attached, again.unchanged) == (2, 19)


class Meddling(HashEncoder):
    """While it encodes documents, somebody else does something."""

    def __init__(self, meddle: Callable[[], None]) -> None:
        super().__init__()
        self._meddle: Callable[[], None] | None = meddle

    def encode_documents(
        self,
        texts: Sequence[str],
        *,
        stats: EncodeStats | None = None,
        on_progress: OnProgress | None = None,
    ) -> SparseBatch:
        meddle, self._meddle = self._meddle, None
        if meddle:
            meddle()
        return super().encode_documents(texts, stats=stats, on_progress=on_progress)


def test_what_others_write_meanwhile_survives(server: Server) -> None:
    owner = Owner(server)
    owner.fill(60)

    def meddle() -> None:
        server.call("POST", f"/{owner.name}/_update/1", {"doc": {"price": -1, "title": "cat"}})
        server.call("POST", f"/{owner.name}/_update/2", {"doc": {"price": -2}})
        server.call("DELETE", f"/{owner.name}/_doc/3")
        server.call("PUT", f"/{owner.name}/_doc/late", {"title": "bread late"})

    with owner.store(Meddling(meddle)) as store:
        report = store.attach(FIELDS)
        assert (report.conflicts, report.gone) == (2, 1)
        assert report.attached == 60 - 1 + 1 + 1
        assert report.verification is not None
        assert report.verification.complete
        assert store.verify(everything=True, recheck=True).complete
    found = owner.rest()
    assert (found["1"]["price"], found["1"]["title"], found["2"]["price"]) == (-1, "cat", -2)
    assert "3" not in found


def test_dense_vectors_stay(newest: Server) -> None:
    dense = {"type": "dense_vector", "dims": 4, "similarity": "cosine"}
    owner = Owner(newest, properties={"dense": dense})
    owner.fill(50, dense=[0.25, -1.5, 3.125, 0.1])
    before = owner.rest()
    with owner.store() as store:
        assert any("'dense'" in note for note in store.plan_attach(FIELDS).notes)
        store.attach(FIELDS)
    after = owner.rest()
    for id, found in before.items():
        assert after[id].pop("dense", None) == pytest.approx(found.pop("dense", None), abs=3e-7)
    assert after == before


def test_settings_that_changed_are_refused_and_replaced_on_demand(server: Server) -> None:
    owner = Owner(server)
    owner.fill(30)
    with owner.store() as store:
        store.attach(FIELDS)
        whole = store.search("water")
    with owner.store(prune=PruneOptions(top_k=3)) as store:
        with pytest.raises(AttachRefused, match=r"prune_top_k.*--replace-model"):
            store.attach()
        report = store.attach(options=AttachOptions(replace_model=True))
        assert report.switched is True
        assert store.search("water") != whole
        assert all(len(found.vector or ()) <= 3 for found in store.get(["1"], with_vectors=True))
        former = store.detach(former=True)
        assert (former.vector, former.cleared) == ("splade", 31)
        assert store.verify(everything=True, recheck=True).complete


def test_a_store_that_stays_open_finds_what_others_replaced(server: Server) -> None:
    owner = Owner(server)
    owner.fill(30)
    with owner.store() as open_store:
        open_store.attach(FIELDS)
        found = {hit.id for hit in open_store.search("water")}
        with owner.store(prune=PruneOptions(top_k=3)) as other:
            other.attach(options=AttachOptions(replace_model=True))
            other.detach(former=True)
            expected = list(other.search("water"))
        # Its own vectors are gone: it would find nothing, for ever and without a word.
        with owner.store(prune=PruneOptions(top_k=3)) as fresh:
            assert list(fresh.search("water")) == expected
        hits = open_store.search("water")
        assert list(hits) == expected
        assert {hit.id for hit in hits} <= found


def test_detach_leaves_what_was_there(server: Server) -> None:
    owner = Owner(server)
    owner.fill(30)
    before = owner.rest()
    with owner.store() as store:
        store.attach(FIELDS)
        planned = store.detach(dry_run=True)
        assert (planned.documents, planned.done) == (31, False)
        assert any("stay in the mapping" in line for line in planned.remains)
        done = store.detach()
        assert (done.cleared, done.done) == (31, True)
        assert store.count() == 0
    assert owner.rest() == before
    assert server.mapping(owner.name)["_meta"] == {"team": "search"}


def test_parts_together_are_all(server: Server) -> None:
    owner = Owner(server)
    owner.fill(100)
    with owner.store() as store:
        done = [
            store.attach(FIELDS, options=AttachOptions(part=(number, 3))).attached
            for number in range(3)
        ]
        assert sum(done) == 101
        assert store.verify(sample=20).complete


@pytest.mark.parametrize("block", ["write", "read_only", "read_only_allow_delete", "metadata"])
def test_a_block_is_found_before_anything_is_written(server: Server, block: str) -> None:
    owner = Owner(server)
    owner.fill(5)
    path = f"/{owner.name}/_settings"
    server.call("PUT", path, {f"index.blocks.{block}": True})
    try:
        # With a block of metadata the server does not even show the mapping.
        refused = (AttachRefused, WriteBlocked)
        with (
            owner.store() as store,
            pytest.raises(refused, match=rf"index.blocks.{block}|metadata"),
        ):
            store.attach(FIELDS)
    finally:
        server.call("PUT", path, {f"index.blocks.{block}": None})
    assert "splade" not in server.mapping(owner.name)["properties"]


@pytest.mark.parametrize(
    ("cut", "sentence"),
    [
        ({"excludes": ["title"]}, r"omits 'title'"),
        ({"includes": ["title", "author"]}, "omits|keeps only"),
        ({"enabled": False}, "_source is disabled"),
        ({"excludes": ["splade"]}, "omits 'splade'"),
    ],
)
def test_an_update_that_would_erase_fields_is_refused(
    server: Server, cut: dict[str, Any], sentence: str
) -> None:
    owner = Owner(server, _source=cut)
    owner.fill(5)
    with owner.store() as store, pytest.raises(AttachRefused, match=sentence):
        store.attach(FIELDS)


def test_bad_targets_get_a_sentence(server: Server) -> None:
    owner = Owner(server)
    owner.fill(5)
    with (
        server.store(f"{owner.name}x") as store,
        pytest.raises(NotFound, match=f"did you mean '{owner.name}'"),
    ):
        store.attach(FIELDS)
    with owner.store() as store:
        for field in ("body", "price"):
            with pytest.raises(AttachRefused, match=rf"no document has text in '{field}'; .*title"):
                store.attach([field])
        with pytest.raises(AttachRefused, match=r"no document has text in 'body'; .*title"):
            store.attach(["title", "body"])
        plan = store.plan_attach(["body"])
        assert len(plan.refusals) == 1
    other = Owner(server)
    alias = f"{owner.name}-both"
    actions = [{"add": {"index": name, "alias": alias}} for name in (owner.name, other.name)]
    server.call("POST", "/_aliases", {"actions": actions})
    with server.store(alias) as store, pytest.raises(SchemaConflict, match="several indices"):
        store.attach(FIELDS)


@pytest.mark.parametrize("name", ["splade", "splade_marker"])
def test_a_runtime_field_of_our_name_is_refused(server: Server, name: str) -> None:
    owner = Owner(server)
    owner.fill(5)
    runtime = {"runtime": {name: {"type": "keyword"}}}
    server.call("PUT", f"/{owner.name}/_mapping", runtime)
    sentence = f"'{name}' of .* is a runtime field, .*choose another name"
    with owner.store() as store:
        with pytest.raises(SchemaConflict, match=sentence):
            store.attach(FIELDS)
        with pytest.raises(SchemaConflict, match=sentence):
            store.search("water")
    with owner.store(field="sparse") as store:
        assert store.attach(FIELDS).attached == 6


def test_a_closed_index_is_named(server: Server) -> None:
    owner = Owner(server)
    owner.fill(5)
    server.call("POST", f"/{owner.name}/_close")
    with owner.store() as store, pytest.raises(Exception, match="is closed"):
        store.attach(FIELDS)


def test_vectors_that_nobody_answers_for_are_refused(server: Server) -> None:
    owner = Owner(server, properties={"splade": {"type": server.kind}})
    owner.fill(5, splade={"%2E5": 1.0})
    with owner.store() as store:
        with pytest.raises(AttachRefused, match=r"style: token; .*override-manifest"):
            store.attach(FIELDS)
        assert store.plan_attach(FIELDS).key_style == "token"
    with owner.store(override_manifest=True) as store:
        assert store.attach(FIELDS).attached == 6
        assert_attached(store, range(5))


async def test_awaited(server: Server) -> None:
    owner = Owner(server)
    owner.fill(50)
    before = owner.rest()
    async with server.astore(owner.name, by_client=True) as store:
        assert (await store.plan_attach(FIELDS)).to_do == 51
        report = await store.attach(FIELDS)
        assert report.attached == 51
        assert (await store.verify(everything=True, recheck=True)).complete
        assert owner.rest() == before
        assert (await store.detach()).cleared == 51


def test_an_alias_that_moves_takes_nothing_with_it(server: Server) -> None:
    """Two indices filled alike have the same ids and sequence numbers."""
    first, second = Owner(server), Owner(server)
    alias = server.new_name()
    for owner in (first, second):
        owner.fill(60)
    mapping, sources = server.mapping(second.name), server.sources(second.name)
    server.call("PUT", f"/{first.name}/_alias/{alias}")

    def move() -> None:
        moves = [
            {"remove": {"index": first.name, "alias": alias}},
            {"add": {"index": second.name, "alias": alias}},
        ]
        server.call("POST", "/_aliases", {"actions": moves})

    with server.store(alias, Meddling(move)) as store:
        assert store.attach(FIELDS).attached == 61
    assert (server.mapping(second.name), server.sources(second.name)) == (mapping, sources)
    with first.store() as store:
        assert store.verify(everything=True, recheck=True).complete


@pytest.mark.parametrize("again", [False, True], ids=["deleted", "replaced"])
def test_an_index_that_is_gone_ends_the_run(again: bool, server: Server) -> None:
    owner = Owner(server)
    owner.fill(60)

    def meddle() -> None:
        server.call("DELETE", f"/{owner.name}")
        if again:
            server.put(owner.name, {str(number): source(number) for number in range(60)})

    with (
        owner.store(Meddling(meddle)) as store,
        pytest.raises(NotFound, match="deleted or replaced the index"),
    ):
        store.attach(FIELDS)
    there = httpx.get(f"{server.url}/{owner.name}", trust_env=False)
    assert there.is_success == again
    assert "splade" not in there.text.replace(owner.name, "").replace("splade-test-", "")


def test_an_alias_that_filters_stands_for_its_index(server: Server) -> None:
    owner = Owner(server)
    owner.fill(60)
    before, alias = owner.rest(), server.new_name()
    body = {"filter": {"range": {"price": {"gte": 4}}}, "index_routing": "elsewhere"}
    server.call("PUT", f"/{owner.name}/_alias/{alias}", body)
    with server.store(alias) as store:
        assert store.attach(FIELDS).attached == 61
    with owner.store() as store:
        assert store.verify().complete
        assert store.count() == 61
    with server.store(alias) as store:
        assert store.detach().cleared == 61
    with owner.store() as store:
        assert store.count() == 0
    assert owner.rest() == before


def test_a_marker_field_of_the_owner_is_left_alone(server: Server) -> None:
    owner = Owner(server, properties={"splade_marker": {"type": "keyword"}})
    owner.fill(20, splade_marker="MINE")
    before = server.sources(owner.name)
    with (
        owner.store() as store,
        pytest.raises(AttachRefused, match="its own field 'splade_marker': choose another"),
    ):
        store.attach(FIELDS)
    assert server.sources(owner.name) == before


def test_a_detach_beside_an_attach_is_told(server: Server) -> None:
    owner = Owner(server)
    owner.fill(60)
    before = owner.rest()

    def detach() -> None:
        with owner.store() as other:
            other.detach()

    with owner.store(Meddling(detach)) as store:
        with pytest.raises(SchemaConflict, match="another process detached 'splade'"):
            store.attach(FIELDS)
        with pytest.raises(AttachRefused, match="or run detach if they remained"):
            store.attach(FIELDS)
        assert store.detach().cleared == 61
        with pytest.raises(NotFound, match="nothing to detach"):
            store.detach()
    assert owner.rest() == before


def test_vectors_of_others_are_not_detached(newest: Server) -> None:
    owner = Owner(newest, properties={"splade": {"type": "sparse_vector"}})
    owner.bulk([{"index": {"_id": "1"}}, {"title": "water", "splade": {"water": 1.5}}])
    before = newest.sources(owner.name)
    with owner.store() as store, pytest.raises(NotFound, match="attach did not write these"):
        store.detach()
    assert newest.sources(owner.name) == before
