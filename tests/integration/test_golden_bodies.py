"""Golden request bodies are sent to the real servers at hand, and answered with the right hits.

Every file is sent to a server of its kind, those of other versions and licences too: what differs
between them is which body is chosen, and the newer server understands the older body. What a server
here cannot understand is asserted in its own words, and the legs of such a body are sent each by
itself.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import pytest
from qdrant_client import QdrantClient

from splade_connectors import Document, SparseEncoder, SparseVector, connect
from splade_connectors.options import AttachOptions
from splade_qdrant.client import ClientCalls
from splade_qdrant.edge.engine import EdgeEngine
from splade_qdrant.requests import QdrantRequest
from tests.integration.elasticsearch_server import Server, server_of
from tests.integration.hybrid_places import opensearch

FILES = sorted((Path(__file__).parents[1] / "golden").rglob("*.json"))

# Found by every filter of the hybrid bodies, and not; each by every leg.
ENGLISH, GERMAN = "1", "2"
ROWS: dict[str, dict[str, Any]] = {
    ENGLISH: {"splade": {"coffee": 2.0}, "dense": [1.0, 0.5], "lang": "en"},
    GERMAN: {"splade": {"coffee": 1.0}, "dense": [1.0, 0.25], "lang": "de"},
}
for _row in ROWS.values():
    _row |= {"title": "Coffee", "body": "Coffee", "author": {"name": "Ada"}}
COSINE = 0.6  # of the English one with [0.5, -0.25]

# Fused scores of the English one, which is the first in every leg.
SUM = 0.25 * 2.5 * 2 / 20 + 0.75 * (1 + COSINE) / 2
SCORES = {
    "rrf": 2 / 61,
    "exact-dense": 2 / 61,
    "rrf-k": 2 / 21,
    "rrf-weights": 2.5 / 21,
    "sum": SUM,
    "sum-without-windows": SUM,
    "dbsf-weights": 0.5 * 1 + 0.5 * 3,  # a window of one document has no deviation
    "three-legs": 2.5 / 61,
    "text": 2.5 * 2 + 2 * math.log(1 + 0.5 / 2.5),  # both have the one word
}
# What OpenSearch's own scores are multiplied by afterwards: its weights add up to 1.
FACTORS = {"rrf-weights": 2.5, "three-legs": 2.5}


@dataclass(frozen=True)
class Golden:
    """A reviewed request."""

    name: str
    backend: str
    body: dict[str, Any] = field(hash=False)
    verb: str
    fused: bool

    @property
    def searches(self) -> list[dict[str, Any]]:
        """The single searches of a batch, else the whole."""
        found: list[dict[str, Any]] = self.body.get("searches", [self.body])
        return found

    @property
    def ids(self) -> list[str]:
        """What each search has to find."""
        if self.name in WITH_A_FILTER:
            return WITH_A_FILTER[self.name]
        return [ENGLISH, GERMAN] if self.backend in PLAIN else [ENGLISH]


# What the filters of tests/golden/search leave; two of them contradict themselves.
WITH_A_FILTER = {
    "filter": [GERMAN],
    "conditions": [],
    "conditions-within-each-other": [],
    "groups": [ENGLISH],
}
# The backends of tests/golden/search, whose other bodies have no filter.
PLAIN = ("elasticsearch-rank_features", "elasticsearch-sparse_vector", "qdrant")


def _golden(file: Path) -> Golden:
    plan = json.loads(file.read_text(encoding="utf-8"))
    # Behind the last document there is nothing to see, and `hybrid` calls it an error.
    body = {key: value for key, value in plan["body"].items() if key not in ("from", "offset")}
    request = plan.get("request") or plan["path"]
    fused = plan.get("fused_by") == "server"
    return Golden(file.parent.name, file.stem, body, request.rpartition("/")[2], fused)


# Plans that refuse: they have no body that could be sent.
NOTHING_TO_SEND = [
    "elasticsearch-7.17-basic",
    "opensearch-3.4-3-shards",
    "opensearch-3.6-3-shards",
    "qdrant-1.10",
    "qdrant-1.14",
    "qdrant-1.18",
    "qdrant-1.20",
]
GOLDEN = [_golden(file) for file in FILES if "refused" not in json.loads(file.read_text())]


def for_servers(*starts: str) -> list[Any]:
    """Bodies of these backends, as parameters."""
    return [
        pytest.param(golden, id=f"{golden.name}-{golden.backend}")
        for golden in GOLDEN
        if golden.backend.startswith(starts)
    ]


def without_idf(params: list[Any]) -> list[Any]:
    """Those that need no sparse vector with IDF: test_hybrid.py has one, of the engine's BM25."""
    return [param for param in params if "qdrant/bm25" not in json.dumps(param.values[0].body)]


