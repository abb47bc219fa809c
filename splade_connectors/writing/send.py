"""Sending in chunks: several at once, failed items again, every item accounted for in its order."""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from threading import Event
from typing import Any, Generic, Protocol, TypeVar

from splade_connectors.documents import DocumentId, Rejected
from splade_connectors.errors import RequestRejected, Unavailable
from splade_connectors.options import NO_RETRY, RetryOptions, WriteOptions
from splade_connectors.runtime.effects import Join, Sleep, Spawn, Steps
from splade_connectors.runtime.retry import backoff_s
from splade_connectors.writing.chunks import chunks

_TOO_LARGE = 413
# An answer this many times slower than the fastest one counts as a server that is too busy, if it
# is slower than this many seconds, too.
_SLOW_TIMES = 5.0
_SLOW_S = 2.0


class Sendable(Protocol):
    """What is sent: something with an id."""

    @property
    def id(self) -> DocumentId:
        """The document's id."""


Item = TypeVar("Item", bound=Sendable)


class RunReport(Protocol):
    """What every run that writes reports of its end."""

    interrupted: bool


R = TypeVar("R", bound=RunReport)


class Interruptible(ABC, Generic[R]):
    """A run that writes, and that can be ended before its end, with its report."""

    report: R
    _sender: Sender[Any]
    _stopping = False

    def interrupt(self) -> Steps[R]:
        """What is under way arrives; then the report of a run that ends before its end."""
        self._stopping = True
        self._tell()
        self._sender.hurry()
        yield from self.settle_rest()
        return self.stopped()

    def settle_rest(self) -> Steps[None]:
        """After a failure: what is under way arrives, or fails as well."""
        yield from self._sender.drain_after_failure()

    def stopped(self) -> R:
        """The report of a run that ends at once: nothing is waited for."""
        self._sender.abandon()
        self.report.interrupted = True
        return self._closed()

    @abstractmethod
    def _closed(self) -> R:
        """The report, with what is known at the end only."""

    @abstractmethod
    def _tell(self) -> None:
        """Report how far the run has come."""


@dataclass(kw_only=True, slots=True)
class _Delivery(Generic[Item]):
    """A chunk on its way, and what became of it."""

    chunk: list[Item]
    outcomes: dict[DocumentId, Any] = field(default_factory=dict)
    retries: int = 0
    slowest_s: float = 0.0
    refused_bytes: int | None = None


