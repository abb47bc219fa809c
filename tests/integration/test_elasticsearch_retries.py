"""Servers that are busy, refuse a request, lose an answer or die: what is sent again."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from typing import Any

import pytest

from splade_connectors import Document, IndexReport, RetryOptions, WriteOptions, aconnect, connect
from splade_connectors.errors import RequestRejected, Unavailable
from splade_connectors.options import Progress
from splade_connectors.testing import HashEncoder, assert_same_ranking, exact_scores
from tests.integration.elasticsearch_fake import (
    PRODUCT,
    Answer,
    Asked,
    FakeElasticsearch,
    error,
    fake_elasticsearch,
)
from tests.servers import ElasticsearchServer

pytestmark = pytest.mark.servers

QUICK = RetryOptions(attempts=3, initial_wait_s=0.01, max_wait_s=0.02)
DOCUMENTS = [Document(id=str(n), text="Water and salt.", line=10 + n) for n in range(8)]
IDS = [document.id for document in DOCUMENTS]


@pytest.fixture(params=[False, True], ids=["sync", "async"])
def asynchronous(request: pytest.FixtureRequest) -> bool:
    return bool(request.param)


async def indexed(
    address: str,
    asynchronous: bool,
    documents: Sequence[Document] = DOCUMENTS,
    options: WriteOptions | None = None,
) -> IndexReport:
    target, arguments = f"elasticsearch://{address}/articles", {"retry": QUICK}
    if not asynchronous:
        with connect(target, encoder=HashEncoder(), **arguments) as store:
            return store.index(documents, options=options)
    async with await aconnect(target, encoder=HashEncoder(), **arguments) as awaited:
        return await awaited.index(documents, options=options)


class Scripted:
    """A script that may use the fake which it is written for."""

    def __init__(self, play: Callable[[FakeElasticsearch, Asked], Answer | None]) -> None:
        self._play = play
        self.fake: FakeElasticsearch

    def __call__(self, asked: Asked) -> Answer | None:
        return self._play(self.fake, asked)


BUSY = error("es_rejected_execution_exception", "rejected execution: queue is full")
UNAVAILABLE = Answer(503, error("unavailable", "come back later"))


def refused(status: int, kind: str, reason: str) -> dict[str, Any]:
    return {"status": status, "error": {"type": kind, "reason": reason}}


# Whole requests


@pytest.mark.parametrize("status", [408, 500, 502, 520, 522, 530])
@pytest.mark.parametrize("body", [error("exception", "node is closed"), "<html>Oops</html>"])
async def test_an_outage_rejects_no_document(status: int, body: Any, asynchronous: bool) -> None:
    """Whatever a server, or a proxy before it, says of requests that it could not serve."""
    failures = [Answer(status, body), Answer(status, body)]

    def script(asked: Asked) -> Answer | None:
        return failures.pop() if asked.is_bulk and failures else None

    with fake_elasticsearch(script) as (address, fake):
        report = await indexed(address, asynchronous)
    assert (report.written, report.rejected, failures) == (8, [], [])
    assert list(fake.documents) == IDS


@pytest.mark.parametrize("status", [408, 429, 502, 503, 504, 520])
@pytest.mark.parametrize(
    "wanted",
    [
        ("GET", "/"),
        ("GET", "/articles"),
        ("PUT", "/articles"),
        ("POST", "/articles/_bulk"),
        ("POST", "/articles/_refresh"),
        ("POST", "/_security/user/_has_privileges"),
    ],
    ids=" ".join,
)
async def test_a_request_is_sent_until_it_is_answered(
    wanted: tuple[str, str], status: int, asynchronous: bool
) -> None:
    failures = [status, status]

    def script(asked: Asked) -> Answer | None:
        if (asked.method, asked.path) == wanted and failures:
            return Answer(failures.pop(), BUSY)
        return None

    with fake_elasticsearch(script) as (address, fake):
        report = await indexed(address, asynchronous)
    assert (report.written, report.rejected, failures) == (8, [], [])
    assert list(fake.documents) == IDS


async def test_a_server_that_stays_busy(asynchronous: bool) -> None:
    def script(asked: Asked) -> Answer | None:
        return UNAVAILABLE if asked.is_bulk else None

    with fake_elasticsearch(script) as (address, fake):
        with pytest.raises(Unavailable, match=r"is not available \(503\): unavailable$") as up:
            await indexed(address, asynchronous)
        assert fake.bulks == [IDS] * QUICK.attempts
    # Nothing was written: there is nothing to say about how far it got.
    assert not hasattr(up.value, "__notes__")


async def test_the_time_that_a_server_asks_for(asynchronous: bool) -> None:
    times: list[float] = []

    def script(asked: Asked) -> Answer | None:
        if asked.is_bulk:
            times.append(time.monotonic())
        if len(times) == 1:
            return Answer(429, BUSY, {**PRODUCT, "Retry-After": "1"})
        return None

    with fake_elasticsearch(script) as (address, _):
        assert (await indexed(address, asynchronous)).written == 8
    assert times[1] - times[0] >= 0.9


async def test_an_index_whose_creation_was_not_answered(asynchronous: bool) -> None:
    def play(fake: FakeElasticsearch, asked: Asked) -> Answer | None:
        if (asked.method, asked.path) != ("PUT", "/articles"):
            return None
        if fake.mapping is None:
            fake.mapping = asked.body["mappings"]
            return UNAVAILABLE
        reason = "index [articles] already exists"
        return Answer(400, error("resource_already_exists_exception", reason))

    script = Scripted(play)
    with fake_elasticsearch(script) as (address, fake):
        script.fake = fake
        report = await indexed(address, asynchronous)
    assert report.written == 8
    assert fake.mapping["_meta"]["splade_connectors"]["splade"]["model"] == "hash"


async def test_other_refusals_of_an_index_are_shown(asynchronous: bool) -> None:
    def script(asked: Asked) -> Answer | None:
        if asked.method == "PUT":
            reason = "this action would add [2] shards, but this cluster has [1000]/[1000]"
            return Answer(400, error("validation_exception", reason))
        return None

    with (
        fake_elasticsearch(script) as (address, _),
        pytest.raises(RequestRejected, match=r"\(400\): validation_exception: .* \[1000\]/\[1000"),
    ):
        await indexed(address, asynchronous)


# Documents inside a request that was answered


@pytest.mark.parametrize("status", [408, 429, 500, 502, 503, 504])
async def test_documents_that_are_turned_away_are_sent_again_alone(
    status: int, asynchronous: bool
) -> None:
    turned_away = refused(status, "es_rejected_execution_exception", "queue is full")
    outcomes = [{"3": turned_away, "5": turned_away}, {"5": turned_away}, {}]

    def play(fake: FakeElasticsearch, asked: Asked) -> Answer | None:
        return fake.written(asked, outcomes.pop(0)) if asked.is_bulk else None

    script = Scripted(play)
    with fake_elasticsearch(script) as (address, fake):
        script.fake = fake
        report = await indexed(address, asynchronous)
    assert fake.bulks == [IDS, ["3", "5"], ["5"]]
    assert (report.written, report.rejected) == (8, [])
    assert sorted(fake.documents) == IDS


async def test_documents_that_are_turned_away_for_good(asynchronous: bool) -> None:
    turned_away = {"3": refused(429, "es_rejected_execution_exception", "queue is full")}

    def play(fake: FakeElasticsearch, asked: Asked) -> Answer | None:
        return fake.written(asked, turned_away) if asked.is_bulk else None

    script = Scripted(play)
    with fake_elasticsearch(script) as (address, fake):
        script.fake = fake
        report = await indexed(address, asynchronous, options=WriteOptions(retry=QUICK))
    assert fake.bulks == [IDS, ["3"], ["3"]]
    assert report.written == 7
    (rejection,) = report.rejected
    assert (rejection.id, rejection.line) == ("3", 13)
    assert rejection.reason == "es_rejected_execution_exception"
    assert rejection.detail == "es_rejected_execution_exception: queue is full"


async def test_documents_that_are_refused_are_not_sent_again(asynchronous: bool) -> None:
    cause = {"type": "illegal_argument_exception", "reason": "bad date"}
    failure = {"status": 400, "error": {"type": "mapper", "reason": "no", "caused_by": cause}}

    def play(fake: FakeElasticsearch, asked: Asked) -> Answer | None:
        return fake.written(asked, {"3": failure}) if asked.is_bulk else None

    script = Scripted(play)
    with fake_elasticsearch(script) as (address, fake):
        script.fake = fake
        report = await indexed(address, asynchronous)
    assert fake.bulks == [IDS]
    assert [(item.reason, item.detail) for item in report.rejected] == [
        (
            "mapper (illegal_argument_exception)",
            "mapper: no (illegal_argument_exception: bad date)",
        )
    ]


# Requests that are refused whole


async def test_a_refused_request_is_halved_until_the_guilty_document_stands_alone(
    asynchronous: bool,
) -> None:
    def script(asked: Asked) -> Answer | None:
        if asked.is_bulk and "5" in asked.ids:
            return Answer(400, error("illegal_argument_exception", "malformed line"))
        return None

    with fake_elasticsearch(script) as (address, fake):
        report = await indexed(address, asynchronous)
    assert fake.bulks == [
        IDS,
        ["0", "1", "2", "3"],
        ["4", "5", "6", "7"],
        ["4", "5"],
        ["4"],
        ["5"],
        ["6", "7"],
    ]
    assert report.written == 7
    (rejection,) = report.rejected
    assert (rejection.id, rejection.line) == ("5", 15)
    assert "refused the request (400): illegal_argument_exception" in rejection.reason
    assert rejection.detail == "illegal_argument_exception: malformed line"


@pytest.mark.parametrize("page", [True, False], ids=["proxy", "server"])
async def test_a_request_that_is_too_large_is_halved(page: bool, asynchronous: bool) -> None:
    limit = 3000
    documents = [
        Document(id=str(n), text="salt", payload={"padding": "x" * (5000 if n == 6 else 600)})
        for n in range(8)
    ]

    def script(asked: Asked) -> Answer | None:
        if not asked.is_bulk or asked.size <= limit:
            return None
        if page:
            return Answer(413, "<html>413 Request Entity Too Large</html>", {})
        return Answer(413, error("content_too_long", "entity content is too long"))

    with fake_elasticsearch(script) as (address, fake):
        report = await indexed(address, asynchronous, documents)
    assert all(
        asked.size <= limit or len(asked.ids) > 1 or asked.ids == ["6"]
        for asked in fake.asked
        if asked.is_bulk
    )
    assert sorted(fake.documents) == [id for id in IDS if id != "6"]
    (rejection,) = report.rejected
    assert rejection.id == "6"
    assert "refused the request (413)" in rejection.reason


# A server that dies


WORDS = ["water", "salt", "flour", "time", "bread", "mountain"]
MANY = [
    Document(id=str(n), text=f"{WORDS[n % 6]} {WORDS[n % 5]} number{n}", payload={"n": n})
    for n in range(1200)
]
SMALL_CHUNKS = WriteOptions(portion_documents=100, chunk_documents=50)


class Killer:
    """Kills a server once, when this many documents have been encoded or written."""

    def __init__(self, server: ElasticsearchServer, after: int, then: Callable[[], None]) -> None:
        self._server = server
        self._after = after
        self._then = then
        self.killed_at = 0

    def __call__(self, progress: Progress) -> None:
        if not self.killed_at and progress.done >= self._after:
            self.killed_at = progress.done
            self._server.kill()
            self._then()


def assert_complete(store: Any) -> None:
    """Each document is there once, with its exact score."""
    encoder = HashEncoder()
    query = encoder.encode_queries(["water and salt"])[0]
    exact = exact_scores(query, encoder.encode_documents([d.text for d in MANY]), "lucene")
    scores = dict(zip((document.id for document in MANY), exact.tolist(), strict=True))
    hits = store.search(query, limit=len(MANY))
    assert_same_ranking([(hit.id, hit.score) for hit in hits], scores, len(MANY))
    assert store.count() == len(MANY)


def test_a_server_that_is_killed_and_started_again(mortal: ElasticsearchServer) -> None:
    target = f"{mortal.url.replace('http', 'elasticsearch', 1)}/killed"
    with connect(target, encoder=HashEncoder(), retry=QUICK) as store:
        killer = Killer(mortal, 300, then=lambda: None)
        began = time.monotonic()
        with pytest.raises(Unavailable, match=r"cannot be reached|closed the connection") as caught:
            store.index(MANY, options=SMALL_CHUNKS, on_progress=killer)
        assert time.monotonic() - began < 30
        (note,) = caught.value.__notes__
        acknowledged = int(note.split()[0])
        assert 0 < acknowledged < len(MANY)
        mortal.restart()
        # What was acknowledged is there, whatever else is.
        known = store.known([document.id for document in MANY[:acknowledged]])
        assert len(known) == acknowledged
        report = store.index(MANY, options=SMALL_CHUNKS)
        assert (report.written, report.rejected) == (len(MANY), [])
        assert_complete(store)


def test_a_server_that_comes_back_while_we_wait(mortal: ElasticsearchServer) -> None:
    target = f"{mortal.url.replace('http', 'elasticsearch', 1)}/waited-for"
    patient = RetryOptions(attempts=1000, initial_wait_s=0.2, max_wait_s=0.5, total_s=120)
    restart = threading.Thread(target=mortal.restart)
    with connect(target, encoder=HashEncoder(), retry=patient) as store:
        killer = Killer(mortal, 600, then=restart.start)
        try:
            report = store.index(MANY, options=SMALL_CHUNKS, on_progress=killer)
        finally:
            if killer.killed_at:
                restart.join()
        assert killer.killed_at >= 600
        assert (report.written, report.rejected) == (len(MANY), [])
        assert_complete(store)
