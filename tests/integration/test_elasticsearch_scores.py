"""Scores of Elasticsearch against the exact ones, hit by hit, on each kind of field."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import httpx
import numpy as np
import pytest

from splade_connectors import (
    Document,
    PruneOptions,
    SparseBatch,
    SparseEncoder,
    SparseVector,
    Store,
)
from splade_connectors.backends.rounding import as_stored
from splade_connectors.errors import RequestRejected
from splade_connectors.operations.found import Hits
from splade_connectors.testing import HashEncoder, assert_same_ranking, exact_scores
from tests.integration.elasticsearch_server import BOTH_KINDS, FIXTURES, Server, server_of

pytestmark = pytest.mark.servers

TERMS_OF_A_DOCUMENT = 500
LIMIT_OF_TERMS = 1000
WORDS = [f"word{n}" for n in range(400)]

Vectors = Mapping[str, SparseVector]


@pytest.fixture(params=list(FIXTURES))
def server(request: pytest.FixtureRequest) -> Iterator[Server]:
    with server_of(request.param, request) as server:
        yield server


@pytest.fixture(params=BOTH_KINDS)
def server_of_either_kind(request: pytest.FixtureRequest) -> Iterator[Server]:
    with server_of(request.param, request) as server:
        yield server


def random_vector(
    random: np.random.Generator, terms: Sequence[int] | int, size: int
) -> SparseVector:
    """Weights of all magnitudes that SPLADE has, and of some that it has not."""
    indices = np.sort(random.choice(terms, size, replace=False)).astype(np.uint32)
    return SparseVector(indices, random.lognormal(0.0, 1.5, size).astype(np.float32))


def assert_exact(hits: Hits, query: SparseVector, vectors: Vectors, limit: int) -> None:
    scores = exact_scores(query, SparseBatch.from_vectors(vectors.values()), "lucene")
    assert_same_ranking(
        [(hit.id, hit.score) for hit in hits],
        dict(zip(vectors, scores.tolist(), strict=True)),
        limit,
    )


def index(store: Store, vectors: Vectors, **payload: Any) -> None:
    documents = [
        Document(id=id, vector=vector, text=f"text of {id}", payload={"n": n, **payload})
        for n, (id, vector) in enumerate(vectors.items())
    ]
    report = store.index(documents)
    assert (report.written, report.rejected) == (len(documents), [])


def test_scores_of_random_documents(server: Server) -> None:
    random = np.random.default_rng(20)
    encoder = HashEncoder()
    terms = np.unique(encoder.encode_documents([" ".join(WORDS)])[0].indices)
    vectors = {
        str(n): random_vector(random, terms, int(random.integers(1, 150))) for n in range(300)
    }
    queries = [random_vector(random, terms, int(random.integers(1, 60))) for _ in range(30)]

    def check(store: Store) -> None:
        for query in queries:
            assert_exact(store.search(query, limit=300), query, vectors, 300)

    with server.store(server.new_name(), encoder) as store:
        index(store, vectors)
        check(store)
        index(store, vectors)
        check(store)
        for id in random.choice(300, 25, replace=False):
            text = " ".join(random.choice(WORDS, 30))
            store.update(str(id), text=text)
            vectors[str(id)] = encoder.encode_documents([text])[0]
        check(store)
        assert store.count() == 300


async def test_scores_awaited(server: Server) -> None:
    random = np.random.default_rng(21)
    vectors = {str(n): random_vector(random, 500, 50) for n in range(50)}
    documents = [Document(id=id, vector=vector) for id, vector in vectors.items()]
    async with server.astore(server.new_name(), by_client=True) as store:
        assert (await store.index(documents)).written == 50
        for _ in range(10):
            query = random_vector(random, 500, 30)
            assert_exact(await store.search(query, limit=50), query, vectors, 50)


def test_every_token_of_the_vocabulary(
    server_of_either_kind: Server, encoder: SparseEncoder
) -> None:
    server = server_of_either_kind
    random = np.random.default_rng(22)
    vocabulary = encoder.spec.vocabulary
    assert vocabulary == 30_522
    parts = np.array_split(random.permutation(vocabulary), vocabulary // TERMS_OF_A_DOCUMENT + 1)
    vectors = {str(n): random_vector(random, part, len(part)) for n, part in enumerate(parts)}
    assert {int(index) for vector in vectors.values() for index in vector.indices} == set(
        range(vocabulary)
    )
    with server.store(server.new_name(), encoder) as store:
        index(store, vectors)
        for id, vector in vectors.items():
            query = SparseVector(vector.indices, random.random(len(vector), np.float32) + 0.1)
            hits = store.search(query, limit=100)
            assert [hit.id for hit in hits] == [id]
            assert_exact(hits, query, vectors, 100)
        found = store.get(list(vectors), with_vectors=True)
        assert {item.id: item.vector for item in found} == {
            id: as_stored(vector, "lucene") for id, vector in vectors.items()
        }


def test_tokens_that_are_awkward_names(server: Server, encoder: SparseEncoder) -> None:
    tokens = [".", "%", "*", "/", "\\", '"', "_", "#", "##s", "[CLS]", "<", "|", "é", "日", "..."]
    found = {token: encoder.token_id(token) for token in tokens}
    indices = {token: index for token, index in found.items() if index is not None}
    assert len(indices) >= 13
    vectors = {
        str(index): SparseVector(np.array([index], np.uint32), np.array([1.5], np.float32))
        for index in indices.values()
    }
    with server.store(server.new_name(), encoder) as store:
        index(store, vectors)
        for id, vector in vectors.items():
            assert [(hit.id, hit.score) for hit in store.search(vector)] == [(id, 2.25)]


def test_a_query_of_three_thousand_terms(server_of_either_kind: Server) -> None:
    server = server_of_either_kind
    random = np.random.default_rng(23)
    vectors = {str(n): random_vector(random, 5000, 300) for n in range(100)}
    query = random_vector(random, 5000, 3000)
    capped = query.prune(PruneOptions(top_k=LIMIT_OF_TERMS))
    odd = {id: vector for id, vector in vectors.items() if int(id) % 2}
    many_clauses = {"bool": {"should": [{"term": {"n": n}} for n in range(1, 400, 2)]}}
    with server.store(server.new_name()) as store:
        index(store, vectors)
        hits = store.search(query, limit=100)
        assert hits.plan.warnings == (
            "only the 1,000 heaviest of the query's 3,000 terms are sent (clause limit of the "
            "server, or max_query_terms)",
        )
        assert_exact(hits, capped, vectors, 100)
        hits = store.search(query, limit=100, filter=many_clauses)
        assert_exact(hits, capped, odd, 100)
        hits = store.search(query, limit=100, max_query_terms=7)
        assert_exact(hits, query.prune(PruneOptions(top_k=7)), vectors, 100)


def test_filters_and_pages_keep_the_scores(server: Server) -> None:
    random = np.random.default_rng(24)
    vectors = {str(n): random_vector(random, 200, 40) for n in range(100)}
    query = random_vector(random, 200, 20)
    filters: dict[str, tuple[Any, set[int]]] = {
        "term": ({"term": {"n": 7}}, {7}),
        "range": ({"range": {"n": {"gte": 10, "lt": 60}}}, set(range(10, 60))),
        "bool": (
            {"bool": {"must_not": [{"terms": {"n": list(range(90))}}]}},
            set(range(90, 100)),
        ),
    }
    with server.store(server.new_name()) as store:
        index(store, vectors)
        for filter, wanted in filters.values():
            chosen = {id: vector for id, vector in vectors.items() if int(id) in wanted}
            assert_exact(store.search(query, limit=100, filter=filter), query, chosen, 100)
        whole = store.search(query, limit=60)
        pages = [store.search(query, limit=20, offset=offset) for offset in (0, 20, 40)]
        assert tuple(hit for page in pages for hit in page) == tuple(whole)
        assert store.search(query, limit=10, offset=5000) == ()
        bare = store.search(query, limit=60, with_payload=False)
        assert [(hit.id, hit.score) for hit in bare] == [(hit.id, hit.score) for hit in whole]
        assert all(hit.payload == {} for hit in bare)
        assert whole[0].payload == {"n": int(whole[0].id), "text": f"text of {whole[0].id}"}


def test_beyond_the_window_of_results(server: Server) -> None:
    with server.store(server.new_name()) as store:
        index(store, {"1": random_vector(np.random.default_rng(25), 10, 5)})
        wanted = (
            r"refused the request \(400\): .*Result window is too large, from \+ size must be less "
            r"than or equal to: \[10000\] but was \[10001\]"
        )
        query = SparseVector(np.array([1], np.uint32), np.array([1.0], np.float32))
        assert len(store.search(query, limit=1, offset=9999)) == 0
        with pytest.raises(RequestRejected, match=wanted) as caught:
            store.search(query, limit=1, offset=10_000)
        assert caught.value.status == 400
        assert str(caught.value).count("Result window is too large") == 1


def test_a_filter_that_the_server_does_not_know(server: Server) -> None:
    with server.store(server.new_name()) as store:
        index(store, {"1": random_vector(np.random.default_rng(26), 10, 5)})
        with pytest.raises(RequestRejected, match=r"unknown query \[nonsense\]"):
            store.search(random_vector(np.random.default_rng(26), 10, 5), filter={"nonsense": {}})


def test_a_plan_sent_by_hand(server: Server) -> None:
    random = np.random.default_rng(27)
    vectors = {str(n): random_vector(random, 200, 40) for n in range(50)}
    query = random_vector(random, 200, 20)
    with server.store(server.new_name()) as store:
        index(store, vectors)
        arguments: dict[str, Any] = {
            "limit": 7,
            "offset": 3,
            "filter": {"range": {"n": {"lt": 40}}},
        }
        plan = store.plan(query, **arguments)
        hits = store.search(query, **arguments)
        assert hits.plan == plan
        assert (plan.path, plan.method) == (server.kind, "POST")
        assert "dot product" in plan.reason
    answer = httpx.request(plan.method, f"{server.url}{plan.url_path}", json=dict(plan.body))
    assert [
        (hit["_id"], hit["_score"], hit["_source"]) for hit in answer.json()["hits"]["hits"]
    ] == [(hit.id, hit.score, hit.payload) for hit in hits]


def test_weights_that_elasticsearch_refuses_are_left_out(server: Server) -> None:
    # FeatureField wants at least the smallest normal float32.
    vector = SparseVector(np.array([1, 2], np.uint32), np.array([1e-40, 2.0], np.float32))
    with server.store(server.new_name()) as store:
        index(store, {"1": vector})
        (found,) = store.get(["1"], with_vectors=True)
        assert found.vector == as_stored(vector, "lucene")
        assert found.vector is not None
        assert found.vector.to_dict() == {2: 2.0}
