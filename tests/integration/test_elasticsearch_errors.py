"""What is said when it goes wrong: servers that are not servers, credentials; and no secret is."""

from __future__ import annotations

import base64
import logging
import re
import secrets
import traceback
from collections.abc import Callable, Iterator
from contextlib import suppress
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any
from urllib.parse import quote

import httpx
import pytest

from splade_connectors import (
    AsyncStore,
    Document,
    SpladeConnectorsError,
    Store,
    aconnect,
    connect,
)
from splade_connectors.backends.targets import parse_target
from splade_connectors.errors import (
    AccessDenied,
    ConfigurationError,
    NotFound,
    NotSupported,
    RequestRejected,
    Unavailable,
)
from splade_connectors.options import ConnectOptions
from splade_connectors.testing import HashEncoder
from tests.integration.elasticsearch_fake import (
    PRODUCT,
    Answer,
    AnswersWithAnAlert,
    Asked,
    ClosesTheConnection,
    NeverAnswers,
    SpeaksAnotherProtocol,
    error,
    fake_elasticsearch,
    serving,
    web_server,
)
from tests.integration.elasticsearch_server import NO_RETRY
from tests.servers import SharedServer
from tests.servers.process import free_ports

pytestmark = pytest.mark.servers

DOCUMENTS = [Document(id="1", text="Water and salt.")]
VARIABLES = ("ELASTICSEARCH_API_KEY", "ELASTICSEARCH_USERNAME", "ELASTICSEARCH_PASSWORD")

Verb = Callable[[Any], Any]


@pytest.fixture(autouse=True)
def _no_credentials(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)


@pytest.fixture(autouse=True)
def _everything_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)


@pytest.fixture(params=[False, True], ids=["sync", "async"])
def asynchronous(request: pytest.FixtureRequest) -> bool:
    return bool(request.param)


def search(store: Any) -> Any:
    return store.search("salt")


def index(store: Any) -> Any:
    return store.index(DOCUMENTS)


async def run(
    target: str, asynchronous: bool, verb: Verb = search, **arguments: Any
) -> tuple[Any, Store | AsyncStore]:
    """What a verb of the target returns or raises, and the store."""
    arguments = {"encoder": HashEncoder(), "retry": NO_RETRY} | arguments
    try:
        if not asynchronous:
            with connect(target, **arguments) as store:
                return verb(store), store
        async with await aconnect(target, **arguments) as awaited:
            return await verb(awaited), awaited
    except SpladeConnectorsError as raised:
        return raised, locals().get("store") or locals()["awaited"]


async def failure(
    target: str, asynchronous: bool, verb: Verb = search, **arguments: Any
) -> SpladeConnectorsError:
    outcome, _ = await run(target, asynchronous, verb, **arguments)
    assert isinstance(outcome, SpladeConnectorsError)
    return outcome


# Servers that are not there, or something else


async def test_nothing_listens_there(asynchronous: bool) -> None:
    (port,) = free_ports(1)
    target = f"elasticsearch://127.0.0.1:{port}/articles"
    for verb in (search, index):
        raised = await failure(target, asynchronous, verb)
        assert isinstance(raised, Unavailable)
        assert str(raised).startswith(f"{target} cannot be reached (")
        assert str(raised).endswith("is Elasticsearch running there? The usual port is 9200")
        assert "object at 0x" not in str(raised)


NOT_ELASTICSEARCH = "is not Elasticsearch"


@pytest.mark.parametrize("status", [200, 301, 400, 404, 501])
async def test_a_web_server(status: int, asynchronous: bool) -> None:
    with serving(web_server(status)) as address:
        raised = await failure(f"elasticsearch://{address}/articles", asynchronous)
    assert isinstance(raised, ConfigurationError)
    assert NOT_ELASTICSEARCH in str(raised)
    assert "check host, port (9200) and scheme (elasticsearch+https for TLS)" in str(raised)
    assert "<" not in str(raised)


