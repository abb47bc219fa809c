"""Faults as values, and rules that say which requests they hit."""

from __future__ import annotations

import random
import re
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

# What nginx says, word for word: a client must cope with HTML in place of JSON.
PAGE = (
    "<html>\r\n<head><title>{status} {reason}</title></head>\r\n<body>\r\n<center><h1>{status} "
    "{reason}</h1></center>\r\n<hr><center>nginx</center>\r\n</body>\r\n</html>\r\n"
)
REJECTED = "es_rejected_execution_exception"


@dataclass(frozen=True)
class Fault:
    """What happens to one exchange instead of its usual course."""


@dataclass(frozen=True)
class ResetBefore(Fault):
    """The connection is reset; the server never hears of the request."""


@dataclass(frozen=True)
class ResetAfter(Fault):
    """The server acts, and the connection is reset in place of its answer."""


@dataclass(frozen=True)
class CutInHalf(Fault):
    """The server acts; of its answer comes one half, and the connection is closed."""


@dataclass(frozen=True)
class Delay(Fault):
    """The request reaches the server so much later."""

    seconds: float


@dataclass(frozen=True)
class Status(Fault):
    """The proxy answers itself.

    Attributes:
        code: HTTP status.
        retry_after_s: seconds to ask for; None for no such header.
        as_date: ask with a date instead. Dates have whole seconds, so it is rounded up.
        body: of the answer; nginx' page by default.
    """

    code: int
    retry_after_s: float | None = None
    as_date: bool = False
    body: str | None = None


@dataclass(frozen=True)
class TooLarge(Fault):
    """Requests with more bytes than this are answered 413, others take their usual course."""

    limit_bytes: int


@dataclass(frozen=True)
class ItemFailures(Fault):
    """A share of the actions of a bulk request fails with 429 inside an answer of 200.

    These never reach the server. On requests that are none, this does nothing.
    """

    share: float


@dataclass(frozen=True)
class Asked:
    """A request as it reached the proxy."""

    method: str
    path: str
    body: bytes


Only = Callable[[Asked], bool]

_WRITES = re.compile(r"/(_bulk|_update/.*|_doc/.*|points(/vectors|/payload|/batch)?)(\?.*)?$")


def everything(asked: Asked) -> bool:
    """Whether a request may be hit: all may."""
    return True


def writes(asked: Asked) -> bool:
    """Whether it writes documents; Qdrant reads points with POST to the path of PUT."""
    found = _WRITES.search(asked.path)
    if not found:
        return False
    retrieves = found[1] == "points" and asked.method == "POST"
    return asked.method in ("PUT", "POST") and not retrieves


def is_bulk(asked: Asked) -> bool:
    """Whether it is a bulk request of Elasticsearch."""
    return asked.path.partition("?")[0].endswith("/_bulk")


def containing(part: bytes) -> Only:
    """Writes whose body has this part."""
    return lambda asked: writes(asked) and part in asked.body


class Rule(Protocol):
    """Decides about each request, in the order in which they come; one at a time."""

    def decide(self, asked: Asked) -> Fault | None:
        """The fault for this request, None for none."""


class Always:
    """Every request that `only` lets through."""

    def __init__(self, fault: Fault, only: Only = everything) -> None:
        self._fault = fault
        self._only = only

    def decide(self, asked: Asked) -> Fault | None:
        return self._fault if self._only(asked) else None


class Script:
    """One fault after the other; None spares a request. Then no more."""

    def __init__(self, faults: Sequence[Fault | None], only: Only = everything) -> None:
        self._faults = list(reversed(faults))
        self._only = only

    def decide(self, asked: Asked) -> Fault | None:
        return self._faults.pop() if self._faults and self._only(asked) else None


class Randomly:
    """A share of the requests, each hit by one of the faults.

    The n-th request is hit or spared by the seed alone, so that a test hits as many every time.
    """

    def __init__(
        self, faults: Sequence[Fault], share: float, seed: int, only: Only = everything
    ) -> None:
        self._faults = faults
        self._share = share
        self._random = random.Random(seed)
        self._only = only

    def decide(self, asked: Asked) -> Fault | None:
        if not self._only(asked):
            return None
        hit, fault = (
            self._random.random() < self._share,
            self._random.choice(self._faults),
        )
        return fault if hit else None


class Burst:
    """All requests in a window of time, which opens with the first one after `spared`."""

    def __init__(
        self, fault: Fault, seconds: float, *, spared: int = 0, only: Only = everything
    ) -> None:
        self._fault = fault
        self._seconds = seconds
        self._spared = spared
        self._only = only
        self._ends: float | None = None

    def decide(self, asked: Asked) -> Fault | None:
        if not self._only(asked):
            return None
        if self._spared > 0:
            self._spared -= 1
            return None
        now = time.monotonic()
        if self._ends is None:
            self._ends = now + self._seconds
        return self._fault if now < self._ends else None
