"""Indices of one's own OpenSearch: clients, mappings that are already there, errors, secrets."""

from __future__ import annotations

import subprocess
import sys
import uuid
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

import httpx
import pytest
from opensearchpy import AsyncOpenSearch, OpenSearch

from splade_connectors import (
    AsyncStore,
    Document,
    RetryOptions,
    Store,
    aconnect,
    connect,
)
from splade_connectors.backends.rounding import as_stored
from splade_connectors.errors import (
    AccessDenied,
    ConfigurationError,
    NotFound,
    RequestRejected,
    SchemaConflict,
    SpladeConnectorsError,
    Unavailable,
)
from splade_connectors.options import ConnectOptions
from splade_connectors.testing import HashEncoder
from tests.integration.elasticsearch_fake import Answer as Reply
from tests.integration.elasticsearch_fake import (
    AnswersWithAnAlert,
    ClosesTheConnection,
    NeverAnswers,
    SpeaksAnotherProtocol,
    fake_elasticsearch,
    serving,
    web_server,
)
from tests.integration.elasticsearch_fake import Asked as Asking
from tests.servers.process import free_ports

ROOT = Path(__file__).parents[2]
NO_RETRY = RetryOptions(attempts=1)
SECRET = "hunter2-pässwörd"  # not even Latin-1 is taken for granted
OWN_META = {"owner": "search team", "versions": [1, {"deep": None}]}
DOCUMENTS = [
    Document(id="a", text="Water and salt.", payload={"lang": "en", "n": 1}),
    Document(id="b", text="Salt and flour.", payload={"lang": "en", "n": 2}),
    Document(id="c", text="Wasser und Salz.", payload={"lang": "de", "n": 3}),
]


@dataclass
class Server:
    """A running OpenSearch, and the names of the indices that a test made on it."""

    url: str
    names: list[str] = field(default_factory=list)

    def new_name(self) -> str:
        """The name of an index, removed after the test."""
        self.names.append(f"splade-test-{uuid.uuid4().hex}")
        return self.names[-1]

    def target(self, name: str) -> str:
        return f"{self.url.replace('http', 'opensearch', 1)}/{name}"

    def call(self, method: str, path: str, body: Any = None) -> Any:
        """A request as one sends it by hand."""
        answer = httpx.request(method, f"{self.url}{path}", json=body, trust_env=False)
        assert answer.is_success, answer.text
        return answer.json()

    def mapping(self, name: str) -> Any:
        return self.call("GET", f"/{name}/_mapping")[name]["mappings"]

    def source(self, name: str, id: str) -> Any:
        return self.call("GET", f"/{name}/_doc/{id}")["_source"]

    def store(self, name: str, **parameters: Any) -> Store:
        return connect(self.target(name), encoder=HashEncoder(), retry=NO_RETRY, **parameters)


@pytest.fixture
def server(opensearch_url: str) -> Iterator[Server]:
    server = Server(opensearch_url.rstrip("/"))
    yield server
    for name in server.names:
        httpx.delete(f"{server.url}/{name}", trust_env=False)


def ids(hits: Any) -> set[str]:
    return {str(hit.id) for hit in hits}


# Clients


@pytest.mark.servers
def test_a_client_of_the_user_stays_open_and_keeps_its_settings(server: Server) -> None:
    name = server.new_name()
    with OpenSearch(server.url, max_retries=7) as client:
        store = connect(client, name, encoder=HashEncoder())
        store.index(DOCUMENTS)
        store.close()
        assert client.count(index=name)["count"] == len(DOCUMENTS)
        assert client.transport.max_retries == 7


@pytest.mark.servers
async def test_clients_go_with_their_own_way_to_connect(server: Server) -> None:
    with (
        OpenSearch(server.url) as client,
        pytest.raises(ConfigurationError, match="your OpenSearch needs"),
    ):
        await aconnect(client, "articles")
    async with AsyncOpenSearch(server.url) as client:
        with pytest.raises(ConfigurationError, match="AsyncOpenSearch needs await"):
            connect(client, "articles")


