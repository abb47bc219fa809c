"""Sending items in concurrent chunks, retrying failed items, and settling every item in order."""

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
# A response this many times slower than the fastest one, and slower than this many seconds, counts
# as an overloaded server.
_SLOW_TIMES = 5.0
_SLOW_S = 2.0


class Sendable(Protocol):
    """An item to send, which has an id."""

    @property
    def id(self) -> DocumentId:
        """Document id."""


Item = TypeVar("Item", bound=Sendable)


class RunReport(Protocol):
    """The part of a report that every writing run has."""

    interrupted: bool


R = TypeVar("R", bound=RunReport)


class Interruptible(ABC, Generic[R]):
    """A writing run that can be stopped early and still reports."""

    report: R
    _sender: Sender[Any]
    _stopping = False

    def interrupt(self) -> Steps[R]:
        """Wait for requests in flight, and return the report of the interrupted run."""
        self._stopping = True
        self._tell()
        self._sender.hurry()
        yield from self.settle_rest()
        return self.stopped()

    def settle_rest(self) -> Steps[None]:
        """After a failure, wait until requests in flight succeed or fail."""
        yield from self._sender.drain_after_failure()

    def stopped(self) -> R:
        """Stop immediately without waiting, and return the report."""
        self._sender.abandon()
        self.report.interrupted = True
        return self._closed()

    @abstractmethod
    def _closed(self) -> R:
        """Complete and return the report."""

    @abstractmethod
    def _tell(self) -> None:
        """Report progress."""


@dataclass(kw_only=True, slots=True)
class _Delivery(Generic[Item]):
    """A chunk in flight and its outcomes."""

    chunk: list[Item]
    outcomes: dict[DocumentId, Any] = field(default_factory=dict)
    retries: int = 0
    slowest_s: float = 0.0
    refused_bytes: int | None = None


class Concurrency:
    """The number of concurrent requests: one more per round of successes, halved on overload.

    (Additive increase, multiplicative decrease, as in TCP: Chiu and Jain, 1989.)

    Args:
        most: upper bound.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._allowed = float(min(2, most))
        self._fastest_s = float("inf")

    @property
    def allowed(self) -> int:
        """Number of requests allowed in flight, at least 1."""
        return int(self._allowed)

    def answered(self, seconds: float, *, throttled: bool) -> None:
        """Adapt to a response: its duration, and whether it said "too many requests"."""
        self._fastest_s = min(self._fastest_s, seconds)
        slow = seconds > max(_SLOW_S, _SLOW_TIMES * self._fastest_s)
        if throttled or slow:
            self._allowed = max(1.0, self._allowed / 2)
        else:
            self._allowed = min(float(self._most), self._allowed + 1 / self._allowed)


class Patience:
    """The retry budget for consecutive failures, restored by a success."""

    def __init__(self, retry: RetryOptions) -> None:
        self._retry = retry
        self.restore()

    def restore(self) -> None:
        """Restore the full budget."""
        self._attempt = 0
        self._began = time.monotonic()

    def pause_s(self, asked_s: float | None = None) -> float | None:
        """Return the seconds to wait before the next attempt; None if the budget is exhausted.

        Args:
            asked_s: seconds that the server asked to wait.
        """
        self._attempt += 1
        if self._attempt >= self._retry.attempts:
            return None
        # Repeated "Retry-After: 0" would otherwise cause a busy loop.
        pause = max(backoff_s(self._attempt, self._retry), asked_s or 0.0)
        spent = time.monotonic() - self._began
        return pause if spent + pause <= self._retry.total_s else None


class Sender(Generic[Item]):
    """Sends items in chunks, and reports the outcome of each in order.

    Args:
        write: sends one request and returns an outcome per item, in any order. Raises
            `RequestRejected` if the store rejects all of them, possibly because of a single one.
        size: approximate size of an item in bytes.
        settle: called with each item's outcome, exactly once.
        options: chunk sizes and concurrency.
        retry: retry budget while the server is unavailable.
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
        """Number of items sent but not settled."""
        return sum(len(delivery.chunk) for delivery, _ in self._under_way)

    def put(
        self,
        items: Sequence[Item],
        max_items: int | None = None,
        max_bytes: int | None = None,
    ) -> Steps[None]:
        """Send items; returns once the last chunk is in flight.

        Args:
            items: items, in the order in which to settle them.
            max_items: the store's maximum number of items per chunk, if it has one.
            max_bytes: the store's maximum size of a chunk in bytes, if it has one.
        """
        yield from self._collect_arrived()
        most = min(max_items or self._options.chunk_documents, self._options.chunk_documents)
        largest = min(max_bytes or self._max_bytes, self._max_bytes)
        for chunk in chunks(items, max_items=most, max_bytes=largest, size=self._size):
            while len(self._under_way) >= self._concurrency.allowed:
                yield from self._collect()
            delivery = _Delivery(chunk=chunk)
            # The driver must not retry it: only this module knows which items failed.
            task = yield Spawn(self._deliver(delivery), NO_RETRY)
            self._under_way.append((delivery, task))

    def drain(self) -> Steps[None]:
        """Wait for everything in flight."""
        while self._under_way:
            yield from self._collect()

    def drain_after_failure(self) -> Steps[None]:
        """As `drain`, but leave further failures unsettled."""
        while self._under_way:
            with suppress(Exception):  # only the first failure is raised
                yield from self._collect()

    def hurry(self) -> None:
        """Stop waiting before retries: pending ones are attempted once more, immediately.

        A stopped run has only seconds (ten with `docker stop`), but a backoff may take minutes.
        """
        self._hurried.set()

    def abandon(self) -> None:
        """Stop waiting; requests of an async store are cancelled."""
        while self._under_way:
            _, task = self._under_way.popleft()
            task.cancel()

    def _collect_arrived(self) -> Steps[None]:
        """Settle chunks that are already done, without waiting."""
        while self._under_way and self._under_way[0][1].done():
            yield from self._collect()

    def _collect(self) -> Steps[None]:
        """Wait for the oldest chunk in flight, and settle its items."""
        delivery, task = self._under_way[0]
        failure: Exception | None = None
        try:
            yield Join(task)
        except Exception as error:
            failure = error
        # Not in a `finally`: after an interrupt, the chunk must still be drained.
        self._under_way.popleft()
        self._learn(delivery)
        # Some items of a failed chunk may have been written before the failure.
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
        """Send a chunk until every item has an outcome, retrying only failed items."""
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
        """Split a rejected part in half; a single item is itself the culprit."""
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
        """Record final outcomes, and return the items to retry."""
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
