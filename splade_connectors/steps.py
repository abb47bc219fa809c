"""One code base for sync and async: verbs are generators that yield steps, drivers execute them.

A verb (`search`, `index`, …) is written once, as a generator. Whatever would touch the network or
the clock it yields as a step and receives the outcome; `run` executes the steps blocking, `arun`
awaits them. So compiling a request and parsing its answer stay pure, and senders only send.
"""

from __future__ import annotations

import asyncio
import logging
import signal
import threading
import time
from collections.abc import Awaitable, Callable, Generator, Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from tenacity import (
    AsyncRetrying,
    RetryCallState,
    Retrying,
    retry_if_exception_type,
    stop_after_attempt,
    stop_before_delay,
    wait_random_exponential,
)

from splade_connectors.errors import Unavailable
from splade_connectors.options import RetryOptions

log = logging.getLogger(__name__)
T = TypeVar("T")


class Request:
    """A request to the store; adapters derive their own. All are idempotent, so all are retried."""

    __slots__ = ()


@dataclass(slots=True)
class Compute:
    """Work for the CPU, done in a thread by the async driver so that its event loop stays free."""

    work: Callable[[], Any]


@dataclass(frozen=True, slots=True)
class Sleep:
    """A pause in seconds."""

    seconds: float


@dataclass(frozen=True, slots=True)
class Spawn:
    """Steps to be executed beside the verb; the answer is a task to `Join`.

    Attributes:
        steps: what is to be done.
        retry: when its requests are sent again; None is as the verb's own.
    """

    steps: Steps[Any]
    retry: RetryOptions | None = None


@dataclass(frozen=True, slots=True)
class Join:
    """Waits for a task. The answer is what its steps returned; what they raised is raised."""

    task: Any


Step = Request | Compute | Sleep | Spawn | Join
Steps = Generator[Step, Any, T]
Send = Callable[[Any], Any]
AsyncSend = Callable[[Any], Awaitable[Any]]


def run(
    steps: Steps[T],
    send: Send,
    retry: RetryOptions,
    sleep: Callable[[float], None] = time.sleep,
    *,
    guarded: bool = False,
) -> T:
    """Execute a verb, blocking.

    Args:
        steps: the verb.
        send: executes one request and returns its answer.
        retry: when a request is sent again.
        sleep: replaced by tests.
        guarded: Ctrl-C stops the verb in a step that takes time, or after one, but never amid its
            own bookkeeping: what it has spawned, it knows of.

    Returns:
        What the verb returns.
    """

    def execute(step: Step) -> Any:
        match step:
            case Compute(work):
                return work()
            case Sleep(seconds):
                return sleep(seconds)
            case Spawn(beside, own):
                return _in_thread(lambda: run(beside, send, own or retry, sleep))
            case Join(task):
                return task.result()
            case _:
                return _sent(step, send, retry, sleep)

    progress = _Progress(steps, guarded)
    while not progress.finished:
        if guarded and isinstance(progress.step, Spawn):
            with _uninterrupted():
                progress.succeeded(execute(progress.step))
            continue
        try:
            outcome = execute(progress.step)
        except Exception as failure:  # handed to the verb, which may handle it
            progress.failed(failure)
        else:
            progress.succeeded(outcome)
    return progress.value


async def arun(
    steps: Steps[T],
    send: AsyncSend,
    retry: RetryOptions,
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
) -> T:
    """Execute a verb, awaiting its requests. As `run`."""

    async def execute(step: Step) -> Any:
        match step:
            case Compute(work):
                return await asyncio.to_thread(work)
            case Sleep(seconds):
                return await sleep(seconds)
            case Spawn(beside, own):
                return asyncio.create_task(arun(beside, send, own or retry, sleep))
            case Join(task):
                return await task
            case _:
                return await _asent(step, send, retry, sleep)

    progress = _Progress(steps)
    while not progress.finished:
        try:
            outcome = await execute(progress.step)
        except Exception as failure:  # handed to the verb, which may handle it
            progress.failed(failure)
        else:
            progress.succeeded(outcome)
    return progress.value