@pytest.mark.parametrize("status", [502, 503, 504])
async def test_a_proxy_whose_server_is_away(status: int, asynchronous: bool) -> None:
    with serving(web_server(status, {"Retry-After": "7"})) as address:
        raised = await failure(f"elasticsearch://{address}/articles", asynchronous)
    assert isinstance(raised, Unavailable)
    assert raised.retry_after_s == 7.0
    assert f"is not available ({status})" in str(raised)


@pytest.mark.parametrize("server", [SpeaksAnotherProtocol, AnswersWithAnAlert])
async def test_another_protocol(server: type[BaseHTTPRequestHandler], asynchronous: bool) -> None:
    with serving(server) as address:
        raised = await failure(f"elasticsearch://{address}/articles", asynchronous)
    assert isinstance(raised, ConfigurationError)
    assert "does not answer like Elasticsearch" in str(raised)
    assert "scheme (elasticsearch+https for TLS)" in str(raised)


async def test_a_server_that_closes_the_connection(asynchronous: bool) -> None:
    with serving(ClosesTheConnection) as address:
        raised = await failure(f"elasticsearch://{address}/articles", asynchronous)
    assert isinstance(raised, Unavailable)
    assert "closed the connection; does the server speak TLS?" in str(raised)
    assert "elasticsearch+https://" in str(raised)


async def test_a_server_that_does_not_answer(asynchronous: bool) -> None:
    with serving(NeverAnswers) as address:
        raised = await failure(
            f"elasticsearch://{address}/articles",
            asynchronous,
            options=ConnectOptions(timeout_s=0.3),
        )
    assert isinstance(raised, Unavailable)
    assert "did not answer in time; raise ConnectOptions(timeout_s=…) to wait longer" in str(raised)


async def test_tls_to_a_server_without(asynchronous: bool) -> None:
    with fake_elasticsearch() as (address, _):
        raised = await failure(f"elasticsearch+https://{address}/articles", asynchronous)
    assert isinstance(raised, ConfigurationError)
    assert "does not speak TLS on this port; write elasticsearch:// instead of" in str(raised)


async def test_tls_to_a_real_server_without(elasticsearch_url: str, asynchronous: bool) -> None:
    address = elasticsearch_url.removeprefix("http://").rstrip("/")
    raised = await failure(f"elasticsearch+https://{address}/articles", asynchronous)
    assert isinstance(raised, ConfigurationError)
    assert "write elasticsearch:// instead of elasticsearch+https://" in str(raised)


async def test_opensearch_is_told_apart(asynchronous: bool) -> None:
    def script(asked: Asked) -> Answer:
        version = {"number": "3.6.0", "distribution": "opensearch"}
        return Answer(200, {"version": version}, headers={})

    with fake_elasticsearch(script) as (address, _):
        raised = await failure(f"elasticsearch://{address}/articles", asynchronous)
    assert isinstance(raised, ConfigurationError)
    assert NOT_ELASTICSEARCH in str(raised)


async def test_a_client_that_is_too_new(elasticsearch_8_url: str, asynchronous: bool) -> None:
    target = f"{elasticsearch_8_url.replace('http', 'elasticsearch', 1)}/articles"
    for verb in (search, index):
        raised = await failure(target, asynchronous, verb)
        assert isinstance(raised, NotSupported)
        assert str(raised) == (
            f"the client is 9.x, but the server at {target} is older: "
            "pip install 'elasticsearch>=8,<9'"
        )


def test_transports_that_are_not_known() -> None:
    with pytest.raises(
        ConfigurationError, match=r"unknown scheme elasticsearch\+grpc: write elast"
    ):
        connect("elasticsearch+grpc://localhost/articles")


@pytest.mark.parametrize("parameter", ["vector=x", "nobody=x"])
def test_parameters_that_are_for_others(parameter: str) -> None:
    with pytest.raises(ConfigurationError, match=parameter.partition("=")[0]):
        connect(f"elasticsearch://localhost/articles?{parameter}")


# Credentials


