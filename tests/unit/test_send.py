"""Sending in chunks: every item is settled once, in order, whatever the store answers."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from threading import Event
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from splade_connectors.documents import Rejected, Written
from splade_connectors.errors import AccessDenied, RequestRejected, Unavailable
from splade_connectors.options import RetryOptions, WriteOptions
from splade_connectors.runtime.drive import arun, run
from splade_connectors.runtime.effects import Compute, Join, Request, Spawn, Steps
from splade_connectors.writing.send import Concurrency, Patience, Sender

QUICK = RetryOptions(attempts=50, initial_wait_s=0.0001, max_wait_s=0.0002)


SLOW = RetryOptions(attempts=50, initial_wait_s=60.0, max_wait_s=60.0, total_s=900.0)


@dataclass(frozen=True, slots=True)
class Item:
    id: int
    bytes: int = 10


@dataclass(frozen=True, slots=True)
class Put(Request):
    items: Sequence[Item]


@dataclass
class Store:
    """Answers requests by a script, and keeps what was asked."""

    judge: Callable[[list[int]], Any] = lambda ids: None
    requests: list[list[int]] = field(default_factory=list)
    settled: list[tuple[int, Any]] = field(default_factory=list)
    slept: list[float] = field(default_factory=list)

    def write(self, items: Sequence[Item]) -> Steps[list[Any]]:
        return (yield Put(items))

    def send(self, request: Put) -> list[Any]:
        ids = [item.id for item in request.items]
        self.requests.append(ids)
        answer = self.judge(ids)
        if isinstance(answer, Exception):
            raise answer
        changed = {outcome.id: outcome for outcome in answer or ()}
        return [changed.get(id, Written(id=id)) for id in ids]

    def sender(self, retry: RetryOptions = QUICK, **options: Any) -> Sender[Item]:
        chosen = WriteOptions(**({"chunk_documents": 4, "max_in_flight": 1} | options))
        return Sender(
            self.write,
            lambda item: item.bytes,
            lambda item, outcome: self.settled.append((item.id, outcome)),
            chosen,
            retry,
        )

    def run(self, sender: Sender[Item], count: int = 10) -> None:
        def verb() -> Steps[None]:
            yield from sender.put([Item(id) for id in range(count)])
            yield from sender.drain()

        run(verb(), self.send, QUICK, self.slept.append)

    @property
    def reasons(self) -> dict[int, str]:
        return {id: found.reason for id, found in self.settled if isinstance(found, Rejected)}


@pytest.mark.parametrize("at_once", [1, 4])
def test_items_are_settled_once_and_in_order(at_once: int) -> None:
    store = Store()
    sender = store.sender(max_in_flight=at_once)
    store.run(sender, 30)
    assert [id for id, _ in store.settled] == list(range(30))
    assert sorted(id for ids in store.requests for id in ids) == list(range(30))
    assert sender.in_flight == 0


def test_no_more_requests_than_allowed_are_under_way() -> None:
    store, under_way, most = Store(), 0, 0

    async def send(request: Put) -> list[Any]:
        nonlocal under_way, most
        under_way += 1
        most = max(most, under_way)
        await asyncio.sleep(0.001)
        under_way -= 1
        return store.send(request)

    sender = store.sender(max_in_flight=3, chunk_documents=1)

    def verb() -> Steps[None]:
        yield from sender.put([Item(id) for id in range(40)])
        yield from sender.drain()

    asyncio.run(arun(verb(), send, QUICK))
    assert most == 3
    assert [id for id, _ in store.settled] == list(range(40))


def test_only_what_failed_is_sent_again() -> None:
    store, busy = Store(), {1: 2, 3: 1}

    def judge(ids: list[int]) -> list[Rejected]:
        found = [id for id in ids if busy.get(id)]
        for id in found:
            busy[id] -= 1
        return [Rejected(id=id, reason="busy", retryable=True) for id in found]

    store.judge = judge
    sender = store.sender()
    store.run(sender, 4)
    assert store.requests == [[0, 1, 2, 3], [1, 3], [1]]
    assert store.reasons == {}
    assert sender.retries == 2


def test_a_wait_that_the_server_asks_for_is_honoured() -> None:
    store, failures = Store(), [Unavailable("slow", retry_after_s=7.5)]
    store.judge = lambda ids: failures.pop() if failures else None
    store.run(store.sender(), 2)
    assert store.slept == [7.5]
    assert store.requests == [[0, 1], [0, 1]]


def test_patience_ends_and_what_was_written_is_settled() -> None:
    store = Store()
    store.judge = lambda ids: Unavailable("away") if 5 in ids else None
    sender = store.sender(RetryOptions(attempts=3, initial_wait_s=0.0001))
    with pytest.raises(Unavailable, match="away"):
        store.run(sender, 10)
    assert [id for id, _ in store.settled] == [0, 1, 2, 3]
    assert store.requests.count([4, 5, 6, 7]) == 3


def test_a_refused_chunk_is_halved_until_the_guilty_item_stands_alone() -> None:
    store = Store()
    store.judge = lambda ids: RequestRejected("bad", status=400) if 2 in ids else None
    store.run(store.sender(), 4)
    assert store.reasons == {2: "bad"}
    assert store.requests == [[0, 1, 2, 3], [0, 1], [2, 3], [2], [3]]
    assert [id for id, _ in store.settled] == [0, 1, 2, 3]


def test_chunks_stay_small_after_they_were_too_large() -> None:
    store = Store()
    store.judge = lambda ids: RequestRejected("large", status=413) if len(ids) > 2 else None
    store.run(store.sender(), 12)
    # 40 bytes were too much, so 20 are tried from the next chunk that is cut.
    assert store.requests[:3] == [[0, 1, 2, 3], [0, 1], [2, 3]]
    sender = store.sender()
    store.requests.clear()

    def verb() -> Steps[None]:
        yield from sender.put([Item(id) for id in range(4)])
        yield from sender.drain()
        yield from sender.put([Item(id) for id in range(4, 10)])
        yield from sender.drain()

    run(verb(), store.send, QUICK)
    assert store.requests[3:] == [[4, 5], [6, 7], [8, 9]]


def test_an_error_about_everything_stops_and_the_rest_can_be_settled() -> None:
    store = Store()
    store.judge = lambda ids: AccessDenied("no") if 0 in ids else None
    sender = store.sender(max_in_flight=2)

    def verb() -> Steps[None]:
        yield from sender.put([Item(id) for id in range(8)])
        yield from sender.drain()

    with pytest.raises(AccessDenied):
        run(verb(), store.send, QUICK)
    run(sender.drain_after_failure(), store.send, QUICK)
    assert [id for id, _ in store.settled] == [4, 5, 6, 7]
    assert sender.in_flight == 0


def test_concurrency_grows_slowly_and_shrinks_at_once() -> None:
    concurrency = Concurrency(8)
    assert concurrency.allowed == 2
    for _ in range(60):
        concurrency.answered(0.1, throttled=False)
    assert concurrency.allowed == 8
    concurrency.answered(0.1, throttled=True)
    assert concurrency.allowed == 4
    concurrency.answered(30.0, throttled=False)  # slow: as good as a refusal
    assert concurrency.allowed == 2
    for _ in range(10):
        concurrency.answered(0.1, throttled=True)
    assert concurrency.allowed == 1


def test_patience_is_bounded_by_tries_and_by_time() -> None:
    patience = Patience(RetryOptions(attempts=3, initial_wait_s=0.001, total_s=100))
    assert patience.pause_s() is not None
    assert patience.pause_s(5.0) == 5.0  # longer than its own wait
    assert patience.pause_s() is None
    patience.restore()
    assert patience.pause_s(1000.0) is None


Fate = st.sampled_from(["fine", "busy", "rejected", "reset", "bad", "large"])


@given(
    fates=st.lists(Fate, min_size=1, max_size=25),
    chunk=st.integers(1, 6),
    at_once=st.integers(1, 4),
)
def test_every_item_is_settled_exactly_once(fates: list[str], chunk: int, at_once: int) -> None:
    store, waiting = Store(), dict(enumerate(fates))

    def judge(ids: list[int]) -> Any:
        for id in ids:
            fate = waiting[id]
            if fate == "reset":
                waiting[id] = "fine"
                return Unavailable("reset")
            if fate == "bad" or (fate == "large" and len(ids) > 1):
                return RequestRejected(fate, status=413 if fate == "large" else 400)
        outcomes = []
        for id in ids:
            if waiting[id] == "busy":
                waiting[id] = "fine"
                outcomes.append(Rejected(id=id, reason="busy", retryable=True))
            elif waiting[id] == "rejected":
                outcomes.append(Rejected(id=id, reason="rejected"))
        return outcomes

    store.judge = judge
    store.run(store.sender(chunk_documents=chunk, max_in_flight=at_once), len(fates))
    assert [id for id, _ in store.settled] == list(range(len(fates)))
    guilty = {at: fate for at, fate in enumerate(fates) if fate in ("bad", "rejected")}
    assert store.reasons == guilty


def _beside(trace: list[str]) -> Steps[list[Any]]:
    def part(name: str) -> Steps[str]:
        trace.append(name)
        answer = yield Put([Item(len(name))])
        return f"{name} {len(answer)}"

    first = yield Spawn(part("a"))
    second = yield Spawn(part("bb"))
    return [(yield Join(first)), (yield Join(second))]


@pytest.mark.parametrize("awaited", [False, True])
def test_spawned_steps_are_joined(awaited: bool) -> None:
    store, trace = Store(), list[str]()

    async def send(request: Put) -> list[Any]:
        return store.send(request)

    if awaited:
        found = asyncio.run(arun(_beside(trace), send, QUICK))
    else:
        found = run(_beside(trace), store.send, QUICK)
    assert found == ["a 1", "bb 1"]
    assert sorted(trace) == ["a", "bb"]


def test_what_spawned_steps_raise_is_raised_where_they_are_joined() -> None:
    def failing() -> Steps[None]:
        yield from ()
        raise KeyError("inside")

    def verb() -> Steps[str]:
        task = yield Spawn(failing())
        try:
            yield Join(task)
        except KeyError as error:
            return str(error)
        return "nothing"

    assert run(verb(), Store().send, QUICK) == "'inside'"


@pytest.mark.parametrize("busy", [True, False])
def test_a_run_that_ends_waits_for_no_retry(busy: bool) -> None:
    """Not even for one that waits already: it tries once more, and gives up."""
    asked = Event()

    def judge(ids: list[int]) -> Any:
        asked.set()
        if busy:
            return [Rejected(id=id, reason="busy (429)", retryable=True) for id in ids]
        return Unavailable("gone (503)", retry_after_s=120.0)

    store = Store(judge)
    sender = store.sender(SLOW)

    def verb() -> Steps[None]:
        yield from sender.put([Item(1), Item(2)])
        yield Compute(asked.wait)
        time.sleep(0.2)  # until it waits
        sender.hurry()
        yield from sender.drain_after_failure()

    began = time.monotonic()
    run(verb(), store.send, SLOW)
    assert time.monotonic() - began < 5.0
    assert store.requests == [[1, 2], [1, 2]]
    assert store.reasons == ({1: "busy (429)", 2: "busy (429)"} if busy else {})


def test_a_last_try_may_succeed() -> None:
    tries = iter([Unavailable("gone (503)", retry_after_s=120.0), None])
    store = Store(lambda ids: next(tries))
    sender = store.sender(SLOW)

    def verb() -> Steps[None]:
        yield from sender.put([Item(1)])
        time.sleep(0.2)
        sender.hurry()
        yield from sender.drain_after_failure()

    run(verb(), store.send, SLOW)
    assert [id for id, _ in store.settled] == [1]
