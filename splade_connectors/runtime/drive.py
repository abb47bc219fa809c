"""Execute the steps of a verb: `run` blocks, `arun` awaits."""

from __future__ import annotations

import threading
import time
from collections.abc import Awaitable, Callable
from concurrent.futures import Future
from typing import Any, Generic

from splade_connectors.options import RetryOptions
from splade_connectors.runtime import signals
from splade_connectors.runtime.effects import (
    AsyncSend,
    Compute,
    Join,
    Send,
    Sleep,
    Spawn,
    Step,
    Steps,
    T,
)
from splade_connectors.runtime.retry import asent, sent


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
        send: executes one request and returns the response.
        retry: the retry budget of a request.
        sleep: replaced by tests.
        guarded: whether a signal stops the verb only during or after a step that takes time, never
            within its own bookkeeping, so that it knows of every task it spawned.

    Returns:
        The return value of the verb.
    """

    def execute(step: Step) -> Any:
        match step:
            case Compute(work):
                return work()
            case Sleep(seconds, woken):
                # A test's sleep takes no time, so that nothing has to end it.
                early = woken is not None and sleep is time.sleep
                return woken.wait(seconds) if woken and early else sleep(seconds)
            case Spawn(beside, own):
                return _in_thread(lambda: run(beside, send, own or retry, sleep))
            case Join(task):
                return task.result()
            case _:
                return sent(step, send, retry, sleep)

    with signals.held() if guarded else signals.heard():
        progress = _Progress(steps)
        while not progress.finished:
            if guarded and isinstance(progress.step, Spawn):
                progress.succeeded(execute(progress.step))
                continue
            try:
                with signals.heard():
                    outcome = execute(progress.step)
            except Exception as failure:  # thrown into the verb, which may handle it
                progress.failed(failure)
            else:
                progress.succeeded(outcome)
        return progress.value


async def arun(
    steps: Steps[T],
    send: AsyncSend,
    retry: RetryOptions,
    sleep: Callable[[float], Awaitable[None]] | None = None,
) -> T:
    """Execute a verb, awaiting its requests; otherwise as `run`."""
    # Imported here: blocking programs do not need it.
    import asyncio

    pause = sleep or asyncio.sleep

    async def execute(step: Step) -> Any:
        match step:
            case Compute(work):
                return await asyncio.to_thread(work)
            case Sleep(seconds):
                return await pause(seconds)
            case Spawn(beside, own):
                return asyncio.create_task(arun(beside, send, own or retry, sleep))
            case Join(task):
                return await task
            case _:
                return await asent(step, send, retry, pause)

    progress = _Progress(steps)
    try:
        while not progress.finished:
            try:
                outcome = await execute(progress.step)
            except Exception as failure:  # thrown into the verb, which may handle it
                progress.failed(failure)
            else:
                progress.succeeded(outcome)
    finally:
        steps.close()  # at once if cancelled, so that the verb ends its tasks
    return progress.value


def _in_thread(work: Callable[[], T]) -> Future[T]:
    """Run work in a separate thread.

    A daemon, unlike an executor's threads: a second Ctrl-C ends the program without waiting for the
    response to a request.
    """
    future: Future[T] = Future()
    future.set_running_or_notify_cancel()  # a thread cannot be cancelled

    def compute() -> None:
        try:
            future.set_result(work())
        except BaseException as error:  # raised when the task is joined
            future.set_exception(error)

    threading.Thread(target=compute, daemon=True, name="splade-connectors").start()
    return future


class _Progress(Generic[T]):
    """The state of a verb: at a step waiting to be executed, or finished with a value.

    Args:
        steps: the verb.
    """

    def __init__(self, steps: Steps[T]) -> None:
        self._steps = steps
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
        try:
            self.step = resume(sent)
        except StopIteration as stop:
            self._value: T = stop.value
            self.finished = True