@contextmanager
def _uninterrupted() -> Iterator[None]:
    """Ctrl-C is noted, and heard at the end. Handlers of the program's own are left alone."""
    in_main = threading.current_thread() is threading.main_thread()
    if not in_main or signal.getsignal(signal.SIGINT) is not signal.default_int_handler:
        yield
        return
    heard: list[int] = []
    signal.signal(signal.SIGINT, lambda number, frame: heard.append(number))
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, signal.default_int_handler)
        if heard:
            raise KeyboardInterrupt


def _in_thread(work: Callable[[], T]) -> Future[T]:
    """What a thread of its own is computing.

    A daemon, unlike the threads of an executor: who stops the program a second time does not wait
    for the answer to a request.
    """
    future: Future[T] = Future()

    def compute() -> None:
        try:
            future.set_result(work())
        except BaseException as error:  # raised where the task is joined
            future.set_exception(error)

    threading.Thread(target=compute, daemon=True, name="splade-connectors").start()
    return future


class _Progress(Generic[T]):
    """Where a verb stands: at a step that waits to be executed, or finished with a value.

    Args:
        steps: the verb.
        guarded: hold back Ctrl-C while the verb itself runs.
    """

    def __init__(self, steps: Steps[T], guarded: bool = False) -> None:
        self._steps = steps
        self._guarded = guarded
        self.finished = False
        self._advance(steps.send, None)

    @property
    def value(self) -> T:
        return self._value

    def succeeded(self, outcome: Any) -> None:
        self._advance(self._steps.send, outcome)

    def failed(self, error: Exception) -> None:
        self._advance(self._steps.throw, error)

    def _advance(self, resume: Callable[[Any], Step], sent: Any) -> None:
        if not self._guarded:
            self._resume(resume, sent)
            return
        with _uninterrupted():
            self._resume(resume, sent)

    def _resume(self, resume: Callable[[Any], Step], sent: Any) -> None:
        try:
            self.step = resume(sent)
        except StopIteration as stop:
            self._value: T = stop.value
            self.finished = True


def backoff_s(attempt: int, retry: RetryOptions) -> float:
    """Seconds to wait before try number `attempt` + 1 (attempt counts from 1), with full jitter."""
    state = RetryCallState(retry_object=None, fn=None, args=(), kwargs={})  # type: ignore[arg-type]
    state.attempt_number = attempt
    return _exponential(retry)(state)


def _sent(step: Any, send: Send, retry: RetryOptions, sleep: Callable[[float], None]) -> Any:
    """The answer to a request, sent again as often as it takes.

    Most requests succeed at once: what counts and times the tries is made when one has failed.
    """
    began = time.monotonic()
    try:
        return send(step)
    except Unavailable as error:
        failed = [error]

    def again() -> Any:
        if failed:
            raise failed.pop()
        return send(step)

    return Retrying(sleep=sleep, **_policy(retry, began))(again)


async def _asent(
    step: Any, send: AsyncSend, retry: RetryOptions, sleep: Callable[[float], Awaitable[None]]
) -> Any:
    """As `_sent`."""
    began = time.monotonic()
    try:
        return await send(step)
    except Unavailable as error:
        failed = [error]

    async def again() -> Any:
        if failed:
            raise failed.pop()
        return await send(step)

    return await AsyncRetrying(sleep=sleep, **_policy(retry, began))(again)


def _policy(retry: RetryOptions, began: float) -> dict[str, Any]:
    """The policy for a request whose first try began at this time, and is counted as the first."""
    exponential = _exponential(retry)
    left_s = max(0.0, retry.total_s - (time.monotonic() - began))

    def wait(state: RetryCallState) -> float:
        error = state.outcome.exception() if state.outcome else None
        asked = error.retry_after_s if isinstance(error, Unavailable) else None
        return exponential(state) if asked is None else asked

    def warn(state: RetryCallState) -> None:
        error = state.outcome.exception() if state.outcome else None
        pause = state.next_action.sleep if state.next_action else 0.0
        log.warning("try %d failed (%s); again in %.1f s", state.attempt_number, error, pause)

    return {
        "retry": retry_if_exception_type(Unavailable),
        "stop": stop_after_attempt(retry.attempts) | stop_before_delay(left_s),
        "wait": wait,
        "before_sleep": warn,
        "reraise": True,
    }


def _exponential(retry: RetryOptions) -> wait_random_exponential:
    return wait_random_exponential(multiplier=retry.initial_wait_s, max=retry.max_wait_s)
