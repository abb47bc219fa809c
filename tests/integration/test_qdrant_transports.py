"""The adapter over Qdrant's protocols: REST and gRPC, blocking and awaited, over real sockets."""

from __future__ import annotations

import logging
import re
import socket
import threading
import time
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from qdrant_client import models

from splade_connectors import Document, RetryOptions, SparseEncoder, SparseVector
from splade_connectors.backends.metadata import STATE_KEY
from splade_connectors.documents import DocumentId
from splade_connectors.errors import (
    AccessDenied,
    ConfigurationError,
    NotFound,
    NotSupported,
    SchemaConflict,
    StorageFull,
    Unavailable,
)
from splade_connectors.manifest import MANIFEST_KEY
from splade_connectors.options import ConnectOptions
from splade_connectors.testing import HashEncoder
from splade_connectors.testing.oracle import assert_same_ranking
from tests.fronts import QdrantGrpcFront, QdrantRestFront
from tests.integration.qdrant_place import FRONTS, QUICK, SERVERS, Place, opened, place

UUID_ID = "00000000-0000-4000-8000-000000000001"
OWN_METADATA = {"team": "search", "deep": {"list": [1, 2.5, None, True], "text": "✓"}}

DOCUMENTS = [
    Document(id="apple.pie/1", text="Apples and cinnamon make a warm pie.", payload={"lang": "en"}),
    Document(id="bread", text="Bread needs flour, water and salt.", payload={"lang": "en"}),
    Document(id="Ünïcode ✓", text="Wasser kocht bei hundert Grad.", payload={"lang": "de"}),
    Document(id="no text", text="", payload={"lang": "none"}),
    Document(id=UUID_ID, text="A mountain of flour, salt and time.", payload={"n": 1.5}),
    Document(id=0, text="Zero degrees: water becomes ice.", payload={"n": 0, "lang": "en"}),
    Document(id=7, text="Seven cats watch the water boil.", payload={"tags": ["cat", None]}),
    Document(id=2**64 - 1, text="Largest of all numbers.", payload={"deep": {"a": [True, {}]}}),
    Document(id=-3, text="A negative number, below the salt.", payload={"lang": "en"}),
    Document(id="titled", text="Water has a title.", dense={"title": [3.0, 4.0]}),
    Document(id="pictured", text="Water in a picture.", dense={"picture": [0.0, 1.0, 0.0]}),
    Document(
        id="both",
        text="Salt water, titled and pictured.",
        payload={"lang": "en"},
        dense={"title": [1.0, 0.0], "picture": [0.0, 0.0, 1.0]},
    ),
]
TEXTS: dict[DocumentId, str] = {document.id: document.text for document in DOCUMENTS}
QUERIES = ["how does water boil", "salt and flour", "numbers", "apple pie recipe"]


@pytest.fixture(params=[*FRONTS, *SERVERS])
def somewhere(request: pytest.FixtureRequest) -> Iterator[Place]:
    with place(request.param) as found:
        yield found