@pytest.mark.servers
@pytest.mark.parametrize("by_client", [True, False], ids=["client", "url"])
async def test_every_verb_awaited(server: Server, by_client: bool) -> None:
    parameters: dict[str, Any] = {"encoder": HashEncoder(), "retry": NO_RETRY}
    name = server.new_name()
    if by_client:
        async with AsyncOpenSearch(server.url) as client:
            await every_verb(await aconnect(client, name, **parameters))
        return
    async with await aconnect(server.target(name), **parameters) as store:
        await every_verb(store)
    with pytest.raises(ConfigurationError, match="has been closed; connect again"):
        await store.count()


async def every_verb(store: AsyncStore) -> None:
    with pytest.raises(NotFound, match="does not exist"):
        await store.search("salt")
    assert (await store.index(DOCUMENTS)).written == 3
    assert ids(await store.search("salt", filter={"term": {"lang.keyword": "en"}})) == {"a", "b"}
    assert (await store.plan("salt")).url_path.endswith("/_search")
    (found,) = await store.get(["a"], with_vectors=True)
    assert found.vector == as_stored(
        HashEncoder().encode_documents(["Water and salt."])[0], "lucene"
    )
    await store.update("a", text="Bread and wine.", payload={"n": 10})
    (found,) = await store.get(["a"])
    assert found.payload == {"lang": "en", "n": 10, "text": "Bread and wine."}
    assert (await store.explain("wine", "a")).score > 0
    await store.delete(["b"])
    assert await store.known(["a", "b"]) == ["a"]
    assert await store.count() == 2
    inspection = await store.inspect()
    assert inspection.manifest is not None
    assert inspection.capabilities.backend == "opensearch"
    assert inspection.capabilities.details["kind"] == "rank_features"


@pytest.mark.servers
def test_a_closed_store_says_so(server: Server) -> None:
    store = server.store("x")
    store.close()
    store.close()
    with pytest.raises(ConfigurationError, match="has been closed; connect again"):
        store.count()


# Indices that are already there


@pytest.mark.servers
def test_an_index_of_the_owner_keeps_its_mapping(server: Server) -> None:
    name = server.new_name()
    own = {"title": {"type": "text"}, "published": {"type": "date"}}
    server.call("PUT", f"/{name}", {"mappings": {"_meta": OWN_META, "properties": own}})
    server.call("PUT", f"/{name}/_doc/1?refresh=true", {"title": "Coffee"})
    with server.store(name) as store:
        assert store.index(DOCUMENTS).written == 3
        assert store.count() == 3
        assert ids(store.search("salt")) == {"a", "b"}
    mapping = server.mapping(name)
    assert {key: mapping["_meta"][key] for key in OWN_META} == OWN_META
    assert mapping["properties"]["title"] == own["title"]
    assert mapping["properties"]["splade"] == {"type": "rank_features"}
    assert server.source(name, "1") == {"title": "Coffee"}


@pytest.mark.servers
def test_dense_vectors_are_written_and_untouched_by_updates(server: Server) -> None:
    name = server.new_name()
    vector = [0.1, -0.2, 0.30000001]
    with server.store(name) as store:
        store.index([Document(id="a", text="Water.", dense=vector)])
        written = server.source(name, "a")["dense"]
        assert written == pytest.approx(vector, abs=1e-7)
        store.update("a", text="Salt.", payload={"n": 1})
        assert server.source(name, "a")["dense"] == written
        (hit,) = store.search("salt")
        assert hit.payload == {"text": "Salt.", "n": 1}
        report = store.index([Document(id="b", text="Salt.", dense=[1.0, 2.0])])
        assert "has 2 dimensions, but the index's field has 3" in report.rejected[0].reason
        report = store.index([Document(id="c", text="Salt.", dense={"other": [1.0]})])
        assert "no knn_vector field 'other'; it has 'dense'" in report.rejected[0].reason
    mapping = server.mapping(name)["properties"]["dense"]
    assert mapping["dimension"] == 3
    assert mapping["method"]["space_type"] == "cosinesimil"
    assert server.call("GET", f"/{name}")[name]["settings"]["index"]["knn"] == "true"


@pytest.mark.servers
def test_a_field_of_another_type_is_named(server: Server) -> None:
    name = server.new_name()
    properties = {"splade": {"type": "keyword"}, "other": {"type": "rank_features"}}
    server.call("PUT", f"/{name}", {"mappings": {"properties": properties}})
    with (
        server.store(name) as store,
        pytest.raises(
            SchemaConflict, match=r"is keyword, not rank_features; .*sparse fields: other\)"
        ),
    ):
        store.index(DOCUMENTS)


