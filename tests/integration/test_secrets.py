"""No credential is shown, whatever goes wrong; every scheme, every way to give one.

The servers here repeat the credentials that they were sent, in every form, as proxies with a
debugging page do. What the clients' own loggers (elastic_transport, httpx, urllib3, opensearch)
write is not ours.
"""

from __future__ import annotations

import base64
import logging
import secrets
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any
from urllib.parse import quote, quote_plus

import httpx
import pytest

from splade_connectors import (
    DeadLetters,
    Document,
    RetryOptions,
    SpladeConnectorsError,
    aconnect,
    connect,
)
from splade_connectors.backends.secrets import Secrets
from splade_connectors.backends.targets import parse_target, shown_target
from splade_connectors.cli import main, printing
from splade_connectors.documents import Rejected
from splade_connectors.options import ConnectOptions
from splade_connectors.testing import HashEncoder
from tests.fronts import QdrantGrpcFront, QdrantRestFront
from tests.integration.command_line import ROWS, jsonl
from tests.integration.elasticsearch_fake import (
    PRODUCT,
    Answer,
    ClosesTheConnection,
    NeverAnswers,
    Silent,
    SpeaksAnotherProtocol,
    send,
    serving,
)
from tests.integration.leaks import Hunt, forms
from tests.servers.process import free_ports
from tests.servers.tls import Certificates, TlsFront

# qdrant-client's, of which the tests' plain HTTP is worth one.
pytestmark = pytest.mark.filterwarnings("ignore:Api key is used with an insecure connection")

VARIABLES = [
    *("ELASTICSEARCH_API_KEY", "ELASTICSEARCH_BEARER_TOKEN"),
    *("ELASTICSEARCH_USERNAME", "ELASTICSEARCH_PASSWORD"),
    *("OPENSEARCH_BEARER_TOKEN", "OPENSEARCH_USERNAME", "OPENSEARCH_PASSWORD"),
    "QDRANT_API_KEY",
]
TWICE = RetryOptions(attempts=2, initial_wait_s=0.001, max_wait_s=0.002)
USER = "us@er"
PASSWORD = f"p@ss:w/ö?#%& {secrets.token_hex(8)}"
KEY_ID, KEY_SECRET = secrets.token_hex(8), f"k/{secrets.token_urlsafe(16)}"
API_KEY = base64.b64encode(f"{KEY_ID}:{KEY_SECRET}".encode()).decode()
TOKEN = f"t/+k.{secrets.token_urlsafe(16)}=="
PAIR = f"{quote(USER, safe='')}:{quote(PASSWORD, safe='')}@"


@dataclass(frozen=True)
class Given:
    """A credential, given in one of the ways there are.

    Attributes:
        scheme: of the target.
        way: how it is given.
        hidden: what must not be seen.
        in_url: what stands before the host.
        options: of `connect`.
        environment: of the process.
    """

    scheme: str
    way: str
    hidden: frozenset[str]
    in_url: str = ""
    options: Mapping[str, str] = field(default_factory=dict)
    environment: Mapping[str, str] = field(default_factory=dict)

    def __str__(self) -> str:
        return f"{self.scheme}-{self.way}"

    def target(self, address: str, transport: str = "", name: str = "articles") -> str:
        scheme, _, own = self.scheme.partition("+")
        transport = transport or own
        scheme = f"{scheme}+{transport}" if transport else scheme
        return f"{scheme}://{self.in_url}{address}/{name}"


PASSWORDS = frozenset(forms(PASSWORD, USER))
KEYS = frozenset(forms(API_KEY) | forms(KEY_SECRET) | {f"{KEY_ID}:{KEY_SECRET}"})
TOKENS = frozenset(forms(TOKEN))


def ways(scheme: str) -> list[Given]:
    prefix = scheme.upper()
    both = {"username": USER, "password": PASSWORD}
    env = {f"{prefix}_USERNAME": USER, f"{prefix}_PASSWORD": PASSWORD}
    found = [
        Given(scheme, "url", PASSWORDS, in_url=PAIR),
        Given(scheme, "options", PASSWORDS, options=both),
        Given(scheme, "environment", PASSWORDS, environment=env),
        Given(scheme, "token", TOKENS, options={"bearer_token": TOKEN}),
        Given(scheme, "token-environment", TOKENS, environment={f"{prefix}_BEARER_TOKEN": TOKEN}),
    ]
    if scheme == "elasticsearch":
        env = {"ELASTICSEARCH_API_KEY": API_KEY}
        found += [
            Given(scheme, "key", KEYS, options={"api_key": API_KEY}),
            Given(scheme, "key-environment", KEYS, environment=env),
        ]
    return found