@pytest.fixture(params=list(FRONTS))
def way(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def exact(encoder: SparseEncoder, query: str) -> dict[DocumentId, float]:
    """The dot product of the query with every text."""
    vector = encoder.encode_queries([query])[0]
    documents = {id: text for id, text in TEXTS.items() if text}
    encoded = encoder.encode_documents(list(documents.values()))
    return {id: encoded[row].dot(vector) for row, id in enumerate(documents)} | {"no text": 0.0}


def pairs(hits: Any) -> list[tuple[DocumentId, float]]:
    return [(hit.id, hit.score) for hit in hits]


def ids(hits: Any) -> list[DocumentId]:
    return [hit.id for hit in hits]


# Verbs


async def test_documents_go_in_and_are_found(somewhere: Place, encoder: SparseEncoder) -> None:
    async with somewhere.opened(encoder=encoder) as store:
        report = await store.index(DOCUMENTS)
        assert (report.written, report.rejected, report.empty) == (len(DOCUMENTS), [], 1)
        assert await store.count() == len(DOCUMENTS)
        for query in QUERIES:
            scores = exact(encoder, query)
            hits = await store.search(query, limit=len(DOCUMENTS))
            assert_same_ranking(pairs(hits), scores, len(DOCUMENTS))
            assert set(ids(hits)) == {id for id, score in scores.items() if score > 0}
            by_id = {document.id: document for document in DOCUMENTS}
            for hit in hits:
                assert hit.payload == {**by_id[hit.id].payload, "text": TEXTS[hit.id]}
                assert type(hit.id) is type(by_id[hit.id].id)

        everything = await store.search(QUERIES[0], limit=12)
        assert await store.search(QUERIES[0], limit=3, offset=2) == everything[2:5]
        bare = await store.search(QUERIES[0], limit=12, with_payload=False)
        assert pairs(bare) == pairs(everything)
        assert all(hit.payload == {} for hit in bare)


async def test_terms_beyond_16_bits_are_terms_of_their_own(somewhere: Place) -> None:
    terms = [250_001, 250_001 - 65_536, 250_001 % 65_536, 2**32 - 1]
    documents = [
        Document(id=n, text="", vector=SparseVector.from_pairs({term: 1.5})[0])
        for n, term in enumerate(terms)
    ]
    async with somewhere.opened(encoder=HashEncoder("large", vocabulary=2**32 - 1)) as store:
        assert (await store.index(documents)).rejected == []
        for n, term in enumerate(terms):
            (hit,) = await store.search(SparseVector.from_pairs({term: 2.0})[0])
            assert (hit.id, hit.score) == (n, 3.0)
            (document,) = await store.get([n], with_vectors=True)
            assert document.vector is not None
            assert document.vector.indices.tolist() == [term]


async def test_filters(somewhere: Place, encoder: SparseEncoder) -> None:
    as_json = {
        "must": [{"key": "lang", "match": {"value": "en"}}],
        "must_not": [{"key": "n", "range": {"gte": 0, "lt": 1}}],
    }
    as_model = models.Filter.model_validate(as_json)
    async with somewhere.opened(encoder=encoder) as store:
        await store.index(DOCUMENTS)
        found = await store.search(QUERIES[0], limit=12, filter=as_json)
        assert found == await store.search(QUERIES[0], limit=12, filter=as_model)
        english = {"bread", "apple.pie/1", -3, "both"}
        scores = {id: score for id, score in exact(encoder, QUERIES[0]).items() if id in english}
        assert_same_ranking(pairs(found), scores, 12)
        single = {"must": {"key": "tags", "match": {"any": ["cat"]}}}
        assert ids(await store.search(QUERIES[0], filter=single)) == [7]
        with pytest.raises(ConfigurationError, match=r"not a Qdrant filter: \{'must': \[\{'k"):
            await store.search("water", filter={"must": [{"kee": "lang"}]})


async def test_explain_adds_up_to_the_score(somewhere: Place, encoder: SparseEncoder) -> None:
    async with somewhere.opened(encoder=encoder) as store:
        await store.index(DOCUMENTS)
        best = (await store.search("salt and flour"))[0]
        explanation = await store.explain("salt and flour", best.id)
        assert explanation.score == pytest.approx(best.score, rel=1e-5)
        assert {"salt", "flour"} <= {term.token for term in explanation.terms if term.in_query}
        assert (await store.explain("salt", "no text")).terms == ()


async def test_get_returns_what_was_stored(somewhere: Place, encoder: SparseEncoder) -> None:
    async with somewhere.opened(encoder=encoder) as store:
        await store.index(DOCUMENTS)
        found = await store.get(list(TEXTS), with_vectors=True)
        assert ids(found) == list(TEXTS)
        for document in found:
            text = TEXTS[document.id]
            if not text:
                assert document.vector == SparseVector.empty()
                continue
            expected = encoder.encode_documents([text])[0].to_dict()
            assert document.vector.to_dict() == pytest.approx(expected, rel=1e-4)
        bare = await store.get(["bread", 7])
        assert [document.vector for document in bare] == [None, None]
        assert bare[1].payload == {"tags": ["cat", None], "text": TEXTS[7]}
        with pytest.raises(NotFound, match=r"has no document 'absent', 8$"):
            await store.get(["absent", 7, 8])


async def test_update_keeps_the_rest(somewhere: Place, encoder: SparseEncoder) -> None:
    async with somewhere.opened(encoder=encoder) as store:
        await store.index(DOCUMENTS)
        dense = dense_vectors(somewhere, "both")
        await store.update("both", text="A violin plays.", payload={"new": {"a": [None]}})
        [document] = await store.get(["both"], with_vectors=True)
        kept = {"lang": "en", "new": {"a": [None]}}
        assert document.payload == {**kept, "text": "A violin plays."}
        expected = encoder.encode_documents(["A violin plays."])[0].to_dict()
        assert document.vector.to_dict() == pytest.approx(expected, rel=1e-4)
        assert ids(await store.search("violin", limit=1)) == ["both"]
        assert dense_vectors(somewhere, "both") == dense
        assert dense["title"] == [1.0, 0.0]

        before = (await store.get([7], with_vectors=True))[0].vector
        await store.update(7, payload={"tags": [], "absent": None})  # null removes a key
        after = (await store.get([7], with_vectors=True))[0]
        assert after.vector == before
        assert after.payload == {"tags": [], "text": TEXTS[7]}
        with pytest.raises(NotFound, match=r"has no document 'absent'$"):
            await store.update("absent", text="x")


def dense_vectors(somewhere: Place, id: str) -> Any:
    """The dense vectors of a document, as the collection's owner sees them."""
    by_id = models.FieldCondition(key="_splade_id", match=models.MatchValue(value=id))
    found = somewhere.owner.query_points(
        somewhere.name, query_filter=models.Filter(must=[by_id]), with_vectors=True
    ).points
    vectors = found[0].vector
    assert isinstance(vectors, dict)
    return {name: vector for name, vector in vectors.items() if name != "splade"}


async def test_delete_and_index_again(somewhere: Place, encoder: SparseEncoder) -> None:
    async with somewhere.opened(encoder=encoder) as store:
        await store.index(DOCUMENTS)
        await store.delete(["bread", 7, UUID_ID, "absent"])
        assert await store.count() == len(DOCUMENTS) - 3
        assert not {"bread", 7, UUID_ID} & set(ids(await store.search("salt water", limit=12)))
        assert (await store.index(DOCUMENTS)).written == len(DOCUMENTS)
        assert await store.count() == len(DOCUMENTS)


async def test_a_dense_vector_without_a_name(somewhere: Place) -> None:
    documents = [
        Document(id="a", text="apple", dense=[3.0, 4.0]),
        Document(id="b", text="bread", dense=[0.0, 1.0]),
        Document(id="c", text="cake", dense=[0.0, 1.0, 0.0]),
        Document(id="d", text="none at all"),
    ]
    async with somewhere.opened(encoder=HashEncoder()) as store:
        report = await store.index(documents[:2])
        assert report.written == 2
        report = await store.index(documents[2:])
        assert report.written == 1
        assert report.rejected[0].id == "c"
        assert report.rejected[0].reason == (
            "the dense vector without a name has 3 dimensions, but the collection's has 2"
        )
        found = somewhere.owner.query_points(somewhere.name, query=[3.0, 4.0], limit=1).points[0]
        assert found.score == pytest.approx(1.0)
        assert (found.payload or {})["_splade_id"] == "a"
        assert (await store.inspect()).to_json()["dense_fields"] == {"": 2}


async def test_inspect(somewhere: Place) -> None:
    async with somewhere.opened(encoder=HashEncoder()) as store:
        before = (await store.inspect()).to_json()
        assert (before["exists"], before["has_field"], before["manifest"]) == (False, False, None)
        await store.index(DOCUMENTS)
        found = (await store.inspect()).to_json()
    assert found["target"] == somewhere.target
    assert found["backend"] == "qdrant"
    assert found["exists"]
    assert found["has_field"]
    assert found["documents"] == len(DOCUMENTS)
    assert found["sparse_fields"] == ["splade"]
    assert found["dense_fields"] == {"picture": 3, "title": 2}
    assert found["manifest"]["model"] == "hash"


async def test_an_unknown_collection_is_not_found(somewhere: Place) -> None:
    async with somewhere.opened(encoder=HashEncoder()) as store:
        absent = re.escape(somewhere.target) + " does not exist"
        with pytest.raises(NotFound, match=absent):
            await store.search("x")
        with pytest.raises(NotFound, match=absent):
            await store.count()
        with pytest.raises(NotFound, match=absent):
            await store.delete(["a"])
        with pytest.raises(NotFound, match=absent):
            await store.get(["a"])


# The collection of somebody else


async def test_the_manifest_lies_beside_the_owners_metadata(somewhere: Place) -> None:
    somewhere.owner.create_collection(
        somewhere.name,
        vectors_config={},
        sparse_vectors_config={"splade": models.SparseVectorParams()},
        metadata=OWN_METADATA,
    )
    for suffix, some in (("", DOCUMENTS[:3]), ("?vector=second", DOCUMENTS[3:6])):
        async with somewhere.opened(suffix, encoder=HashEncoder()) as store:
            await store.index(some)
    found = somewhere.metadata()
    kept, state = found.pop(MANIFEST_KEY), found.pop(STATE_KEY)
    assert found == OWN_METADATA
    assert state == {"/collection": {"created": True}}  # nothing was in it
    assert set(kept) == {"splade", "second"}
    assert kept["splade"]["text_fields"] == ["text"]
    async with somewhere.opened(encoder=HashEncoder()) as store:
        assert (await store.search("bread")).plan.warnings == ()


async def test_a_vector_is_added_to_a_collection_in_use(somewhere: Place) -> None:
    somewhere.owner.create_collection(
        somewhere.name, vectors_config=models.VectorParams(size=2, distance=models.Distance.DOT)
    )
    old = models.PointStruct(id=1, vector=[3.0, 4.0], payload={"mine": [1, {"a": None}]})
    somewhere.owner.upsert(somewhere.name, [old], wait=True)
    async with somewhere.opened(encoder=HashEncoder()) as store:
        assert (await store.index([Document(id=2, text="new bread")])).written == 1
        assert await store.count() == 1
        assert ids(await store.search("bread")) == [2]
    [point] = somewhere.owner.retrieve(somewhere.name, [1], with_vectors=True)
    assert point.payload == old.payload
    assert point.vector in (old.vector, {"": old.vector})  # gRPC and REST differ here


async def test_an_idf_modifier_is_a_conflict(somewhere: Place) -> None:
    idf = models.SparseVectorParams(modifier=models.Modifier.IDF)
    somewhere.owner.create_collection(
        somewhere.name, vectors_config={}, sparse_vectors_config={"splade": idf}
    )
    async with somewhere.opened(encoder=HashEncoder()) as store:
        message = r"'splade' of .* has the modifier 'idf'"
        with pytest.raises(SchemaConflict, match=message):
            await store.index(DOCUMENTS[:1])
        with pytest.raises(SchemaConflict, match=message):
            await store.search("x")
        with pytest.raises(SchemaConflict, match=message):
            await store.inspect()


async def test_a_dense_vector_of_this_name_is_a_conflict(somewhere: Place) -> None:
    dense = models.VectorParams(size=2, distance=models.Distance.COSINE)
    somewhere.owner.create_collection(
        somewhere.name,
        vectors_config={"splade": dense},
        sparse_vectors_config={"other": models.SparseVectorParams()},
    )
    async with somewhere.opened(encoder=HashEncoder()) as store:
        message = r"has a dense vector named 'splade'; .* \?vector=NAME \(its sparse vectors: other"
        with pytest.raises(SchemaConflict, match=message):
            await store.index(DOCUMENTS[:1])


# What is sent


async def test_search_sends_its_plan() -> None:
    condition = {"must": [{"key": "lang", "match": {"value": "en"}}]}
    with place("rest-sync") as here:
        async with here.opened(encoder=HashEncoder()) as store:
            await store.index(DOCUMENTS)
            hits = await store.search("salt", limit=2, offset=1, filter=condition)
        request, *more = [asked for asked in here.front.requests if asked.path.endswith("/query")]
        plan = hits.plan
    # Equal scores lie across the page's end: the same is asked for again, ids only and farther.
    assert [asked.body["query"] for asked in more] == [request.body["query"]]
    assert [asked.body["filter"] for asked in more] == [request.body["filter"]]
    assert (request.method, request.path) == (plan.method, plan.url_path)
    # The client spells out what the plan leaves to Qdrant's defaults.
    spelled_out = {"query": {"nearest": plan.body["query"]}, "with_vector": False}
    assert without_nulls(request.body) == {**plan.body, **spelled_out}


def without_nulls(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: without_nulls(item) for key, item in value.items() if item is not None}
    return [without_nulls(item) for item in value] if isinstance(value, list) else value


async def test_every_write_waits(way: str) -> None:
    with place(way) as here:
        async with here.opened(encoder=HashEncoder()) as store:
            await store.index(DOCUMENTS[:3])
            await store.update("bread", text="Rye bread.")
            await store.delete(["bread"])
            await store.update("apple.pie/1", payload={"lang": "fr"})
        writes = ("points?", "/points/vectors", "/points/batch", "/points/delete")
        calls = ("Points/Upsert", "Points/UpdateVectors", "Points/UpdateBatch", "Points/Delete")
        asked = [
            request.body["wait"] if here.over_grpc else "wait=true" in request.path
            for request in here.front.requests
            if any(part in request.path for part in (calls if here.over_grpc else writes))
        ]
    assert asked == [True] * 4


async def test_grpc_needs_no_rest_port() -> None:
    # The front listens on one port: every verb above went through it. Here is the version.
    with place("grpc-sync", version="1.17.2") as here:
        async with here.opened(encoder=HashEncoder()) as store:
            assert (await store.inspect()).capabilities.version == (1, 17, 2)
        assert here.front.requests[0].path == "/qdrant.Qdrant/HealthCheck"


# Old servers


async def test_before_1_16_the_manifest_needs_a_file(way: str, tmp_path: Path) -> None:
    file = tmp_path / "manifest.json"
    with place(way, version="1.15.5") as here:
        async with here.opened(encoder=HashEncoder()) as store:
            message = r"Qdrant 1\.15\.5 cannot store a manifest .*: --manifest FILE"
            with pytest.raises(NotSupported, match=message):
                await store.index(DOCUMENTS[:3])
            assert not here.owner.collection_exists(here.name)
        options = ConnectOptions(manifest_file=str(file))
        async with here.opened(encoder=HashEncoder(), options=options) as store:
            assert (await store.index(DOCUMENTS[:3])).written == 3
            assert ids(await store.search("bread")) == ["bread"]
            assert (await store.inspect()).manifest.model == "hash"
        assert here.metadata() == {}
        assert '"splade"' in file.read_text(encoding="utf-8")


async def test_before_1_18_a_vector_cannot_be_added(way: str) -> None:
    with place(way, version="1.17.1") as here:
        here.owner.create_collection(
            here.name, vectors_config=models.VectorParams(size=2, distance=models.Distance.DOT)
        )
        async with here.opened(encoder=HashEncoder()) as store:
            message = r"no sparse vector 'splade', and Qdrant 1\.17\.1 cannot add one .* \(1\.18"
            with pytest.raises(NotSupported, match=message):
                await store.index(DOCUMENTS[:1])
        async with place_of(here, "new").opened(encoder=HashEncoder()) as store:
            assert (await store.index(DOCUMENTS[:1])).written == 1


def place_of(here: Place, suffix: str) -> Place:
    """Another collection in the same place."""
    scheme = here.target.partition(":")[0]
    other = Place(here.way, scheme, here.address, here.owner, here.front)
    other.name = f"{here.name}-{suffix}"
    return other


# Keys

KEY = "sekrit-4711-key"
WRONG = "wrong-0815-key"
READ = "reader-42-key"
insecure = pytest.mark.filterwarnings("ignore:Api key is used with an insecure connection")


@insecure
@pytest.mark.parametrize(
    ("given", "answer"),
    [
        (None, "Must provide an API key or an Authorization bearer token"),
        (WRONG, "Invalid API key or JWT"),
    ],
)
async def test_a_missing_or_wrong_key(
    way: str, given: str | None, answer: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    options = ConnectOptions(api_key=given)
    with place(way, api_key=KEY) as here:
        async with here.opened(encoder=HashEncoder(), options=options) as store:
            with pytest.raises(AccessDenied) as caught:
                await store.search("x")
            assert WRONG not in repr(store.store) + repr(options)
    message = f"{here.target} refused the credentials (401): {answer}; set QDRANT_API_KEY to a key"
    assert str(caught.value).startswith(message)
    shown = "".join(traceback.format_exception(caught.value)) + repr(caught.value) + caplog.text
    assert KEY not in shown
    assert WRONG not in shown


@insecure
async def test_a_key_from_the_environment_or_the_target(
    way: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with place(way, api_key=KEY) as here:
        monkeypatch.setenv("QDRANT_API_KEY", KEY)
        async with here.opened(encoder=HashEncoder()) as store:
            assert (await store.index(DOCUMENTS[:3])).written == 3
        monkeypatch.delenv("QDRANT_API_KEY")
        target = here.target.replace("://", f"://:{KEY}@")
        async with opened(target, way, encoder=HashEncoder()) as store:
            assert ids(await store.search("bread")) == ["bread"]
            assert KEY not in repr(store.store)


@insecure
async def test_a_key_that_may_only_read(way: str) -> None:
    options = ConnectOptions(api_key=READ)
    with place(way, api_key=KEY, read_only_key=READ) as here:
        whole = ConnectOptions(api_key=KEY)
        async with here.opened(encoder=HashEncoder(), options=whole) as store:
            await store.index(DOCUMENTS[:3])
        async with here.opened(encoder=HashEncoder(), options=options) as store:
            assert ids(await store.search("bread")) == ["bread"]
            before = len(here.front.requests)
            message = r"\(403\): Forbidden: Global access is required; .* read and write"
            with pytest.raises(AccessDenied, match=message):
                await store.index(DOCUMENTS[:3])
        writes = [asked for asked in here.front.requests[before:] if "psert" in asked.path]
        assert len(writes) <= 1  # it is not tried again


# Servers in trouble


@pytest.mark.parametrize("status", [408, 500, 503])
async def test_a_busy_server_is_asked_again(
    way: str, status: int, caplog: pytest.LogCaptureFixture
) -> None:
    with place(way) as here:
        async with here.opened(encoder=HashEncoder()) as store:
            here.front.fail_next(2, status=status)
            assert (await store.index(DOCUMENTS)).written == len(DOCUMENTS)
            assert "attempt 2 failed" in caplog.text
            here.front.fail_next(2, status=status, path="uery")
            assert len(await store.search("bread")) == 1
            here.front.fail_next(3, status=status, message="Too busy")
            with pytest.raises(Unavailable, match=rf"{here.name} is not available \(.*Too busy"):
                await store.count()


async def test_lost_answers_do_no_harm(way: str) -> None:
    with place(way) as here:
        create = "Collections/Create" if here.over_grpc else f"PUT /collections/{here.name}"
        here.front.fail_next(1, path=create, executed=True)
        here.front.fail_next(1, path="Upsert" if here.over_grpc else "points?", executed=True)
        async with here.opened(encoder=HashEncoder()) as store:
            assert (await store.index(DOCUMENTS)).written == len(DOCUMENTS)
            assert await store.count() == len(DOCUMENTS)


async def test_retry_after_is_honoured(way: str) -> None:
    with place(way) as here:
        async with here.opened(encoder=HashEncoder()) as store:
            await store.index(DOCUMENTS[:3])
            here.front.fail_next(
                1, 429, {"Retry-After": "1"}, message="Rate limiting exceeded", path="uery"
            )
            began = time.perf_counter()
            assert ids(await store.search("bread")) == ["bread"]
            assert time.perf_counter() - began >= 1.0
        short = RetryOptions(attempts=1)
        async with here.opened(encoder=HashEncoder(), retry=short) as store:
            here.front.fail_next(1, 429, {"Retry-After": "7"}, message="Rate limiting exceeded")
            with pytest.raises(
                Unavailable, match="asks the client to slow down: Rate limiting exceeded"
            ) as e:
                await store.search("bread")
            assert e.value.retry_after_s == 7.0


@pytest.mark.parametrize("way", ["rest-sync", "rest-async"])
async def test_a_proxy_may_ask_to_wait_in_other_ways(way: str) -> None:
    with place(way) as here:
        async with here.opened(encoder=HashEncoder(), retry=RetryOptions(attempts=1)) as store:
            here.front.fail_next(1, 503, {"Retry-After": "3"})
            with pytest.raises(Unavailable) as caught:
                await store.count()
            assert caught.value.retry_after_s == 3.0
            date = "Wed, 21 Oct 2026 07:28:00 GMT"
            here.front.fail_next(1, 429, {"Retry-After": date})
            with pytest.raises(Unavailable, match=r"asks the client to slow down$") as caught:
                await store.count()
            assert caught.value.retry_after_s is None


@pytest.mark.parametrize("way", ["rest-sync", "rest-async"])
async def test_a_full_disk(way: str) -> None:
    with place(way) as here:
        async with here.opened(encoder=HashEncoder()) as store:
            here.front.fail_next(1, 507, path="points?", message="Disk usage is at 95%")
            with pytest.raises(
                StorageFull, match=r"is out of disk space \(507\): Disk usage is at 95%\."
            ):
                await store.index(DOCUMENTS)


async def test_a_server_restarts(way: str) -> None:
    """Its connections break; the store goes on where it was."""
    patient = RetryOptions(attempts=8, initial_wait_s=0.5, max_wait_s=2.0)
    with place(way) as here:
        async with here.opened(encoder=HashEncoder(), retry=patient) as store:
            await store.index(DOCUMENTS)
            here.front.stop()
            threading.Timer(0.5, here.front.start).start()
            assert ids(await store.search("bread")) == ["bread"]


# Wrong addresses


def closed_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


class NotFoundPage(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_error(404)

    def log_message(self, format: str, *args: Any) -> None:
        pass


class Website(SimpleHTTPRequestHandler):
    def log_message(self, format: str, *args: Any) -> None:
        pass


class OtherDatabase(NotFoundPage):
    def do_GET(self) -> None:
        body = b'{"name": "es-1", "version": {"number": "9.3.2"}}'
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


class Overloaded(NotFoundPage):
    def do_GET(self) -> None:
        self.send_error(502)


@contextmanager
def website(handler: type[BaseHTTPRequestHandler]) -> Iterator[str]:
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        yield f"127.0.0.1:{server.server_port}"
        server.shutdown()


async def failure(target: str, way: str, kind: type[Exception]) -> str:
    """What a search there raises."""
    async with opened(target, way, encoder=HashEncoder(), retry=QUICK) as store:
        with pytest.raises(kind) as caught:
            await store.search("x")
    assert type(caught.value) is kind
    return str(caught.value)


NO_QDRANT = "; check host, port (6333, or 6334 for qdrant+grpc) and scheme (qdrant+https for TLS)"


async def test_nobody_listens(way: str) -> None:
    scheme = "qdrant+grpc" if way.startswith("grpc") else "qdrant"
    target = f"{scheme}://127.0.0.1:{closed_port()}/articles"
    message = await failure(target, way, Unavailable)
    assert message.startswith(f"{target} cannot be reached (")
    assert message.endswith(
        "is Qdrant running there? The port is 6333 for REST, 6334 for qdrant+grpc"
    )
    reason = "All connection attempts failed" if way == "rest-async" else "Connection refused"
    assert reason in message


@pytest.mark.parametrize("handler", [NotFoundPage, Website, OtherDatabase])
async def test_something_else_listens(way: str, handler: type[BaseHTTPRequestHandler]) -> None:
    with website(handler) as address:
        scheme = "qdrant+grpc" if way.startswith("grpc") else "qdrant"
        target = f"{scheme}://{address}/articles"
        message = await failure(target, way, ConfigurationError)
    rest = scheme == "qdrant"
    shown = " (404)" if rest and handler is NotFoundPage else ""
    more = "; if they are right, update qdrant-client" if rest and handler is OtherDatabase else ""
    assert message == (
        f"the server at {target} does not answer like Qdrant{shown}{NO_QDRANT}{more}"
    )


@pytest.mark.parametrize("way", ["rest-sync", "rest-async"])
async def test_a_proxy_without_qdrant_behind_it(way: str) -> None:
    with website(Overloaded) as address:
        message = await failure(f"qdrant://{address}/articles", way, Unavailable)
    assert message == f"qdrant://{address}/articles is not available (502): an HTML page"


@pytest.mark.parametrize("way", ["rest-sync", "rest-async"])
async def test_tls_on_a_port_without(way: str) -> None:
    with QdrantRestFront() as front:
        target = f"qdrant+https://{front.host}/articles"
        message = await failure(target, way, ConfigurationError)
    assert message == (
        f"{target} does not speak TLS on this port; write qdrant:// instead of qdrant+https://"
    )


@pytest.mark.parametrize("way", ["rest-sync", "rest-async"])
async def test_rest_on_the_grpc_port(way: str) -> None:
    with QdrantGrpcFront() as front:
        target = f"qdrant://{front.host}/articles"
        message = await failure(target, way, ConfigurationError)
    assert message == f"the server at {target} does not answer like Qdrant{NO_QDRANT}"


@pytest.mark.parametrize("way", ["grpc-sync", "grpc-async"])
async def test_grpc_on_the_rest_port(way: str) -> None:
    with QdrantRestFront() as front:
        target = f"qdrant+grpc://{front.host}/articles"
        message = await failure(target, way, ConfigurationError)
    assert message == f"the server at {target} does not answer like Qdrant{NO_QDRANT}"