class Secured:
    """The server with users, and an index in it that its reader may read."""

    def __init__(self, server: SharedServer) -> None:
        self.address = server.url.removeprefix("http://")
        self.users = server.users
        self.name = f"articles-{secrets.token_hex(8)}"
        self.target = f"elasticsearch://{self.address}/{self.name}"

    def target_as(self, user: str) -> str:
        return f"elasticsearch://{user}:{self.users[user]}@{self.address}/{self.name}"

    def options(self, user: str) -> ConnectOptions:
        return ConnectOptions(username=user, password=self.users[user])


@pytest.fixture
def secured(secured_elasticsearch: SharedServer) -> Iterator[Secured]:
    secured = Secured(secured_elasticsearch)
    with connect(
        secured.target, encoder=HashEncoder(), options=secured.options("elastic")
    ) as store:
        store.index(DOCUMENTS)
    yield secured
    auth = ("elastic", secured.users["elastic"])
    httpx.delete(f"http://{secured.address}/{secured.name}", auth=auth).raise_for_status()


# elastic_transport logs "Basic <hidden>".
SENT_CREDENTIALS = re.compile(r"(Basic|ApiKey) [\w+/]{8}")


def assert_kept(secret: str, caplog: pytest.LogCaptureFixture, *shown: Any) -> None:
    """The secret stands nowhere that a user, a log or a bug report may show."""
    texts = [caplog.text]
    for item in shown:
        texts += [str(item), repr(item)]
        if isinstance(item, BaseException):
            texts += traceback.format_exception(item)
            texts += [repr(vars(item)), *map(repr, item.args)]
    assert len(secret) > 10
    encoded = base64.b64encode(secret.encode()).decode().rstrip("=")
    for text in texts:
        assert secret not in text
        assert encoded not in text
        assert not SENT_CREDENTIALS.search(text)


UNAUTHORIZED = (
    "refused the credentials (401): set ELASTICSEARCH_API_KEY, or ELASTICSEARCH_USERNAME and "
    "ELASTICSEARCH_PASSWORD"
)


@pytest.mark.parametrize("verb", [search, index])
async def test_no_credentials(secured: Secured, asynchronous: bool, verb: Verb) -> None:
    raised = await failure(secured.target, asynchronous, verb)
    assert isinstance(raised, AccessDenied)
    assert str(raised) == f"{secured.target} {UNAUTHORIZED}"


async def test_a_wrong_password(
    secured: Secured, asynchronous: bool, caplog: pytest.LogCaptureFixture
) -> None:
    wrong = secrets.token_urlsafe(24)
    target = f"elasticsearch://elastic:{wrong}@{secured.address}/{secured.name}"
    outcome, store = await run(target, asynchronous)
    assert isinstance(outcome, AccessDenied)
    assert str(outcome) == f"{secured.target} {UNAUTHORIZED}"
    assert_kept(wrong, caplog, outcome, store, parse_target(target))


async def test_a_reader_searches(secured: Secured, asynchronous: bool) -> None:
    # The reader lacks the cluster privilege `monitor`, so the version stays unknown.
    for verb in (
        search,
        lambda store: store.get(["1"], with_vectors=True),
        lambda store: store.explain("salt", "1"),
        lambda store: store.count(),
        lambda store: store.inspect(),
    ):
        outcome, _ = await run(secured.target_as("reader"), asynchronous, verb)
        assert not isinstance(outcome, SpladeConnectorsError), outcome


async def test_vectors_for_a_reader(secured: Secured) -> None:
    (document,), _ = await run(
        secured.target_as("reader"), False, lambda store: store.get(["1"], with_vectors=True)
    )
    assert document.vector is not None
    assert len(document.vector) > 0


