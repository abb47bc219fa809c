"""The `index` verb: every document accounted for, whatever the store answers."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from splade_connectors import (
    AsyncStore,
    DeadLetters,
    Document,
    IndexingInterrupted,
    IndexReport,
    Progress,
    PruneOptions,
    RetryOptions,
    SparseVector,
    Store,
    WriteOptions,
)
from splade_connectors.backends.protocol import Description, Opened
from splade_connectors.documents import (
    DocumentId,
    EncodedDocument,
    Outcome,
    Rejected,
    StoredDocument,
)
from splade_connectors.errors import (
    AccessDenied,
    ConfigurationError,
    InvalidDocument,
    RequestRejected,
    SpladeConnectorsError,
    Unavailable,
    WouldReplace,
)
from splade_connectors.files.dead_letters import Letters
from splade_connectors.operations.session import Session
from splade_connectors.runtime.drive import run
from splade_connectors.runtime.effects import Request, Steps
from splade_connectors.testing import HashEncoder, MemoryStore
from splade_connectors.testing.memory import MemoryBackend
from splade_connectors.writing.chunks import PortionSize, chunks, portions
from splade_connectors.writing.report import KEPT_REJECTIONS

QUICK = RetryOptions(initial_wait_s=0.0001, max_wait_s=0.001)
PATIENT = RetryOptions(initial_wait_s=1.0, max_wait_s=8.0)


@dataclass(frozen=True, slots=True)
class Put(Request):
    """A write request, so that it passes through the sender."""

    documents: Sequence[EncodedDocument]


class ScriptedBackend(MemoryBackend):
    """A memory store that asks `judge` about each document of a request before it stores it."""

    def __init__(self, **capabilities: Any) -> None:
        super().__init__()
        self.requests: list[list[DocumentId]] = []
        self.judge: Callable[[EncodedDocument], str | None] = lambda document: None
        self.before: Callable[[], None] = lambda: None
        self.busy: dict[DocumentId, int] = {}
        self.refreshed = 0
        self._capabilities = capabilities

    def describe(self) -> Steps[Description]:
        seen = yield from super().describe()
        return replace(seen, capabilities=replace(seen.capabilities, **self._capabilities))

    def size(self, document: EncodedDocument) -> int:
        return 10 + len(document.document.text)

    def write(
        self, seen: Description, documents: Sequence[EncodedDocument]
    ) -> Steps[list[Outcome]]:
        yield Put(documents)
        busy = [document for document in documents if self.busy.get(document.id, 0)]
        for document in busy:
            self.busy[document.id] -= 1
        guilty = {document.id: self.judge(document) for document in documents}
        fine = [item for item in documents if item not in busy and not guilty[item.id]]
        outcomes = yield from super().write(seen, fine)
        outcomes += [Rejected(id=item.id, reason="429", retryable=True) for item in busy]
        outcomes += [Rejected(id=id, reason=reason) for id, reason in guilty.items() if reason]
        return outcomes

    def refresh(self) -> Steps[None]:
        self.refreshed += 1
        yield from ()

    def send(self, request: Put) -> None:
        self.before()
        self.requests.append([document.id for document in request.documents])


@dataclass
class Bench:
    """A store over a scripted backend, which records what it sleeps."""

    backend: ScriptedBackend = field(default_factory=ScriptedBackend)
    retry: RetryOptions = QUICK
    prune: PruneOptions = field(default_factory=PruneOptions)
    slept: list[float] = field(default_factory=list)

    def session(self) -> Session:
        return Session(self.backend, HashEncoder, self.prune, False)

    def store(self) -> Store:
        opened = Opened(backend=self.backend, send=self.backend.send, close=lambda: None)
        store = Store(self.session(), opened, self.retry)
        bench = self

        def recorded(steps: Steps[Any], *, guarded: bool = False) -> Any:
            sleep = bench.slept.append
            return run(steps, bench.backend.send, bench.retry, sleep, guarded=guarded)

        store._run = recorded  # type: ignore[method-assign]
        return store

    def astore(self) -> AsyncStore:
        async def send(request: Put) -> None:
            self.backend.send(request)

        async def close() -> None:
            return None

        return AsyncStore(
            self.session(), Opened(backend=self.backend, send=send, close=close), self.retry
        )

    def stored(self) -> set[DocumentId]:
        return set(self.backend.collection.payloads)

    def documents(self) -> dict[DocumentId, StoredDocument]:
        seen = run(self.backend.describe(), self.backend.send, QUICK)
        fetching = self.backend.fetch(seen, list(self.stored()), with_vectors=True)
        return {document.id: document for document in run(fetching, self.backend.send, QUICK)}


@pytest.fixture
def bench() -> Bench:
    return Bench()


def documents(count: int, text: str = "word") -> list[Document]:
    return [Document(id=id, text=f"{text} {id}", line=id + 1) for id in range(count)]


def small(**more: Any) -> WriteOptions:
    return WriteOptions(
        **({"portion_documents": 8, "chunk_documents": 4, "max_in_flight": 1} | more)
    )


def test_every_document_is_written_once_in_chunks_and_made_visible(bench: Bench) -> None:
    report = bench.store().index(documents(19), options=small())
    assert (report.written, report.rejected_count, report.done) == (19, 0, 19)
    assert bench.backend.requests == [
        [0, 1, 2, 3],
        [4, 5, 6, 7],
        [8, 9, 10, 11],
        [12, 13, 14, 15],
        [16, 17, 18],
    ]
    assert bench.stored() == set(range(19))
    assert bench.backend.refreshed == 1
    assert report.terms == sum(len(doc.vector or ()) for doc in bench.documents().values())
    assert report.seconds >= report.encode_s > 0


def test_nothing_to_index_touches_nothing(bench: Bench) -> None:
    report = bench.store().index([])
    assert report == IndexReport(seconds=report.seconds)
    assert bench.backend.requests == []
    assert bench.backend.refreshed == 0
    assert not bench.backend.collection.exists


def test_rows_that_all_were_rejected_create_nothing(bench: Bench) -> None:
    report = bench.store().index([Rejected(id=None, reason="no JSON", line=1)])
    assert report.rejected == [Rejected(id=None, reason="no JSON", line=1)]
    assert not bench.backend.collection.exists


def test_a_document_turned_away_with_429_is_sent_again_and_only_that_one(bench: Bench) -> None:
    bench.retry = PATIENT
    bench.backend.busy = {2: 3, 1: 1}
    report = bench.store().index(documents(4), options=small())
    assert bench.backend.requests == [[0, 1, 2, 3], [1, 2], [2], [2]]
    assert (report.written, report.rejected_count) == (4, 0)
    bounds = [1.0, 2.0, 4.0]
    assert len(bench.slept) == len(bounds)
    assert all(0 <= pause <= bound for pause, bound in zip(bench.slept, bounds, strict=True))


def test_a_document_that_is_turned_away_for_ever_is_reported(bench: Bench) -> None:
    bench.backend.busy = {2: 1000}
    report = bench.store().index(
        documents(4), options=small(retry=RetryOptions(attempts=3, initial_wait_s=0.0001))
    )
    assert bench.backend.requests == [[0, 1, 2, 3], [2], [2]]
    assert report.written == 3
    assert report.rejected == [Rejected(id=2, reason="429", line=3)]
    assert bench.stored() == {0, 1, 3}


def test_a_document_that_the_store_rejects_is_reported_and_not_sent_again(bench: Bench) -> None:
    bench.backend.judge = lambda document: "wrong field" if document.id == 1 else None
    report = bench.store().index(documents(4), options=small())
    assert bench.backend.requests == [[0, 1, 2, 3]]
    assert report.rejected == [Rejected(id=1, reason="wrong field", line=2)]
    assert report.written == 3
    assert bench.slept == []


def refuse(bench: Bench, guilty: set[int]) -> None:
    """Requests with a guilty document are refused whole, as a 400 does."""

    def send(request: Put) -> None:
        ScriptedBackend.send(bench.backend, request)
        found = sorted(guilty & {int(document.id) for document in request.documents})
        if found:
            raise RequestRejected(f"bad {found}", status=400)

    bench.backend.send = send  # type: ignore[method-assign]


def test_a_refused_request_is_halved_until_the_guilty_document_stands_alone(bench: Bench) -> None:
    refuse(bench, {5})
    report = bench.store().index(documents(8), options=small(chunk_documents=8))
    assert bench.backend.requests == [
        [0, 1, 2, 3, 4, 5, 6, 7],
        [0, 1, 2, 3],
        [4, 5, 6, 7],
        [4, 5],
        [4],
        [5],
        [6, 7],
    ]
    assert report.rejected == [Rejected(id=5, reason="bad [5]", line=6)]
    assert bench.stored() == set(range(8)) - {5}


@given(st.sets(st.integers(0, 19)), st.integers(1, 20))
def test_refused_requests_lose_nobody_else(guilty: set[int], size: int) -> None:
    bench = Bench()
    refuse(bench, guilty)
    options = WriteOptions(portion_documents=20, chunk_documents=size)
    report = bench.store().index(documents(20), options=options)
    assert {item.id for item in report.rejected} == guilty
    assert bench.stored() == set(range(20)) - guilty
    assert report.written == 20 - len(guilty)


def test_an_id_given_twice_is_reported_and_the_first_one_is_kept(bench: Bench) -> None:
    rows = [Document(id=id, text=f"{id} {n}", line=n) for n, id in enumerate([5, "5", 5, "a", "a"])]
    report = bench.store().index(rows, options=small(portion_documents=2))
    assert bench.stored() == {5, "5", "a"}
    assert [(item.id, item.line) for item in report.rejected] == [(5, 2), ("a", 4)]
    assert "the id 5 was already used by an earlier document" in report.rejected[0].reason
    assert bench.documents()[5].payload["text"] == "5 0"


def test_where_ids_are_texts_a_number_and_its_text_are_one_id() -> None:
    bench = Bench(ScriptedBackend())
    bench.backend.key_of = str  # type: ignore[method-assign]
    report = bench.store().index([Document(id=5, text="a"), Document(id="5", text="b")])
    assert (report.written, [item.id for item in report.rejected]) == (1, ["5"])


def test_an_id_may_come_again_in_the_next_run(bench: Bench) -> None:
    store = bench.store()
    for _ in range(2):
        assert store.index(documents(3)).written == 3
    assert bench.stored() == {0, 1, 2}


def test_an_empty_text_is_stored_with_an_empty_vector(bench: Bench) -> None:
    rows = [Document(id=1, text=""), Document(id=2, text=" \t\n"), Document(id=3, text="x")]
    report = bench.store().index(rows)
    assert (report.written, report.empty) == (3, 2)
    assert bench.documents()[2].vector == SparseVector.empty()


def test_an_empty_text_is_reported_where_the_store_needs_a_term() -> None:
    bench = Bench(ScriptedBackend(empty_vectors=False))
    rows = [Document(id=1, text="", line=9), Document(id=2, text="x")]
    report = bench.store().index(rows)
    assert (report.written, report.empty) == (1, 0)
    reason = "the text is empty, but this store needs at least one term"
    assert report.rejected == [Rejected(id=1, reason=reason, line=9, final=True)]


def test_a_vector_handed_in_is_stored_and_its_text_is_not_encoded() -> None:
    vector, _ = SparseVector.from_pairs({3: 1.0, 9: 0.5, 11: 0.25})
    bench = Bench(prune=PruneOptions(top_k=2))
    rows = [Document(id=1, text="some words", vector=vector), Document(id=2, vector=vector)]
    report = bench.store().index(rows)
    assert (report.written, report.empty, report.terms) == (2, 0, 4)
    stored = bench.documents()
    assert stored[1].vector == stored[2].vector == vector.prune(PruneOptions(top_k=2))
    assert stored[1].payload == {"text": "some words"}


@pytest.mark.parametrize("value", [float("nan"), -1.0, 0.0])
def test_a_weight_that_is_none_is_refused_when_the_vector_is_made(value: float) -> None:
    with pytest.raises(ConfigurationError, match="SPLADE weights are finite and > 0"):
        Document(id=1, vector=SparseVector([1], [value]))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("payload", "fields", "kept"),
    [
        ({}, ("text",), {"text": "x y"}),
        ({"n": 1}, ("text",), {"n": 1, "text": "x y"}),
        ({"text": "whole"}, ("text",), {"text": "whole"}),
        ({"body": "y"}, ("title", "body"), {"body": "y"}),
        ({"n": 1}, ("title", "body"), {"n": 1, "title": "x y"}),
    ],
)
def test_the_text_is_stored_where_the_payload_does_not_have_it(
    bench: Bench, payload: dict[str, Any], fields: tuple[str, ...], kept: dict[str, Any]
) -> None:
    bench.store().index(
        [Document(id=1, text="x y", payload=payload)], options=WriteOptions(text_fields=fields)
    )
    assert bench.documents()[1].payload == kept


@pytest.mark.parametrize(
    ("key", "why"),
    [
        (1, "keys must be strings"),
        (None, "keys must be strings"),
        ("", "field names must not be blank"),
        ("\t ", "field names must not be blank"),
    ],
)
def test_a_payload_key_that_is_no_name_is_reported(bench: Bench, key: Any, why: str) -> None:
    rows = [Document(id=1, text="x", payload={key: 1}), Document(id=2, text="y")]
    report = bench.store().index(rows)
    assert report.written == 1
    assert f"has the key {key!r}; {why}" in report.rejected[0].reason


def test_what_others_made_and_left_empty_is_ours(bench: Bench) -> None:
    bench.backend.collection.exists = True
    assert bench.store().index(documents(3)).replaced == 0
    assert bench.store().index(documents(4)).replaced == 3
    assert bench.stored() == {0, 1, 2, 3}


def test_what_others_have_filled_is_not(bench: Bench) -> None:
    bench.backend.collection.exists = True
    bench.backend.collection.payloads["theirs"] = {"price": 1}
    bench.store().index(documents(3))
    with pytest.raises(WouldReplace, match="3 of the next 4 documents already exist"):
        bench.store().index(documents(4))


def test_what_the_backend_knows_to_be_wrong_is_never_sent(bench: Bench) -> None:
    bench.backend.check = (  # type: ignore[method-assign]
        lambda seen, document: "no such vector" if document.id == 1 else None
    )
    report = bench.store().index(documents(3))
    assert bench.backend.requests == [[0, 2]]
    assert report.rejected == [Rejected(id=1, reason="no such vector", line=2, final=True)]


def progress_of(bench: Bench, rows: Sequence[Any]) -> list[Progress]:
    seen: list[Progress] = []
    bench.store().index(rows, options=small(), on_progress=seen.append)
    return seen


def test_progress_rises_to_the_number_of_documents(bench: Bench) -> None:
    bench.backend.judge = lambda document: "no" if document.id == 3 else None
    rows: list[Any] = [*documents(20), Rejected(id=None, reason="x"), Document(id=0, text="again")]
    seen = progress_of(bench, rows)
    done = [step.done for step in seen]
    assert done == sorted(done)
    assert seen[-1] == Progress(done=22, rejected=3, read=22, total=22)


def test_only_what_is_acknowledged_is_done(bench: Bench) -> None:
    stored: list[tuple[int, int]] = []

    def note(step: Progress) -> None:
        stored.append((step.done, len(bench.backend.collection.payloads)))

    bench.store().index(iter(documents(40)), options=small(max_in_flight=4), on_progress=note)
    assert all(done <= there for done, there in stored)
    assert {done for done, _ in stored} > {0, 40}


def test_the_first_documents_are_sent_before_a_whole_portion_is_encoded(bench: Bench) -> None:
    read = 0

    def rows() -> Iterator[Document]:
        nonlocal read
        for document in documents(2_000):
            read += 1
            yield document

    at_first_request: list[int] = []
    bench.backend.before = lambda: at_first_request.append(read)
    bench.store().index(rows())
    assert at_first_request[0] == 16
    assert max(map(len, bench.backend.requests)) == 256


def test_portions_grow_while_they_are_quick_and_shrink_when_they_are_long() -> None:
    size = PortionSize(512)
    sizes = []
    for seconds in (0.1, 1.0, 2.4, 5.0, 0.2, 0.2, 11.0, *[60.0] * 6):
        sizes.append(size.now)
        size.took(seconds)
    assert sizes == [16, 64, 128, 256, 256, 512, 512, 256, 128, 64, 32, 16, 16]
    small = PortionSize(3)
    small.took(60.0)
    assert small.now == 3


def test_an_error_of_the_callback_is_the_callers(bench: Bench) -> None:
    def broken(step: Progress) -> None:
        raise RuntimeError("mine")

    with pytest.raises(RuntimeError, match="mine"):
        bench.store().index(documents(3), on_progress=broken)


def interrupting(rows: Sequence[Document], after: int) -> Iterator[Document]:
    yield from rows[:after]
    raise KeyboardInterrupt


@pytest.mark.parametrize("after", [0, 3, 8, 20, 21])
def test_an_interrupt_while_reading_says_what_is_there(bench: Bench, after: int) -> None:
    with pytest.raises(IndexingInterrupted) as caught:
        bench.store().index(interrupting(documents(40), after), options=small())
    report = caught.value.report
    assert isinstance(report, IndexReport)
    assert report.interrupted
    assert report.written == after // 8 * 8  # whole portions
    assert bench.stored() == set(range(report.written))
    assert f"stopped: {report.written} documents written so far" in str(caught.value)
    assert "run the same command again to complete the index" in str(caught.value)


def test_an_interrupt_while_sending_says_what_was_acknowledged(bench: Bench) -> None:
    def stop_at_the_third_request() -> None:
        if len(bench.backend.requests) == 2:
            raise KeyboardInterrupt

    bench.backend.before = stop_at_the_third_request
    with pytest.raises(IndexingInterrupted) as caught:
        bench.store().index(documents(40), options=small())
    assert isinstance(caught.value.report, IndexReport)
    assert caught.value.report.written == 8
    assert bench.stored() == set(range(8))


def test_the_same_call_after_an_interrupt_completes_the_index(bench: Bench) -> None:
    store = bench.store()
    with pytest.raises(IndexingInterrupted):
        store.index(interrupting(documents(20), 10), options=small())
    assert store.index(documents(20), options=small()).written == 20
    assert bench.stored() == set(range(20))
    assert store.count() == 20


@pytest.mark.parametrize(
    "error", [AccessDenied("no"), Unavailable("gone"), ConfigurationError("x")]
)
def test_an_error_in_the_middle_notes_how_far_it_got(
    bench: Bench, error: SpladeConnectorsError
) -> None:
    def fail_at_the_fourth_request() -> None:
        if len(bench.backend.requests) == 3:
            raise error

    bench.backend.before = fail_at_the_fourth_request
    with pytest.raises(type(error)) as caught:
        bench.store().index(documents(40), options=small())
    first = "correct the cause, then " if isinstance(error, ConfigurationError) else ""
    assert caught.value.__notes__ == [
        f"12 documents written so far; {first}run the same command again to complete the index "
        "without duplicates"
    ]
    assert bench.stored() == set(range(12))


def test_a_bad_document_in_the_stream_notes_how_far_it_got(bench: Bench) -> None:
    rows = (Document(id=id or "", text="x") for id in [1, 2, 3, 4, 5, 6, 7, 8, 9, ""])
    with pytest.raises(InvalidDocument, match="empty string") as caught:
        bench.store().index(rows, options=small())
    assert "8 documents written so far" in caught.value.__notes__[0]


def test_a_server_that_is_away_for_a_moment_loses_nothing(bench: Bench) -> None:
    answers = iter([Unavailable("busy"), None, Unavailable("busy"), Unavailable("busy"), None])

    def sometimes() -> None:
        answer = next(answers, None)
        if answer:
            raise answer

    bench.backend.before = sometimes
    report = bench.store().index(documents(12), options=small())
    assert report.written == 12
    assert bench.backend.requests == [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9, 10, 11]]
    assert len(bench.slept) == 3


def test_more_rejections_than_are_kept_are_counted(bench: Bench) -> None:
    count = KEPT_REJECTIONS + 500
    report = bench.store().index(Rejected(id=n, reason="x", line=n) for n in range(count))
    assert report.rejected_count == count
    assert [item.id for item in report.rejected] == list(range(KEPT_REJECTIONS))
    assert report.to_json()["rejected"] == count


async def stream(rows: Sequence[Any]) -> AsyncIterator[Any]:
    for row in rows:
        yield row


@pytest.mark.parametrize("asynchronously", [True, False])
async def test_the_awaiting_store_writes_what_the_blocking_one_writes(asynchronously: bool) -> None:
    rows: list[Any] = [*documents(21), Document(id=0, text="again"), Rejected(id=None, reason="x")]
    benches = [Bench(), Bench()]
    for bench in benches:
        bench.backend.busy = {5: 2}
        bench.backend.judge = lambda document: "no" if document.id == 7 else None
    seen: list[list[Progress]] = [[], []]
    expected = benches[0].store().index(rows, options=small(), on_progress=seen[0].append)
    given_rows: Any = stream(rows) if asynchronously else rows
    found = await benches[1].astore().index(given_rows, options=small(), on_progress=seen[1].append)
    timeless = [
        {name: value for name, value in report.to_json().items() if "seconds" not in name}
        for report in (expected, found)
    ]
    assert timeless[0] == timeless[1]
    assert timeless[0]["written"] == 20
    # When an answer is looked at depends on when it comes; how many there are does not.
    assert {step.done for step in seen[0]} == {step.done for step in seen[1]}
    total = None if asynchronously else len(rows)
    assert replace(seen[0][-1], total=total) == seen[1][-1]
    assert benches[0].backend.requests == benches[1].backend.requests
    assert benches[0].documents() == benches[1].documents()


async def test_an_error_of_the_awaiting_store_notes_how_far_it_got(bench: Bench) -> None:
    def fail_at_the_third_request() -> None:
        if len(bench.backend.requests) == 2:
            raise AccessDenied("no")

    bench.backend.before = fail_at_the_third_request
    with pytest.raises(AccessDenied) as caught:
        await bench.astore().index(stream(documents(40)), options=small())
    assert "8 documents written so far" in caught.value.__notes__[0]


@given(st.lists(st.integers()), st.integers(1, 12))
def test_windows_lose_nothing_and_keep_the_order(items: list[int], size: int) -> None:
    found = list(portions(iter(items), size))
    assert [item for portion in found for item in portion] == items
    assert all(len(portion) == size for portion in found[:-1])
    assert all(0 < len(portion) <= size for portion in found)


def test_windows_read_no_further_than_asked() -> None:
    read = []

    def items() -> Iterator[int]:
        for number in range(100):
            read.append(number)
            yield number

    assert next(portions(items(), 7)) == list(range(7))
    assert read == list(range(7))


@given(st.lists(st.integers(0, 5)), st.integers(1, 8), st.integers(1, 12))
def test_chunks_lose_nothing_and_keep_order_and_limits(
    sizes: list[int], max_items: int, max_bytes: int
) -> None:
    items = list(enumerate(sizes))
    found = list(chunks(items, max_items=max_items, max_bytes=max_bytes, size=lambda item: item[1]))
    assert [item for chunk in found for item in chunk] == items
    for chunk in found:
        assert 1 <= len(chunk) <= max_items
        assert len(chunk) == 1 or sum(size for _, size in chunk) <= max_bytes
    for chunk, after in pairwise(found):
        # Greedy: the next item would not have fitted.
        assert len(chunk) == max_items or sum(size for _, size in [*chunk, after[0]]) > max_bytes


def test_chunks_are_cut_by_bytes(bench: Bench) -> None:
    rows = [Document(id=id, text="x" * 90) for id in range(5)]  # 100 bytes each, see `size`
    rows.insert(2, Document(id="large", text="y" * 5000))
    bench.store().index(rows, options=WriteOptions(max_chunk_bytes=250))
    assert bench.backend.requests == [[0, 1], ["large"], [2, 3], [4]]


@pytest.mark.parametrize(
    "name", ["portion_documents", "chunk_documents", "max_chunk_bytes", "max_in_flight"]
)
def test_limits_are_at_least_one(name: str) -> None:
    limits: Mapping[str, Any] = {name: 0}
    with pytest.raises(ConfigurationError, match=f"{name} must be at least 1, not 0"):
        WriteOptions(**limits)


def test_text_fields_must_be_named() -> None:
    with pytest.raises(ConfigurationError, match="text_fields must name at least one field"):
        WriteOptions(text_fields=())


@pytest.mark.parametrize("ids", ["a", 5])
def test_one_id_is_no_list_of_ids(ids: Any) -> None:
    store = MemoryStore(HashEncoder())
    store.index(documents(1))
    for verb in (store.get, store.delete, store.known):
        with pytest.raises(ConfigurationError, match=f"expected a list of ids, got {ids!r}: pass"):
            verb(ids)


@pytest.mark.parametrize("id", [None, True, "", 1.5])
def test_what_is_no_id_is_refused_everywhere(id: Any) -> None:
    store = MemoryStore(HashEncoder())
    store.index(documents(1))
    for verb in (store.get, store.delete, store.known):
        with pytest.raises(InvalidDocument, match="a document id must"):
            verb([id])


@given(
    st.lists(st.tuples(st.integers(0, 6), st.text(max_size=3)), max_size=12),
    st.sets(st.integers(0, 6)),
)
def test_what_was_refused_once_and_is_sent_again_is_as_if_it_never_was(
    rows: list[tuple[int, str]], refused: set[int]
) -> None:
    given_ = [
        Document(id=id, text=f"word {text}", payload={"at": at})
        for at, (id, text) in enumerate(rows)
    ]
    untroubled, bench = Bench(), Bench()
    untroubled.store().index(given_)
    bench.backend.judge = lambda document: "mapping" if document.id in refused else None
    with TemporaryDirectory() as folder:
        path = Path(folder) / "letters.jsonl"
        with DeadLetters(path) as letters:
            report = bench.store().index(given_, dead_letters=letters)
        assert letters.count == report.rejected_count
        bench.backend.judge = lambda document: None
        if letters.count:
            again = bench.store().index(Letters(path))
            assert again.written == letters.again
    assert bench.documents() == untroubled.documents()
