"""One code base for sync and async: verbs are generators that yield steps, drivers execute them.

A verb (`search`, `index`, …) is written once, as a generator. Whatever would touch the network or
the clock it yields as a step and receives the outcome; `run` executes the steps blocking, `arun`
awaits them. So compiling a request and parsing its answer stay pure, and senders only send.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Generator
from dataclasses import dataclass
from typing import Any, TypeVar

from splade_connectors.options import RetryOptions

T = TypeVar("T")


class Request:
    """A request to the store; adapters derive their own. All are idempotent, so all are retried."""

    __slots__ = ()

    @property
    def purpose(self) -> str:
        """What it is for, in a few words: whoever counts requests lists these."""
        return type(self).__name__

    @property
    def has_documents(self) -> bool:
        """Whether documents, or parts of them, are sent: no error may quote the body."""
        return False


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