@pytest.mark.servers
def test_a_filter_that_the_server_refuses(server: Server) -> None:
    with server.store(server.new_name()) as store:
        store.index(DOCUMENTS)
        with pytest.raises(RequestRejected, match=r"unknown query \[nonsense\]"):
            store.search("salt", filter={"nonsense": {}})


# Targets


@pytest.mark.parametrize(
    ("target", "message"),
    [
        ("opensearch://localhost/x?kind=sparse_vector", "must be rank_features on OpenSearch"),
        ("opensearch+grpc://localhost/x", r"unknown scheme opensearch\+grpc: write opensearch or"),
        ("opensearch://localhost/X", "index names must be lowercase"),
        (
            "opensearch://localhost/x?vector=v",
            "vector= is for Qdrant; on OpenSearch name the sparse field",
        ),
        (
            "opensearch://me@localhost/x",
            "missing password for the user 'me': set OPENSEARCH_PASSWORD",
        ),
    ],
)
def test_targets_that_are_refused(target: str, message: str) -> None:
    with pytest.raises(ConfigurationError, match=message):
        connect(target, encoder=HashEncoder())


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (ConnectOptions(api_key=SECRET), "OpenSearch has no API keys"),
        (ConnectOptions(manifest_file="x"), "on OpenSearch the mapping holds the manifest"),
        (ConnectOptions(ca_certs="x"), r"needs TLS: write opensearch\+https"),
    ],
)
def test_options_that_are_refused(options: ConnectOptions, message: str) -> None:
    with pytest.raises(ConfigurationError, match=message) as caught:
        connect("opensearch://localhost/x", encoder=HashEncoder(), options=options)
    assert SECRET not in str(caught.value)


# Errors


async def failure(target: str, asynchronous: bool, **parameters: Any) -> SpladeConnectorsError:
    parameters = {"encoder": HashEncoder(), "retry": NO_RETRY} | parameters
    try:
        if asynchronous:
            async with await aconnect(target, **parameters) as store:
                await store.inspect()
        else:
            with connect(target, **parameters) as store:
                store.inspect()
    except SpladeConnectorsError as error:
        return error
    pytest.fail("nothing was raised")


both_ways = pytest.mark.parametrize("asynchronous", [False, True], ids=["blocking", "awaited"])


@both_ways
async def test_a_server_that_is_down(asynchronous: bool) -> None:
    (port,) = free_ports(1)
    error = await failure(f"opensearch://127.0.0.1:{port}/x", asynchronous)
    assert type(error) is Unavailable
    assert "is OpenSearch running there? The usual port is 9200" in str(error)


@pytest.mark.parametrize(
    ("handler", "kind", "message"),
    [
        (web_server(200), ConfigurationError, "does not answer like OpenSearch"),
        (web_server(404), ConfigurationError, "is not OpenSearch; check host, port"),
        (web_server(301), ConfigurationError, "is not OpenSearch; check host, port"),
        (web_server(503), Unavailable, "is not available (503)"),
        (ClosesTheConnection, Unavailable, "opensearch+https://"),
        (SpeaksAnotherProtocol, ConfigurationError, "does not answer like OpenSearch"),
        (AnswersWithAnAlert, SpladeConnectorsError, "OpenSearch"),
        (NeverAnswers, Unavailable, "did not answer in time"),
    ],
)
@both_ways
async def test_something_else_listens_there(
    handler: type[BaseHTTPRequestHandler], kind: type, message: str, asynchronous: bool
) -> None:
    with serving(handler) as address:
        options = ConnectOptions(timeout_s=0.5)
        error = await failure(f"opensearch://{address}/x", asynchronous, options=options)
    assert isinstance(error, kind), error
    assert message in str(error)


@both_ways
async def test_tls_to_a_server_without_it(asynchronous: bool) -> None:
    with fake_elasticsearch() as (address, _):
        error = await failure(f"opensearch+https://{address}/x", asynchronous)
    assert "write opensearch:// instead of opensearch+https://" in str(error)


@both_ways
async def test_elasticsearch_is_not_taken_for_opensearch(asynchronous: bool) -> None:
    with fake_elasticsearch() as (address, _):
        error = await failure(f"opensearch://{address}/x", asynchronous)
    assert "is Elasticsearch 9.3.2; write elasticsearch:// instead" in str(error)


