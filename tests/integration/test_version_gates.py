"""What decides by a server's version, and what plans say of it: Serverless, OpenSearch's shards."""

from __future__ import annotations

import json
import random
import uuid

import httpx
import pytest

from splade_connectors import Document, SparseVector, Store, connect
from splade_connectors.fusion import Rrf, TextLeg
from splade_connectors.fusion.legs import SparseLeg
from splade_connectors.testing import HashEncoder
from tests.integration.elasticsearch_fake import Answer, Asked, error, fake_elasticsearch

LEGS = [SparseLeg(candidates=50), TextLeg(candidates=50)]
NOT_AVAILABLE = (
    "Request for uri [/_license] with method [GET] exists but is not available when running in "
    "serverless mode"
)


def serverless(asked: Asked) -> Answer | None:
    """What Serverless says of itself, and of licences."""
    if asked.path == "/":
        return Answer(200, {"version": {"number": "8.11.0", "build_flavor": "serverless"}})
    if asked.path == "/_license":
        return Answer(410, error("api_not_available_exception", NOT_AVAILABLE))
    if asked.path.endswith("/_field_caps"):
        return Answer(200, {"fields": {"text": {"text": {"type": "text"}}}})
    return None


def basic(asked: Asked) -> Answer | None:
    """A release of that number."""
    if asked.path == "/":
        return Answer(200, {"version": {"number": "8.11.0", "build_flavor": "default"}})
    if asked.path == "/_license":
        return Answer(200, {"license": {"type": "basic"}})
    return serverless(asked)


def filled(address: str) -> Store:
    store = connect(f"elasticsearch://{address}/articles", encoder=HashEncoder())
    store.index([Document(id="1", text="coffee")])
    return store


def test_serverless_has_what_its_version_number_denies() -> None:
    with fake_elasticsearch(serverless) as (address, fake), filled(address) as store:
        plan = store.plan("coffee", legs=LEGS)
        assert plan.path == "rrf retriever"
        assert plan.reason.endswith("server: Elasticsearch Serverless has the retrievers")
        assert store.plan("coffee").path == "sparse_vector"
        assert fake.mapping["properties"]["splade"]["type"] == "sparse_vector"
    with fake_elasticsearch(basic) as (address, fake), filled(address) as store:
        plan = store.plan("coffee", legs=LEGS)
        assert plan.fused_by == "client"
        assert "the server is 8.11.0" in " ".join(plan.not_taken)
        assert fake.mapping["properties"]["splade"]["type"] == "rank_features"


@pytest.mark.servers
def test_ranks_of_opensearch_are_of_all_shards_and_windows_of_each(opensearch_url: str) -> None:
    """Why a fusion of several shards is the client's, also from 3.5 on."""
    address = f"{opensearch_url.rstrip('/')}/splade-shards-{uuid.uuid4().hex}"
    draw = random.Random(3)
    rows = {str(at): {"a": draw.uniform(1, 9), "b": draw.uniform(1, 9)} for at in range(60)}
    fields = {name: {"type": "float"} for name in "ab"}
    body = {"settings": {"number_of_shards": 3}, "mappings": {"properties": fields}}
    lines = [line for id, row in rows.items() for line in ({"index": {"_id": id}}, row)]
    ranker = {"combination": {"technique": "rrf", "rank_constant": 60}}

    def leg(name: str) -> dict[str, object]:
        factor = {"field": name, "missing": 0}
        score = {"field_value_factor": factor, "boost_mode": "replace"}
        return {"function_score": {"query": {"match_all": {}}, **score}}

    def fused(window: int) -> dict[str, float]:
        hybrid = {"queries": [leg("a"), leg("b")], "pagination_depth": window}
        asked = {
            "query": {"hybrid": hybrid},
            "search_pipeline": {"phase_results_processors": [{"score-ranker-processor": ranker}]},
            "size": 60,
        }
        found = client.post(f"{address}/_search", json=asked).raise_for_status().json()
        return {hit["_id"]: hit["_score"] for hit in found["hits"]["hits"]}

    def defined(window: int) -> dict[str, float]:
        scores: dict[str, float] = {}
        for name in "ab":
            best = sorted(rows, key=lambda id: -rows[id][name])[:window]
            for rank, id in enumerate(best, start=1):
                scores[id] = scores.get(id, 0.0) + 1 / (60 + rank)
        return scores

    with httpx.Client(trust_env=False, timeout=60) as client:
        client.put(address, json=body).raise_for_status()
        try:
            bulk = "".join(f"{json.dumps(line)}\n" for line in lines)
            kind = {"content-type": "application/x-ndjson"}
            client.post(f"{address}/_bulk?refresh=true", content=bulk, headers=kind)
            version = client.get(opensearch_url).json()["version"]["number"]
            together = tuple(map(int, version.split(".")[:2])) >= (3, 5)
            # With room for all documents, only the ranks could differ.
            same = fused(60) == pytest.approx(defined(60), rel=1e-6)
            assert same == together
            assert len(fused(10)) > len(defined(10))
        finally:
            client.delete(address)


def test_a_plan_for_two_shards_says_so() -> None:
    """In the words of the version; the bodies are golden files."""
    from splade_connectors.fusion.request import HybridQuery, ResolvedLeg
    from splade_opensearch.compile import compile_hybrid
    from tests.golden.test_hybrid_bodies_opensearch import SERVERS, Keys, Vocabulary

    vector = SparseVector.from_pairs({0: 1.0})[0]
    leg = ResolvedLeg(name="sparse", kind="sparse", sparse=vector, candidates=50)
    query = HybridQuery(fusion=Rrf(), legs=(leg, leg))
    plan = compile_hybrid(query, SERVERS["opensearch-3.8"], Keys(Vocabulary), "auto")
    assert plan.reason == (
        "one request, fused by the server, as query_then_fetch: it refuses dfs_query_then_fetch"
    )
    assert "search_type" not in plan.url_path
