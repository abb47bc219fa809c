"""The test servers themselves: each comes up, is of its version, and does what tests need of it."""

import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest
from elasticsearch import NotFoundError

from tests.servers import (
    DISTRIBUTIONS,
    ElasticsearchServer,
    OpenSearchServer,
    ServerFailed,
    ServerUnavailable,
    SharedServer,
    client_for,
)
from tests.servers.fixtures import skip_when_unavailable
from tests.servers.java import java_home
from tests.servers.maven import fetch
from tests.servers.opensearch import OPENSEARCH

ARTICLE = {"coffee": 2.5, "tea": 0.5}  # weights that both field types store exactly
QUERY = {"coffee": 2.0, "milk": 1.0}
DOT_PRODUCT = 5.0

SERVER_GONE_S = 15.0
ROOT = Path(__file__).parents[2]


def rank_features_query(field: str, weights: dict[str, float]) -> dict[str, Any]:
    clauses = [
        {"rank_feature": {"field": f"{field}.{token}", "linear": {}, "boost": weight}}
        for token, weight in weights.items()
    ]
    return {"bool": {"should": clauses}}


def sparse_vector_query(field: str, weights: dict[str, float]) -> dict[str, Any]:
    return {"sparse_vector": {"field": field, "query_vector": weights}}


RANK_FEATURES: dict[str, Any] = {"type": "rank_features"}
SPARSE_VECTOR: dict[str, Any] = {"type": "sparse_vector", "index_options": {"prune": False}}


@pytest.mark.servers
@pytest.mark.parametrize(
    ("fixture", "version", "field_type", "query"),
    [
        ("elasticsearch_url", "9.3.2", SPARSE_VECTOR, sparse_vector_query),
        ("elasticsearch_8_url", "8.19.21", SPARSE_VECTOR, sparse_vector_query),
        ("rank_features_url", "7.17.29", RANK_FEATURES, rank_features_query),
    ],
)
def test_a_server_scores_by_dot_product(
    fixture: str,
    version: str,
    field_type: dict[str, Any],
    query: Callable[[str, dict[str, float]], dict[str, Any]],
    request: pytest.FixtureRequest,
) -> None:
    url = request.getfixturevalue(fixture)
    running = running_version(url)
    if running != version:
        pytest.skip(f"{url} was given in the environment, and runs {running}")
    with client_for(url, int(version.split(".")[0])) as client:
        client.indices.create(index="test-servers", mappings={"properties": {"splade": field_type}})
        try:
            client.index(index="test-servers", id="1", document={"splade": ARTICLE}, refresh=True)
            hits = client.search(index="test-servers", query=query("splade", QUERY))["hits"]["hits"]
        finally:
            client.indices.delete(index="test-servers")
    assert [(hit["_id"], hit["_score"]) for hit in hits] == [("1", DOT_PRODUCT)]


@pytest.mark.servers
def test_opensearch_has_both_kinds_of_vectors_in_one_index(opensearch_url: str) -> None:
    url = f"{opensearch_url}/test-servers"
    running = httpx.get(opensearch_url, trust_env=False).json()["version"]["number"]
    if running != OPENSEARCH.version:
        pytest.skip(f"{opensearch_url} was given in the environment, and runs {running}")
    method = {"name": "hnsw", "engine": "lucene", "space_type": "cosinesimil"}
    dense = {"type": "knn_vector", "dimension": 2, "method": method}
    mappings = {"properties": {"splade": RANK_FEATURES, "dense": dense}}
    document = {"splade": ARTICLE, "dense": [3.0, 4.0]}
    splade = rank_features_query("splade", QUERY)
    nearest = {"knn": {"dense": {"vector": [1.0, 0.0], "k": 1}}}
    processor = {"score-ranker-processor": {"combination": {"technique": "rrf"}}}
    ranks = {"phase_results_processors": [processor]}
    with httpx.Client(trust_env=False) as client:
        client.put(url, json={"settings": {"index.knn": True}, "mappings": mappings})
        try:
            client.put(f"{url}/_doc/1?refresh=true", json=document).raise_for_status()
            sparse, similar, both = (
                client.post(f"{url}/_search", json=body).json()["hits"]["hits"]
                for body in (
                    {"query": splade},
                    {"query": nearest},
                    {"query": {"hybrid": {"queries": [splade, nearest]}}, "search_pipeline": ranks},
                )
            )
        finally:
            client.delete(url)
    assert sparse[0]["_score"] == DOT_PRODUCT
    assert similar[0]["_score"] == pytest.approx(0.8)
    assert [hit["_score"] for hit in both] == [pytest.approx(2 / 61)]