async def test_vectors_for_a_reader_of_an_older_server(asynchronous: bool) -> None:
    """The parameter that 9.2 and later need is refused by those before (400 on 8.19 and 7.17)."""
    denied = Answer(403, error("security_exception", "granted by the cluster privileges [monitor]"))
    sent = []

    def script(asked: Asked) -> Answer | None:
        if asked.method == "GET" and asked.path == "/":
            return denied if fake.documents else None
        if asked.path.endswith("/_mget"):
            sent.append(asked.query)
            if "exclude_vectors" in asked.query:
                reason = "contains unrecognized parameter: [_source_exclude_vectors]"
                return Answer(400, error("illegal_argument_exception", reason))
        return None

    with fake_elasticsearch(script) as (address, fake):
        target = f"elasticsearch://{address}/articles"
        await run(target, asynchronous, index)
        outcome, _ = await run(
            target, asynchronous, lambda store: store.get(["1"], with_vectors=True)
        )
    (document,) = outcome
    assert len(document.vector) > 0
    assert ["exclude_vectors" in query for query in sent] == [True, False]


@pytest.mark.parametrize(
    ("verb", "said"),
    [
        (
            index,
            ": this user lacks privileges on {}: index; ask an admin to grant them. Nothing was ",
        ),
        (
            lambda store: store.update("1", text="Tea."),
            "this action is granted by the index privileges [index,write,all]",
        ),
        (
            lambda store: store.delete(["1"]),
            "this action is granted by the index privileges [create_doc,create,delete,index,write,",
        ),
    ],
    ids=["index", "update", "delete"],
)
async def test_a_reader_writes(
    secured: Secured,
    asynchronous: bool,
    verb: Verb,
    said: str,
    caplog: pytest.LogCaptureFixture,
) -> None:
    outcome, store = await run(secured.target_as("reader"), asynchronous, verb)
    assert isinstance(outcome, AccessDenied)
    assert str(outcome).startswith(secured.target)
    assert said.format(secured.name) in str(outcome)
    assert_kept(secured.users["reader"], caplog, outcome, store)


async def test_a_reader_creates_an_index(secured: Secured, asynchronous: bool) -> None:
    target = secured.target_as("reader") + "-new"
    raised = await failure(target, asynchronous, index)
    assert isinstance(raised, AccessDenied)
    assert f"{target.rpartition('/')[2]}: create_index, index, monitor (cluster);" in str(raised)
    raised = await failure(target, asynchronous, search)
    assert isinstance(raised, NotFound)


async def test_a_reader_elsewhere(secured: Secured, asynchronous: bool) -> None:
    target = secured.target_as("reader").replace("/articles-", "/books-")
    raised = await failure(target, asynchronous)
    assert isinstance(raised, AccessDenied)
    assert "granted by the index privileges [view_index_metadata,manage,all" in str(raised)