def qdrant_ways(scheme: str) -> list[Given]:
    return [
        Given(scheme, "url", TOKENS, in_url=f":{quote(TOKEN, safe='')}@"),
        Given(scheme, "key", TOKENS, options={"api_key": TOKEN}),
        Given(scheme, "environment", TOKENS, environment={"QDRANT_API_KEY": TOKEN}),
    ]


GIVEN = [
    *ways("elasticsearch"),
    *ways("opensearch"),
    *qdrant_ways("qdrant"),
    *qdrant_ways("qdrant+grpc"),
]


@pytest.fixture(autouse=True)
def _no_credentials(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)


@pytest.fixture(autouse=True)
def _everything_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)


@pytest.fixture(params=GIVEN, ids=str)
def given(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Given:
    found: Given = request.param
    for name, value in found.environment.items():
        monkeypatch.setenv(name, value)
    return found


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    return Certificates(tmp_path_factory.mktemp("certificates"))


# Servers that repeat what they were sent


def repeated(header: str) -> str:
    """A header, what is in it, and other spellings: what a page for debugging may show."""
    bare = header.rpartition(" ")[2]
    told = [header, quote(bare, safe=""), base64.b64encode(bare.encode()).decode()]
    try:
        pair = base64.b64decode(bare, validate=True).decode()
    except ValueError:
        pair = ""
    secret = pair.partition(":")[2]
    return " | ".join([*told, pair, secret, quote(secret), quote_plus(secret), repr(secret)])


def echo(status: int, page: bool, seen: list[str]) -> type[BaseHTTPRequestHandler]:
    """Answers with a status, in the form of Elasticsearch and of Qdrant, or as a page."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def handle_any(self) -> None:
            self.rfile.read(int(self.headers.get("Content-Length") or 0))
            header = self.headers.get("Authorization") or self.headers.get("api-key") or ""
            seen.append(header)
            told = f"you sent {repeated(header)}"
            cause = {"type": "some_exception", "reason": told}
            body = {
                "error": {**cause, "root_cause": [cause], "caused_by": cause},
                "status": {"error": told},
            }
            headers = {**PRODUCT, "X-Debug": quote(told)}
            send(self, Answer(status, f"<html>{told}</html>" if page else body, headers))

        do_GET = do_PUT = do_POST = do_PATCH = do_DELETE = handle_any  # noqa: N815

        def log_message(self, format: str, *args: Any) -> None:
            """Nothing is printed."""

    return Handler


class Repeats(Silent):
    """No HTTP: what came in comes back, headers and all."""

    def reply(self) -> None:
        self.wfile.write(b"XTTP " + self.connection.recv(65536))


@contextmanager
def nothing_there() -> Iterator[str]:
    yield f"127.0.0.1:{free_ports(1)[0]}"


STATUSES = (400, 401, 403, 404, 413, 429, 500, 503)
SILENT = (ClosesTheConnection, NeverAnswers, SpeaksAnotherProtocol, Repeats)


def faults() -> Iterator[tuple[str, AbstractContextManager[str]]]:
    yield "nothing", nothing_there()
    for kind in SILENT:
        yield kind.__name__, serving(kind)


@contextmanager
def repeating(given: Given, status: int, page: bool) -> Iterator[tuple[str, Callable[[], bool]]]:
    """The address of a server, and whether it was shown the credential."""
    if given.scheme != "qdrant+grpc":
        seen: list[str] = []
        with serving(echo(status, page, seen)) as address:
            yield (
                address,
                lambda: any(form in h for h in map(repeated, seen) for form in given.hidden),
            )
        return
    with QdrantGrpcFront() as front:
        front.fail_next(1000, status, message=f"you sent {repeated(TOKEN)}")
        yield front.host, lambda: len(front.requests) > 0


Verb = Callable[[Any], Any]
DOCUMENTS = [Document(id="1", text="Water and salt.")]
VERBS: tuple[Verb, ...] = (
    lambda store: store.search("salt"),
    lambda store: store.index(DOCUMENTS),
    lambda store: store.plan_attach(["text"]),
)


async def failures(
    target: str,
    asynchronous: bool,
    options: ConnectOptions,
    hunt: Hunt,
    verbs: tuple[Verb, ...] = VERBS,
    **more: Any,
) -> list[SpladeConnectorsError]:
    """What the verbs end with; all that can be seen of it goes to the hunt."""
    hunt.add("target", parse_target(target), options)
    raised = []
    arguments: dict[str, Any] = {"encoder": HashEncoder(), "options": options, "retry": TWICE}
    for verb in verbs:
        try:
            if asynchronous:
                async with await aconnect(target, **arguments, **more) as awaited:
                    hunt.add_store(awaited)
                    await verb(awaited)
            else:
                with connect(target, **arguments, **more) as store:
                    hunt.add_store(store)
                    verb(store)
        except SpladeConnectorsError as error:
            hunt.add("error", error)
            raised.append(error)
    return raised


@pytest.fixture(params=[False, True], ids=["sync", "async"])
def asynchronous(request: pytest.FixtureRequest) -> bool:
    return bool(request.param)


async def test_a_server_that_repeats_credentials(
    given: Given, asynchronous: bool, caplog: pytest.LogCaptureFixture
) -> None:
    hunt = Hunt()
    for status in STATUSES:
        for page in (False, True):
            with repeating(given, status, page) as (address, was_shown):
                options = ConnectOptions(timeout_s=5, **given.options)  # type: ignore[arg-type]
                raised = await failures(given.target(address), asynchronous, options, hunt)
                assert raised, status
                assert was_shown()
    hunt.add_logs(caplog.records)
    assert hunt.found(*given.hidden) == []


async def test_servers_that_are_none(
    given: Given,
    asynchronous: bool,
    certificates: Certificates,
    caplog: pytest.LogCaptureFixture,
) -> None:
    hunt = Hunt()
    for name, fault in faults():
        with fault as address:
            options = ConnectOptions(timeout_s=0.3, **given.options)  # type: ignore[arg-type]
            target = given.target(address)
            # One verb is enough where the answer is waited for: gRPC waits for all of these.
            waits = name == "NeverAnswers" or given.scheme == "qdrant+grpc"
            verbs = VERBS[:1] if waits else VERBS
            assert await failures(target, asynchronous, options, hunt, verbs), name
    if given.scheme != "qdrant+grpc":
        with serving(echo(200, True, [])) as address:
            options = ConnectOptions(timeout_s=5, **given.options)  # type: ignore[arg-type]
            with TlsFront(f"http://{address}", certificates) as front:
                for host in (address, front.address):
                    target = given.target(host, "https")
                    assert await failures(target, asynchronous, options, hunt)
    hunt.add_logs(caplog.records)
    assert hunt.found(*given.hidden) == []


BAD_OPTIONS: list[dict[str, Any]] = [
    {"ca_certs": "missing.pem"},
    {"client_key": "missing.pem"},
    {"manifest_file": "/nowhere/at/all/manifest.json"},
]
BAD_PARAMETERS = ["kind=nonsense", "field=a.b", "vector=a/b", "dense=", "nobody=1"]


async def test_options_that_are_wrong(given: Given, asynchronous: bool) -> None:
    hunt = Hunt()
    with nothing_there() as address:
        for bad in BAD_OPTIONS:
            options = ConnectOptions(timeout_s=0.3, **given.options, **bad)
            assert await failures(given.target(address), asynchronous, options, hunt)
        for parameter in BAD_PARAMETERS:
            name, _, value = parameter.partition("=")
            options = ConnectOptions(timeout_s=0.3, **given.options)  # type: ignore[arg-type]
            target = given.target(address)
            assert await failures(target, asynchronous, options, hunt, **{name: value})
            with pytest.raises(SpladeConnectorsError) as caught:
                connect(f"{target}#{parameter}", options=options)
            hunt.add("error", caught.value)
    assert hunt.found(*given.hidden) == []


@pytest.mark.parametrize("bad", ["\n", "\r\nX-More: 1", "\x00", "ü", "\u2028", " "])
@pytest.mark.parametrize(
    ("scheme", "option"),
    [
        ("qdrant", "api_key"),
        ("qdrant+grpc", "api_key"),
        ("elasticsearch", "api_key"),
        ("elasticsearch", "bearer_token"),
        ("opensearch", "bearer_token"),
    ],
)
def test_keys_that_no_header_can_hold(scheme: str, option: str, bad: str) -> None:
    options = ConnectOptions(**{option: f"{TOKEN}{bad}{TOKEN}"})  # type: ignore[arg-type]
    with pytest.raises(
        SpladeConnectorsError, match=r"contains characters that no (key|token)"
    ) as caught:
        connect(f"{scheme}://localhost/articles", encoder=HashEncoder(), options=options)
    hunt = Hunt()
    hunt.add("error", caught.value)
    assert hunt.found(*TOKENS) == []


@pytest.mark.parametrize(
    "text",
    [
        f"://{PAIR}localhost/articles",
        f"{TOKEN}@localhost",
        f"elasticsearch:{PAIR}localhost/articles",
        f"elasticsearch://me:12/{TOKEN}@localhost/articles",
        f"elasticsearch://me:12/{TOKEN}@localhost",
        f"elasticsearch://me:12/x?{TOKEN}@localhost",
        f"elasticsearch://me:12/x#{TOKEN}@localhost",
        f"elasticsearch://{PAIR}localhost/articles?nobody=1",
        f"qdrant://{PAIR}localhost:port/articles",
    ],
    # The same in every process of a run: each draws new secrets.
    ids=lambda text: text.replace(PAIR, "PAIR@").replace(TOKEN, "TOKEN"),
)
def test_targets_that_are_none(text: str) -> None:
    with pytest.raises(SpladeConnectorsError) as caught:
        connect(text)
    hunt = Hunt()
    hunt.add("error", caught.value)
    assert hunt.found(*PASSWORDS, *TOKENS, TOKEN.partition("/")[2]) == []


def test_a_model_behind_a_url_is_not_repeated() -> None:
    """There is no remote encoder in this version; its URL is refused, whatever it holds."""
    with pytest.raises(SpladeConnectorsError) as caught:
        connect("edge:x", encoder=f"https://{PAIR}localhost/model").search("x")
    hunt = Hunt()
    hunt.add("error", caught.value)
    assert hunt.found(*PASSWORDS) == []


def test_targets_as_they_are_printed() -> None:
    for text, shown in [
        (f"elasticsearch://{PAIR}h:1/a?field=f", "elasticsearch://USER:PASSWORD@h:1/a?field=f"),
        (f"qdrant+grpc://:{quote(TOKEN, safe='')}@h/a", "qdrant+grpc://:PASSWORD@h/a"),
        ("elasticsearch://h/a", "elasticsearch://h/a"),
        ("edge:folder/a@b", "edge:folder/a@b"),
    ]:
        assert shown_target(text) == shown


def test_what_is_masked_and_what_is_found() -> None:
    """The hunt would see each form, and the mask takes each away."""
    basic = "Basic " + base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode()
    for header, hidden in [
        (basic, PASSWORDS),
        (f"ApiKey {API_KEY}", KEYS),
        (f"Bearer {TOKEN}", TOKENS),
        (TOKEN, TOKENS),
    ]:
        masked = Secrets(header)
        for form in hidden:
            hunt = Hunt()
            hunt.add("text", f"a {form} b", ValueError(form))
            assert len(hunt.found(*hidden)) >= 4
            assert masked.masked({"x": [f"a {form} b"]}) == {"x": ["a … b"]}, form
            assert masked.shown_by(ValueError(form))
    assert Secrets("Basic YTpi", "", None).masked("a b abc") == "a b abc"
    assert repr(Secrets(TOKEN)) == "Secrets()"


# The command line, with servers that take the credentials


@pytest.fixture(
    params=[
        pytest.param("elasticsearch", marks=pytest.mark.servers),
        pytest.param("opensearch", marks=pytest.mark.servers),
        "qdrant",
        "qdrant+grpc",
    ]
)
def place(request: pytest.FixtureRequest) -> Iterator[tuple[Given, str, Callable[[], str]]]:
    """A credential in a target, the target, and what the server holds in the end.

    Without security Elasticsearch and OpenSearch take any credentials; the fronts ask for theirs.
    """
    name = f"secret-{secrets.token_hex(6)}"
    scheme: str = request.param
    if scheme.startswith("qdrant"):
        kind = QdrantGrpcFront if "grpc" in scheme else QdrantRestFront
        with kind(api_key=TOKEN) as front:
            found = qdrant_ways(scheme)[0]
            yield (
                found,
                found.target(front.host, name=name),
                lambda: str(front.engine.client.get_collection(name)),
            )
        return
    url = request.getfixturevalue(f"{scheme}_url").rstrip("/")
    found = ways(scheme)[0]
    yield (
        found,
        found.target(url.removeprefix("http://"), name=name),
        lambda: httpx.get(f"{url}/{name}").text + httpx.get(f"{url}/{name}/_search").text,
    )
    httpx.delete(f"{url}/{name}")


def commands(target: str, folder: Path) -> Iterator[list[str]]:
    rows = [*ROWS, {"_id": "bad", "text": 5}]
    corpus, letters = jsonl(folder / "corpus.jsonl", rows), folder / "letters.jsonl"
    kept = ["--dead-letters", str(letters)]
    for more in ([], ["--json"], ["--log-json"]):
        yield ["index", str(corpus), target, *kept, *more]
        yield ["attach", target, "--text", "text", "--dry-run", *more]
        yield ["attach", target, "--text", "text", *kept, *more]
    for more in ([], ["--json"]):
        yield ["search", target, "bread", *more]
        yield ["explain", target, "bread", "1", *more]
        yield ["inspect", target, *more]
        yield ["verify", target, "--all", *more]
        yield ["detach", target, *more]
        yield ["detach", target, "--yes", *more]


def test_the_command_line(
    place: tuple[Given, str, Callable[[], str]],
    capfd: pytest.CaptureFixture[str],
    caplog: pytest.LogCaptureFixture,
    tmp_path: Path,
) -> None:
    given, target, server = place
    hunt, codes, hints = Hunt(), set(), ""
    for command in commands(target, tmp_path):
        with pytest.raises(SystemExit) as stopped:
            main(["--verbose", *command])
        out, err = capfd.readouterr()
        codes.add(stopped.value.code)
        hints += out + err
        hunt.add(" ".join(command[:1]), out, err)
        hunt.add("server", server())
    assert {0, 1} <= codes
    with DeadLetters(tmp_path / "again.jsonl") as kept:
        kept.add(Rejected(id="1", reason="full"), Document(id="1", text="bread"))
        printing.print_again(kept, target)
    hint = "".join(capfd.readouterr())
    hunt.add("again", hint)
    hints += hint
    assert "PASSWORD@" in hints  # what to run next is said, with words in place of them
    for file in tmp_path.iterdir():
        hunt.add(file.name, file.read_text())
    assert (tmp_path / "letters.jsonl").is_file()
    hunt.add_logs(caplog.records)
    assert hunt.found(*given.hidden) == []


@pytest.mark.parametrize("given", [GIVEN[0], *GIVEN[-6::3]], indirect=True, ids=str)
def test_commands_that_fail(
    given: Given, capfd: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    hunt = Hunt()
    # Of Qdrant 500 is a failure to wait for, by the minute.
    refused = 400 if given.scheme.startswith("qdrant") else 500
    for status, every in ((refused, 1), (401, 7)):
        with repeating(given, status, False) as (address, was_shown):
            for command in [*commands(given.target(address), tmp_path)][::every]:
                with pytest.raises(SystemExit) as stopped:
                    main(command)
                assert stopped.value.code == 2
                hunt.add(" ".join(command[:1]), *capfd.readouterr())
            assert was_shown()
    with nothing_there() as address:
        with pytest.raises(SystemExit):
            main(["search", given.target(address), "x", "--timeout", "soon"])
        hunt.add("search", *capfd.readouterr())
    assert hunt.found(*given.hidden) == []