RANK_FEATURES = [
    "elasticsearch-rank_features",
    "elasticsearch-7.17-basic",
    "elasticsearch-8.15-basic",
    "elasticsearch-9.3-basic-rank_features",
]
SPARSE_VECTOR = [
    "elasticsearch-sparse_vector",
    "elasticsearch-8.19-enterprise",
    "elasticsearch-9.3-basic",
    "elasticsearch-9.3-enterprise",
    "elasticsearch-serverless",
]


def test_every_file_is_sent_or_has_nothing_to_send() -> None:
    left = {file.stem for file in FILES if "refused" in json.loads(file.read_text())}
    assert sorted(left) == NOTHING_TO_SEND
    families = {golden.backend.partition("-")[0] for golden in GOLDEN}
    assert families == {"elasticsearch", "opensearch", "qdrant"}
    backends = {golden.backend for golden in GOLDEN if golden.backend.startswith("elasticsearch")}
    assert backends == {*RANK_FEATURES, *SPARSE_VECTOR}


@dataclass(frozen=True)
class Index:
    """An index of Elasticsearch or OpenSearch with both documents.

    Attributes:
        url: of it.
        modules: of the server.
        has_knn: whether dense vectors can be searched there.
    """

    url: str
    modules: frozenset[str] = frozenset()
    has_knn: bool = True

    def fill(self) -> None:
        for id, row in ROWS.items():
            known = row if self.has_knn else {k: v for k, v in row.items() if k != "dense"}
            answer = httpx.put(
                f"{self.url}/_doc/{id}?refresh=true", json=known, trust_env=False, timeout=60
            )
            answer.raise_for_status()

    def send(self, verb: str, *searches: dict[str, Any]) -> httpx.Response:
        """One search, or a batch of them."""
        lines = [line for search in searches for line in ({}, search)]
        batch = verb == "_msearch"
        return httpx.post(
            f"{self.url}/{verb}",
            content="".join(f"{json.dumps(line)}\n" for line in (lines if batch else searches)),
            headers={"content-type": f"application/{'x-ndjson' if batch else 'json'}"},
            trust_env=False,
            timeout=60,
        )


def ids_of(answer: Any) -> list[str]:
    assert "hits" in answer, answer
    return [hit["_id"] for hit in answer["hits"]["hits"]]


def assert_understood(index: Index, golden: Golden, factor: float = 1.0) -> None:
    answer = index.send(golden.verb, *golden.searches)
    assert answer.is_success, answer.text
    answers = answer.json().get("responses", [answer.json()])
    assert [ids_of(found) for found in answers] == [golden.ids] * len(golden.searches)
    if golden.fused:
        score = answers[0]["hits"]["hits"][0]["_score"] * factor
        assert score == pytest.approx(SCORES[golden.name], rel=1e-6)


def _index(server: Server, kind: str) -> Index:
    has_knn = server.version >= (8, 4)
    properties: dict[str, Any] = {
        "splade": {"type": kind},
        "lang": {"type": "keyword"},
        "title": {"type": "text"},
    }
    if has_knn:
        flat = {"index_options": {"type": "flat"}} if server.version >= (8, 13) else {}
        properties["dense"] = {
            "type": "dense_vector",
            "dims": 2,
            "index": True,
            "similarity": "cosine",
            **flat,
        }
    name = server.new_name()
    server.call("PUT", f"/{name}", {"mappings": {"properties": properties}})
    index = Index(f"{server.url}/{name}", server.modules, has_knn)
    index.fill()
    return index


@pytest.fixture(scope="module")
def sparse_vector(request: pytest.FixtureRequest) -> Iterator[Index]:
    with server_of("9.3.2", request) as server:
        yield _index(server, "sparse_vector")


@pytest.fixture(scope="module")
def rank_features(request: pytest.FixtureRequest) -> Iterator[Index]:
    with server_of("7.17.29", request) as server:
        yield _index(server, "rank_features")


def expected(index: Index, search: dict[str, Any], ids: list[str]) -> list[str] | str:
    """The hits, or what a server says of what it does not have; a user's own may have all of it."""
    if "knn" in search and not index.has_knn:
        return "Unknown key for a START_OBJECT in [knn]."
    if "script_score" not in json.dumps(search):
        return ids
    if not index.has_knn:
        return []  # no dense field, for which there is a filter
    return ids if "lang-painless" in index.modules else "script_lang not supported [painless]"


def assert_each_understood(index: Index, golden: Golden) -> None:
    """All searches at once, or each by itself where the server does not have what one asks for."""
    answers = [expected(index, search, golden.ids) for search in golden.searches]
    if answers == [golden.ids] * len(answers):
        assert_understood(index, golden)
        return
    for search in golden.searches:
        assert_answered(index, search, golden.ids)


def assert_answered(index: Index, search: dict[str, Any], ids: list[str]) -> None:
    answer = index.send("_search", search)
    wanted = expected(index, search, ids)
    if isinstance(wanted, list):
        assert ids_of(answer.json()) == wanted
        return
    assert answer.status_code == 400
    assert wanted in answer.json()["error"]["root_cause"][0]["reason"]