def root(asked: Asking) -> Reply | None:
    version = {"number": "3.6.0", "distribution": "opensearch"}
    return Reply(200, {"version": version}, {}) if asked.path == "/" else None


@pytest.mark.parametrize("way", ["url", "options", "environment"])
@both_ways
async def test_secrets_are_sent_and_never_shown(
    way: str, asynchronous: bool, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def refuse(asked: Asking) -> Reply | None:
        return Reply(401, "Unauthorized", {})

    parameters: dict[str, Any] = {}
    user = ""
    if way == "url":
        user = f"me:{SECRET}@"
    elif way == "options":
        parameters["options"] = ConnectOptions(username="me", password=SECRET)
    else:
        monkeypatch.setenv("OPENSEARCH_USERNAME", "me")
        monkeypatch.setenv("OPENSEARCH_PASSWORD", SECRET)
    with caplog.at_level("DEBUG"), fake_elasticsearch(refuse) as (address, fake):
        error = await failure(f"opensearch://{user}{address}/x", asynchronous, **parameters)
    expected = httpx.BasicAuth("me", SECRET)._auth_header
    assert {asked.authorization for asked in fake.asked} == {expected}
    assert type(error) is AccessDenied
    assert "set OPENSEARCH_USERNAME and OPENSEARCH_PASSWORD" in str(error)
    shown = f"{error!r} {error.__cause__!r} {caplog.text}"
    assert SECRET not in shown
    assert expected.removeprefix("Basic ") not in shown


@pytest.mark.parametrize("by_client", [True, False], ids=["client", "url"])
@both_ways
async def test_the_clients_own_retries_are_off(by_client: bool, asynchronous: bool) -> None:
    def busy(asked: Asking) -> Reply | None:
        return Reply(503, {"error": {"type": "busy", "reason": "later"}}, {})

    parameters: dict[str, Any] = {"encoder": HashEncoder(), "retry": NO_RETRY}
    with fake_elasticsearch(busy) as (address, fake):
        if by_client and asynchronous:
            async with AsyncOpenSearch(f"http://{address}") as client:
                store = await aconnect(client, "x", **parameters)
                with pytest.raises(Unavailable, match="busy: later"):
                    await store.inspect()
        elif by_client:
            client = OpenSearch(f"http://{address}")
            with client, pytest.raises(Unavailable, match="busy: later"):
                connect(client, "x", **parameters).inspect()
        else:
            error = await failure(f"opensearch://{address}/x", asynchronous)
            assert "busy: later" in str(error)
    assert len(fake.asked) == 1


@both_ways
async def test_a_403_names_the_reason(asynchronous: bool) -> None:
    def forbid(asked: Asking) -> Reply | None:
        cause = {"type": "security_exception", "reason": "no permissions for [indices:admin/get]"}
        return Reply(403, {"error": cause, "status": 403}, {})

    with fake_elasticsearch(forbid) as (address, _):
        error = await failure(f"opensearch://{address}/x", asynchronous)
    assert type(error) is AccessDenied
    assert "no permissions for [indices:admin/get]" in str(error)


def test_a_user_without_the_root_endpoint_still_searches() -> None:
    def forbid_root(asked: Asking) -> Reply | None:
        cause = {"type": "security_exception", "reason": "no"}
        return Reply(403, {"error": cause}, {}) if asked.path == "/" else None

    with (
        fake_elasticsearch(forbid_root) as (address, _),
        connect(f"opensearch://{address}/x", encoder=HashEncoder(), retry=NO_RETRY) as store,
    ):
        store.index(DOCUMENTS)
        assert ids(store.search("salt")) == {"a", "b", "c"}


# The package


def test_it_does_without_the_elasticsearch_package() -> None:
    script = """
import sys
for name in ("elasticsearch", "elastic_transport"):
    sys.modules[name] = None  # importing it fails
from splade_connectors import connect
from splade_connectors.testing import HashEncoder
store = connect("opensearch://localhost:1/x", encoder=HashEncoder())
store.close()
"""
    command = [sys.executable, "-c", script]
    done = subprocess.run(command, cwd=ROOT, timeout=60, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
