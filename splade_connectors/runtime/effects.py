"""One code base for sync and async: verbs are generators that yield steps, drivers execute them.

A verb (`search`, `index`, …) is written once, as a generator. It yields everything that touches the
network or the clock as a step and receives the outcome; `run` executes the steps blocking, `arun`
awaits them. So compiling a request and parsing its response stay pure, and senders only send.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Generator, Iterable
from dataclasses import dataclass
from threading import Event
from typing import Any, TypeVar

from splade_connectors.options import RetryOptions

T = TypeVar("T")


class Request:
    """A request to the store; adapters subclass it. All are idempotent, so all are retried."""

    __slots__ = ()

    @property
    def purpose(self) -> str:
        """The purpose in a few words, for counting requests by purpose."""
        return type(self).__name__

    @property
    def has_documents(self) -> bool:
        """Whether the body holds parts of documents, so that no error may quote it."""
        return False


@dataclass(slots=True)
class Compute:
    """CPU work, which the async driver runs in a thread to keep its event loop free."""

    work: Callable[[], Any]


@dataclass(frozen=True, slots=True)
class Sleep:
    """A pause.

    Attributes:
        seconds: its length.
        woken: ends it early when set.
    """

    seconds: float
    woken: Event | None = None


@dataclass(frozen=True, slots=True)
class Spawn:
    """Steps to execute concurrently with the verb; the outcome is a task to `Join`.

    Attributes:
        steps: the steps.
        retry: their retry budget; None takes the verb's.
    """

    steps: Steps[Any]
    retry: RetryOptions | None = None


@dataclass(frozen=True, slots=True)
class Join:
    """Wait for a task; the outcome is what its steps returned or raised."""

    task: Any


Step = Request | Compute | Sleep | Spawn | Join
Steps = Generator[Step, Any, T]
Send = Callable[[Any], Any]
AsyncSend = Callable[[Any], Awaitable[Any]]


def concurrently(several: Iterable[Steps[T]]) -> Steps[list[T]]:
    """Execute several sequences of steps at the same time; return what each returned.

    Raises:
        Exception: the first failure, once all have ended.
    """
    tasks = []
    returned: list[T] = []
    failures: list[Exception] = []
    try:
        for steps in several:
            tasks.append((yield Spawn(steps)))
        for task in tasks:
            try:
                returned.append((yield Join(task)))
            except Exception as failure:
                failures.append(failure)
    except GeneratorExit:  # the verb was cancelled, and with it only the task that it waited for
        for task in tasks:
            task.cancel()
        raise
    if failures:
        raise failures[0]
    return returned