class Concurrency:
    """How many requests at once: one more after a round of good answers, half of them after a bad.

    (Additive increase, multiplicative decrease, as TCP does it: Chiu and Jain, 1989.)

    Args:
        most: upper bound.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._allowed = float(min(2, most))
        self._fastest_s = float("inf")

    @property
    def allowed(self) -> int:
        """Requests that may be under way, at least 1."""
        return int(self._allowed)

    def answered(self, seconds: float, *, throttled: bool) -> None:
        """Learn from an answer: how long it took, and whether it said "too many requests"."""
        self._fastest_s = min(self._fastest_s, seconds)
        slow = seconds > max(_SLOW_S, _SLOW_TIMES * self._fastest_s)
        if throttled or slow:
            self._allowed = max(1.0, self._allowed / 2)
        else:
            self._allowed = min(float(self._most), self._allowed + 1 / self._allowed)


class Patience:
    """How long failures in a row are borne. A success gives it all back."""

    def __init__(self, retry: RetryOptions) -> None:
        self._retry = retry
        self.restore()

    def restore(self) -> None:
        """Start over."""
        self._attempt = 0
        self._began = time.monotonic()

    def pause_s(self, asked_s: float | None = None) -> float | None:
        """Seconds to wait before the next try, None when there is to be none.

        Args:
            asked_s: what the server asked for.
        """
        self._attempt += 1
        if self._attempt >= self._retry.attempts:
            return None
        # "Retry-After: 0" forever would make a busy loop of it.
        pause = max(backoff_s(self._attempt, self._retry), asked_s or 0.0)
        spent = time.monotonic() - self._began
        return pause if spent + pause <= self._retry.total_s else None


class Sender(Generic[Item]):
    """Sends items in chunks and hands on the outcome of each, in the order in which they came.

    Args:
        write: one request for these items; an outcome for each, in any order. Raises
            `RequestRejected` when the store refuses all of them for what may be one's fault.
        size: about how many bytes an item takes.
        settle: is told what became of an item, exactly once.
        options: sizes of chunks, and how many are sent at once.
        retry: how long a server that is not available is waited for.
    """

    def __init__(
        self,
        write: Callable[[Sequence[Item]], Steps[list[Any]]],
        size: Callable[[Item], int],
        settle: Callable[[Item, Any], None],
        options: WriteOptions,
        retry: RetryOptions,
    ) -> None:
        self.retries = 0
        self._write = write
        self._size = size
        self._settle = settle
        self._options = options
        self._retry = retry
        self._max_bytes = options.max_chunk_bytes
        self._concurrency = Concurrency(options.max_in_flight)
        self._under_way: deque[tuple[_Delivery[Item], Any]] = deque()
        self._hurried = Event()

    @property
    def in_flight(self) -> int:
        """Items that have been sent and not been settled."""
        return sum(len(delivery.chunk) for delivery, _ in self._under_way)

    def put(
        self,
        items: Sequence[Item],
        max_items: int | None = None,
        max_bytes: int | None = None,
    ) -> Steps[None]:
        """Send these items; returns when the last chunk is on its way.

        Args:
            items: in the order in which they are to be settled.
            max_items: most in a chunk, where the store says so.
            max_bytes: most bytes of a chunk, likewise.
        """
        yield from self._collect_arrived()
        most = min(max_items or self._options.chunk_documents, self._options.chunk_documents)
        largest = min(max_bytes or self._max_bytes, self._max_bytes)
        for chunk in chunks(items, max_items=most, max_bytes=largest, size=self._size):
            while len(self._under_way) >= self._concurrency.allowed:
                yield from self._collect()
            delivery = _Delivery(chunk=chunk)
            # Its failures are not the driver's: this module knows which items to send again.
            task = yield Spawn(self._deliver(delivery), NO_RETRY)
            self._under_way.append((delivery, task))

    def drain(self) -> Steps[None]:
        """Wait for all that is under way."""
        while self._under_way:
            yield from self._collect()

    def drain_after_failure(self) -> Steps[None]:
        """As `drain`; what fails as well is left unsettled."""
        while self._under_way:
            with suppress(Exception):  # the first failure is the one that is told
                yield from self._collect()

    def hurry(self) -> None:
        """From now on no retry is waited for: those that wait try once more, at once.

        Who stops a run gives it seconds (`docker stop` ten), and a backoff may take minutes.
        """
        self._hurried.set()

    def abandon(self) -> None:
        """Wait for nothing; requests of an async store are cancelled."""
        while self._under_way:
            _, task = self._under_way.popleft()
            task.cancel()

    def _collect_arrived(self) -> Steps[None]:
        """Settle what has arrived, without waiting: it is done, and may be told so."""
        while self._under_way and self._under_way[0][1].done():
            yield from self._collect()

    def _collect(self) -> Steps[None]:
        """Wait for the chunk that was sent first, and settle its items."""
        delivery, task = self._under_way[0]
        failure: Exception | None = None
        try:
            yield Join(task)
        except Exception as error:
            failure = error
        # Not in a `finally`: who interrupts the wait drains what is under way afterwards.
        self._under_way.popleft()
        self._learn(delivery)
        # Of a chunk that failed in the end, some items may have been written before.
        for item in delivery.chunk:
            if item.id in delivery.outcomes:
                self._settle(item, delivery.outcomes[item.id])
        if failure is not None:
            raise failure

    def _learn(self, delivery: _Delivery[Item]) -> None:
        self.retries += delivery.retries
        self._concurrency.answered(delivery.slowest_s, throttled=delivery.retries > 0)
        if delivery.refused_bytes is not None:
            self._max_bytes = max(1, min(self._max_bytes, delivery.refused_bytes // 2))

    def _deliver(self, delivery: _Delivery[Item]) -> Steps[None]:
        """Send a chunk until every item has an outcome; only what failed is sent again."""
        patience = Patience(self._retry)
        parts: deque[list[Item]] = deque([delivery.chunk])
        while parts:
            part = parts.popleft()
            began = time.monotonic()
            try:
                outcomes = yield from self._write(part)
            except RequestRejected as error:
                parts.extendleft(reversed(self._split(part, error, delivery)))
                continue
            except Unavailable as error:
                delivery.retries += 1
                pause = self._pause_s(patience, error.retry_after_s)
                if pause is None:
                    raise
                yield Sleep(pause, self._hurried)
                parts.appendleft(part)
                continue
            delivery.slowest_s = max(delivery.slowest_s, time.monotonic() - began)
            again = self._noted(part, outcomes, delivery)
            if len(again) < len(part):
                patience.restore()
            if not again:
                continue
            delivery.retries += 1
            pause = self._pause_s(patience)
            if pause is None:
                self._give_up(again, outcomes, delivery)
                continue
            yield Sleep(pause, self._hurried)
            parts.appendleft(again)

    def _pause_s(self, patience: Patience, asked_s: float | None = None) -> float | None:
        """As `Patience.pause_s`; None once the run is ending."""
        return None if self._hurried.is_set() else patience.pause_s(asked_s)

    def _split(
        self, part: list[Item], error: RequestRejected, delivery: _Delivery[Item]
    ) -> list[list[Item]]:
        """Halves of a refused part; one item alone is the guilty one."""
        if error.status == _TOO_LARGE:
            size = sum(map(self._size, part))
            delivery.refused_bytes = min(size, delivery.refused_bytes or size)
        if len(part) == 1:
            delivery.outcomes[part[0].id] = Rejected(
                id=part[0].id, reason=str(error), detail=error.detail
            )
            return []
        half = len(part) // 2
        return [part[:half], part[half:]]

    def _noted(
        self, part: list[Item], outcomes: Sequence[Any], delivery: _Delivery[Item]
    ) -> list[Item]:
        """Keep the outcomes that are final; the items of the others, to be sent again."""
        busy = set()
        for outcome in outcomes:
            if isinstance(outcome, Rejected) and outcome.retryable:
                busy.add(outcome.id)
            else:
                delivery.outcomes[outcome.id] = outcome
        return [item for item in part if item.id in busy]

    def _give_up(
        self, items: list[Item], outcomes: Sequence[Any], delivery: _Delivery[Item]
    ) -> None:
        last = {outcome.id: outcome for outcome in outcomes if isinstance(outcome, Rejected)}
        for item in items:
            delivery.outcomes[item.id] = replace(last[item.id], retryable=False)