@pytest.mark.parametrize("way", ["environment", "url", "options"])
async def test_where_a_password_comes_from(
    secured: Secured,
    way: str,
    asynchronous: bool,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    target, arguments = secured.target, {}
    if way == "environment":
        monkeypatch.setenv("ELASTICSEARCH_USERNAME", "elastic")
        monkeypatch.setenv("ELASTICSEARCH_PASSWORD", secured.users["elastic"])
    if way == "url":
        target = secured.target_as("elastic")
    if way == "options":
        arguments = {"options": secured.options("elastic")}
    outcome, store = await run(target, asynchronous, **arguments)
    assert [hit.id for hit in outcome] == ["1"]
    shown = [store, parse_target(target), *arguments.values(), outcome.plan]
    assert_kept(secured.users["elastic"], caplog, *shown)


def basic(user: str, password: str) -> str:
    return "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()


async def test_awkward_passwords_in_a_url(
    asynchronous: bool, caplog: pytest.LogCaptureFixture
) -> None:
    password = "p@ss:wörd/#?%2F " + secrets.token_urlsafe(8)
    with fake_elasticsearch() as (address, fake):
        target = f"elasticsearch://user:{quote(password, safe='')}@{address}/articles"
        outcome, store = await run(target, asynchronous)
    assert {asked.authorization for asked in fake.asked} == {basic("user", password)}
    assert isinstance(outcome, NotFound)
    assert_kept(password, caplog, outcome, store, parse_target(target))
    assert_kept(quote(password, safe=""), caplog, outcome, store, parse_target(target))


def test_arguments_win_over_the_url_and_the_url_over_the_environment(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("ELASTICSEARCH_USERNAME", "environment")
    monkeypatch.setenv("ELASTICSEARCH_PASSWORD", "of the environment")
    asked_with = []
    with fake_elasticsearch() as (address, fake):
        url = f"elasticsearch://url:of-the-url@{address}/articles"
        for target, options in (
            (url, ConnectOptions(username="argument", password="of the argument")),
            (url, None),
            (f"elasticsearch://{address}/articles", None),
            (f"elasticsearch://url@{address}/articles", None),
            (url, ConnectOptions(api_key="a-key")),
        ):
            fake.asked.clear()
            with (
                suppress(NotFound),
                connect(target, encoder=HashEncoder(), options=options) as store,
            ):
                store.search("salt")
            asked_with.append(fake.asked[0].authorization)
    assert asked_with == [
        basic("argument", "of the argument"),
        basic("url", "of-the-url"),
        basic("environment", "of the environment"),
        basic("url", "of the environment"),
        "ApiKey a-key",
    ]


def test_a_user_without_a_password() -> None:
    with pytest.raises(
        ConfigurationError, match=r"missing password for the user 'me': set ELASTICSEAR"
    ):
        connect("elasticsearch://me@localhost/articles")


@pytest.mark.parametrize("key", ["a-key-of-ours\n", "a-key\x7f-of-ours", "a-key-of-ours-\u20ac"])
def test_api_keys_that_no_header_can_hold(key: str) -> None:
    with pytest.raises(ConfigurationError, match=r"the API key contains characters that") as caught:
        connect("elasticsearch://localhost/articles", options=ConnectOptions(api_key=key))
    assert "of-ours" not in str(caught.value)


def test_certificates_that_cannot_be_used(tmp_path: Path) -> None:
    options = ConnectOptions(ca_certs=str(tmp_path / "missing.pem"))
    with pytest.raises(ConfigurationError, match=r"needs TLS: write elasticsearch\+https://"):
        connect("elasticsearch://localhost/articles", options=options)
    with pytest.raises(ConfigurationError, match=r"the file .*missing\.pem does not exist"):
        connect("elasticsearch+https://localhost/articles", options=options)


@pytest.mark.parametrize("way", ["environment", "options"])
async def test_api_keys(
    way: str,
    asynchronous: bool,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    good, wrong = (base64.b64encode(secrets.token_bytes(30)).decode() for _ in range(2))

    def script(asked: Asked) -> Answer | None:
        if asked.authorization == f"ApiKey {good}":
            return None
        return Answer(401, error("security_exception", "unable to authenticate with this key"))

    with fake_elasticsearch(script) as (address, fake):
        target = f"elasticsearch://{address}/articles"
        for key in (good, wrong):
            if way == "environment":
                monkeypatch.setenv("ELASTICSEARCH_API_KEY", key)
                arguments = {}
            else:
                arguments = {"options": ConnectOptions(api_key=key)}
            outcome, store = await run(target, asynchronous, index, **arguments)
            assert_kept(key, caplog, outcome, store, *arguments.values())
            if key == good:
                assert outcome.written == 1
                assert fake.documents.keys() == {"1"}
            else:
                assert isinstance(outcome, AccessDenied)
                assert str(outcome) == f"{target} {UNAUTHORIZED}"


async def test_an_answer_that_repeats_the_credentials(
    asynchronous: bool, caplog: pytest.LogCaptureFixture
) -> None:
    """No header is part of a message."""
    caplog.set_level(logging.INFO)  # below that elastic_transport logs all that it receives
    key = base64.b64encode(secrets.token_bytes(30)).decode()

    def script(asked: Asked) -> Answer:
        headers = {**PRODUCT, "X-Debug": asked.authorization}
        return Answer(400, error("illegal_argument_exception", "no"), headers)

    with fake_elasticsearch(script) as (address, _):
        outcome, store = await run(
            f"elasticsearch://{address}/articles", asynchronous, options=ConnectOptions(api_key=key)
        )
    assert isinstance(outcome, RequestRejected)
    assert_kept(key, caplog, outcome, store)