@pytest.mark.servers
@pytest.mark.parametrize("golden", for_servers(*RANK_FEATURES))
def test_elasticsearch_understands_rank_features(rank_features: Index, golden: Golden) -> None:
    assert_each_understood(rank_features, golden)


def sparse_vector_bodies(retriever: bool) -> list[Any]:
    return [
        param
        for param in for_servers("elasticsearch")
        if param.values[0].backend in SPARSE_VECTOR
        and ("retriever" in param.values[0].body) == retriever
    ]


@pytest.mark.servers
@pytest.mark.parametrize("golden", sparse_vector_bodies(retriever=False))
def test_elasticsearch_understands_sparse_vectors(sparse_vector: Index, golden: Golden) -> None:
    assert_each_understood(sparse_vector, golden)


# Retriever -> the module that has it; with the module, a basic licence is refused by name.
MODULES = {"rrf": "rank-rrf", "linear": "rank-rrf"}


@pytest.mark.servers
@pytest.mark.parametrize("golden", sparse_vector_bodies(retriever=True))
def test_elasticsearch_understands_the_legs_of_a_retriever(
    sparse_vector: Index, golden: Golden
) -> None:
    ((kind, retriever),) = golden.body["retriever"].items()
    for part in retriever["retrievers"]:
        search = {**golden.body, "retriever": part.get("retriever", part)}
        assert_answered(sparse_vector, search, golden.ids)
    answer = sparse_vector.send("_search", golden.body)
    if MODULES[kind] not in sparse_vector.modules:
        # No licence is asked for here: these builds do not have the module.
        assert answer.status_code == 400
        assert answer.json()["error"]["reason"] == f"unknown retriever [{kind}]"
    elif answer.status_code == 403:
        assert "license is non-compliant" in answer.json()["error"]["reason"]
    else:
        assert ids_of(answer.json()) == golden.ids


@pytest.fixture(scope="module")
def articles(opensearch_url: str, encoder: SparseEncoder) -> Iterator[Index]:
    with opensearch(opensearch_url, encoder, name="golden", dimensions=2) as place:
        fields = {
            "splade": {"type": "rank_features"},
            "lang": {"type": "keyword"},
            "title": {"type": "text"},
        }
        url = f"{opensearch_url.rstrip('/')}/{place.target.rpartition('/')[2]}"
        mapping = {"properties": fields}
        httpx.put(f"{url}/_mapping", json=mapping, trust_env=False).raise_for_status()
        index = Index(url)
        index.fill()
        yield index


@pytest.mark.servers
@pytest.mark.parametrize("golden", for_servers("opensearch", "elasticsearch-rank_features"))
def test_opensearch_understands(articles: Index, golden: Golden) -> None:
    hybrid = "hybrid" in golden.body.get("query", {})
    assert_understood(articles, golden, FACTORS.get(golden.name, 1.0) if hybrid else 1.0)


BODY = AttachOptions(text_index=("body",))


@pytest.fixture(scope="module", params=["edge", "local"])
def qdrant(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, encoder: SparseEncoder
) -> Iterator[Any]:
    """The embedded engine, or qdrant-client's own in memory, with both documents."""
    documents = [
        Document(
            id=int(id),
            text=row["title"],
            vector=SparseVector.from_pairs({0: row["splade"]["coffee"]})[0],
            dense=row["dense"],
            payload={name: row[name] for name in ("lang", "body", "author")},
        )
        for id, row in ROWS.items()
    ]
    if request.param == "edge":
        path = tmp_path_factory.mktemp("golden") / "shard"
        with connect(f"edge:{path}?dense=dense", encoder=encoder) as store:
            store.index(documents)
            store.attach(options=BODY)
        engine = EdgeEngine(path, f"edge:{path}")
        yield engine
        engine.close()
        return
    client = QdrantClient(":memory:")
    with connect(client, "articles", dense="dense", encoder=encoder) as store:
        store.index(documents)
        store.attach(options=BODY)
        yield ClientCalls(client, "articles", "memory")
    client.close()


# Its search is exact anyhow, and it says so of a body that asks for it.
@pytest.mark.filterwarnings("ignore:Local mode performs exact:UserWarning")
@pytest.mark.parametrize("golden", without_idf(for_servers("qdrant")))
def test_qdrant_understands(qdrant: Any, golden: Golden) -> None:
    if golden.verb == "batch":
        answers = qdrant.send(QdrantRequest("batch_query", golden.body))
    else:
        answers = [qdrant.send(QdrantRequest("query", golden.body))]
    ids = [[str(point["id"]) for point in found] for found in answers]
    assert ids == [golden.ids] * len(golden.searches)
    if golden.fused:
        assert answers[0][0]["score"] == pytest.approx(SCORES[golden.name], rel=1e-6)