@pytest.mark.servers
@pytest.mark.full("how a server of this run stops, on another OpenSearch")
def test_opensearch_stops_with_its_tests() -> None:
    with skip_when_unavailable():
        server = OpenSearchServer.start(heap="512m")
    with server:
        assert httpx.get(server.url).json()["version"]["number"] == server.version
    with pytest.raises(httpx.ConnectError):
        httpx.get(server.url)


@pytest.mark.servers
@pytest.mark.parametrize(
    ("fixture", "major"), [("elasticsearch_8_url", 8), ("rank_features_url", 7)]
)
async def test_the_async_client_talks_to_an_older_server(
    fixture: str, major: int, request: pytest.FixtureRequest
) -> None:
    async with client_for(request.getfixturevalue(fixture), major, async_=True) as client:
        with pytest.raises(NotFoundError):
            await client.indices.delete(index="never-created")


@pytest.mark.servers
def test_a_secured_server_wants_a_password(secured_elasticsearch: SharedServer) -> None:
    assert get(secured_elasticsearch, "/_nodes").status_code == 401
    assert get(secured_elasticsearch, "/_nodes", user="elastic").status_code == 200


@pytest.mark.servers
def test_the_reader_of_a_secured_server_may_only_read(
    secured_elasticsearch: SharedServer,
) -> None:
    admin = ("elastic", secured_elasticsearch.users["elastic"])
    reader = ("reader", secured_elasticsearch.users["reader"])
    document = f"{secured_elasticsearch.url}/articles/_doc/1"
    httpx.put(f"{document}?refresh=true", json={"title": "Coffee"}, auth=admin).raise_for_status()

    assert httpx.get(document, auth=reader).json()["_source"] == {"title": "Coffee"}
    assert get(secured_elasticsearch, "/articles/_mapping", user="reader").status_code == 200
    assert get(secured_elasticsearch, "/books/_search", user="reader").status_code == 403

    refused = httpx.put(document, json={"title": "Tea"}, auth=reader)
    assert refused.status_code == 403
    reason = refused.json()["error"]["reason"]
    assert "unauthorized for user [reader]" in reason
    assert "granted by the index privileges [create_doc,create,index,write,all]" in reason


@pytest.mark.servers
def test_a_killed_server_comes_back_with_its_data_at_the_same_url() -> None:
    with start(version="7.17.29", heap="512m") as server:  # the quickest to start
        url = server.url
        document = f"{url}/articles/_doc/1"
        httpx.put(document, json={"title": "Coffee"}).raise_for_status()

        server.kill()
        with pytest.raises(httpx.ConnectError):
            httpx.get(document)

        server.restart()
        assert server.url == url
        assert httpx.get(document).json()["_source"] == {"title": "Coffee"}
    with pytest.raises(httpx.ConnectError):
        httpx.get(document)


@pytest.mark.servers
def test_a_server_that_does_not_start_shows_its_log() -> None:
    with pytest.raises(ServerFailed, match=r"(?s)ended with status \d+.*Xms"):
        start(heap="a lot")


@pytest.mark.servers
def test_a_server_that_is_too_slow_is_given_up() -> None:
    with pytest.raises(ServerFailed, match=r"is not healthy after 0\.5 s"):
        start(heap="512m", timeout_s=0.5)


@pytest.mark.servers
def test_a_server_does_not_outlive_tests_that_are_killed() -> None:
    with skip_when_unavailable():
        DISTRIBUTIONS["7.17.29"].java_home()
        DISTRIBUTIONS["7.17.29"].home()
    script = (
        "from tests.servers import ElasticsearchServer as Server; import time;"
        "print(Server.start('7.17.29', heap='512m').url, flush=True); time.sleep(600)"
    )
    tests = subprocess.Popen(
        [sys.executable, "-c", script], cwd=ROOT, stdout=subprocess.PIPE, text=True
    )
    try:
        assert tests.stdout is not None
        url = tests.stdout.readline().strip()
        assert httpx.get(f"{url}/_cluster/health").is_success
    finally:
        tests.kill()
        tests.communicate()

    assert is_gone(url)


def test_the_smallest_suitable_java_is_taken(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for version in ("1.8.0_402", "17.0.15", "21.0.7", "25.0.3"):
        pretend_java(tmp_path / f"jdk-{version}", version)
    monkeypatch.setenv("JAVA_HOME", str(tmp_path / "jdk-25.0.3"))
    monkeypatch.setenv("PATH", "")

    assert java_home(8).name == "jdk-1.8.0_402"
    assert java_home(17).name == "jdk-17.0.15"
    assert java_home(18).name == "jdk-21.0.7"
    with pytest.raises(ServerUnavailable, match=r"Java 18 to 20 is needed \(found: 25 at "):
        java_home(18, 20)


def test_the_java_named_for_a_version_decides(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pretend_java(tmp_path / "named", "23.0.1")
    monkeypatch.setenv("SPLADE_TEST_JAVA_HOME_21", str(tmp_path / "named"))
    assert java_home(21) == tmp_path / "named"

    monkeypatch.setenv("SPLADE_TEST_JAVA_HOME_21", str(tmp_path / "missing"))
    with pytest.raises(ServerUnavailable, match=r"Java 21 or newer is needed \(found: none\)"):
        java_home(21)


def test_a_missing_maven_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("SPLADE_TEST_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("PATH", "")
    with pytest.raises(ServerUnavailable, match="Maven is needed to fetch a:b:1:zip: install it"):
        fetch("a:b:1:zip")


@pytest.mark.parametrize(("ci", "outcome"), [("", pytest.skip), ("true", pytest.fail)])
def test_a_server_that_cannot_be_had_skips_the_test_and_fails_it_in_ci(
    ci: str, outcome: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CI", ci)
    with (
        pytest.raises(outcome.Exception, match="install Java, or set SOME_URL"),
        skip_when_unavailable(instead=", or set SOME_URL"),
    ):
        raise ServerUnavailable("install Java")


def start(**options: Any) -> ElasticsearchServer:
    with skip_when_unavailable():
        return ElasticsearchServer.start(**options)


def running_version(url: str) -> str:
    """Asked at `/_nodes`, since these builds do not answer at `/`."""
    nodes = httpx.get(f"{url}/_nodes?filter_path=nodes.*.version").raise_for_status().json()
    (node,) = nodes["nodes"].values()
    return str(node["version"])


def get(server: SharedServer, path: str, user: str | None = None) -> httpx.Response:
    auth = (user, server.users[user]) if user else None
    return httpx.get(f"{server.url}{path}", auth=auth)


def is_gone(url: str) -> bool:
    """Whether nothing listens at `url` any more, now or soon."""
    give_up = time.monotonic() + SERVER_GONE_S
    while time.monotonic() < give_up:
        try:
            httpx.get(url, timeout=1.0)
        except httpx.TransportError:
            return True
        time.sleep(0.1)
    return False


def pretend_java(home: Path, version: str) -> None:
    launcher = home / "bin" / "java"
    launcher.parent.mkdir(parents=True)
    launcher.touch(mode=0o755)
    (home / "release").write_text(f'IMPLEMENTOR="Nobody"\nJAVA_VERSION="{version}"\n')
