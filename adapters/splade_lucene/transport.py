"""What every client's connections are held to: whole answers in time, of bounded size, no detours.

The clients' own time limits start again with every byte that a blocking one receives, so a server
that sends a byte a second is never late; they read whatever is sent, into memory; and the awaiting
ones follow redirects, to any host, with the documents in the body.
"""

from __future__ import annotations

import http.client
import io
import time
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from inspect import isawaitable
from typing import Any

# Larger than any answer that this package asks for: a page of documents with their texts.
MOST_BYTES = 1 << 29


class AnswerRefused(Exception):
    """An answer was not read to its end, because of what it is."""


class BoundedResponse(http.client.HTTPResponse):
    """An answer of which the last byte comes as long after the request as the first one may.

    Raises:
        TimeoutError: while it is read, when it does not.
        AnswerRefused: when it is too large; or compressed, which nobody has asked for, and which
            urllib3 unpacks at once, to whatever size.
    """

    most_bytes = MOST_BYTES

    def __init__(self, sock: Any, *args: Any, **named: Any) -> None:
        super().__init__(sock, *args, **named)
        self.fp: Any = io.BufferedReader(_Bounded(self.fp.detach(), sock, self.most_bytes))

    def begin(self) -> None:
        """Read status and headers."""
        super().begin()
        check_encoding(self.headers.get("content-encoding"))


class _Bounded(io.RawIOBase):
    """What comes through a socket.

    Args:
        raw: reads from it.
        sock: has the time limit.
        most_bytes: of the answer, headers included.
    """

    def __init__(self, raw: Any, sock: Any, most_bytes: int) -> None:
        self._raw = raw
        self._sock = sock
        self._left_bytes = most_bytes
        limit_s = sock.gettimeout()
        self._ends = None if limit_s is None else time.monotonic() + limit_s

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        if self._ends is not None:
            left_s = self._ends - time.monotonic()
            if left_s <= 0:
                raise TimeoutError("the answer did not end in time")
            self._sock.settimeout(left_s)
        count: int = self._raw.readinto(buffer)
        self._left_bytes -= count
        check_size(self._left_bytes)
        return count

    def close(self) -> None:
        self._raw.close()
        super().close()


class PlainSession:
    """Stands for an aiohttp session: follows no redirects, and reads bounded answers.

    Args:
        session: of the client; its own time limit is one for the whole answer.
    """

    def __init__(self, session: Any) -> None:
        self._session = session

    @asynccontextmanager
    async def request(self, method: str, url: Any, **named: Any) -> AsyncIterator[_Answer]:
        """As `aiohttp.ClientSession.request`."""
        named["allow_redirects"] = False
        async with self._session.request(method, _as_it_is(url), **named) as response:
            yield _Answer(response, await _read(response))

    async def close(self) -> None:
        """Close the session."""
        await self._session.close()


class _Answer:
    """What the clients read of a response."""

    def __init__(self, response: Any, content: bytes) -> None:
        self.status = response.status
        self.headers = response.headers
        self._content = content

    async def read(self) -> bytes:
        """All of it."""
        return self._content

    async def text(self) -> str:
        """All of it, as opensearch-py reads it."""
        return self._content.decode("utf-8", "surrogatepass")

    async def release(self) -> None:
        """It has been read."""


def bound_blocking(connections: Iterable[Any]) -> None:
    """Hold what urllib3 pools receive to `BoundedResponse`.

    Args:
        connections: of a client: its nodes.
    """
    for connection in connections:
        pool = getattr(connection, "pool", None)
        if pool is not None and hasattr(pool, "ConnectionCls"):
            given = pool.ConnectionCls
            kind = type(given.__name__, (given,), {"response_class": BoundedResponse})
            pool.ConnectionCls = kind


def stay_here(connections: Iterable[Any]) -> None:
    """Let connections of the library requests follow no redirects."""
    for connection in connections:
        session: Any = getattr(connection, "session", None)
        if hasattr(session, "max_redirects"):
            session.max_redirects = 0


async def bound_awaiting(connections: Iterable[Any]) -> None:
    """Let connections of aiohttp follow no redirects, and read bounded answers.

    Those of a user's client, too: no documents of this package go to a host that nobody named.
    """
    for connection in connections:
        if not hasattr(connection, "_create_aiohttp_session"):
            continue
        if connection.session is None:
            made = connection._create_aiohttp_session()
            if isawaitable(made):
                await made
        if not isinstance(connection.session, PlainSession):
            connection.session = PlainSession(connection.session)


def check_encoding(encoding: str | None) -> None:
    """Refuse a compressed answer.

    Raises:
        AnswerRefused: for any encoding.
    """
    if encoding and encoding.lower() != "identity":
        raise AnswerRefused("a compressed answer, which was not asked for")


def check_size(left_bytes: int) -> None:
    """Refuse an answer that is too large.

    Raises:
        AnswerRefused: when nothing is left of what it may have.
    """
    if left_bytes < 0:
        raise AnswerRefused(f"more than {BoundedResponse.most_bytes:,} bytes to one request")


def refused_answer(error: BaseException | None) -> AnswerRefused | None:
    """The reason for a client's error, where it is this one."""
    seen: list[BaseException] = []
    while error is not None and error not in seen:
        if isinstance(error, AnswerRefused):
            return error
        seen.append(error)
        error = error.__cause__ or error.__context__
    return None


def _as_it_is(url: Any) -> Any:
    """Without taking "." and ".." for steps on a path: they may be ids."""
    from yarl import URL  # comes with aiohttp

    return URL(url, encoded=True) if isinstance(url, str) else url


async def _read(response: Any) -> bytes:
    parts, left = [], BoundedResponse.most_bytes
    async for part in response.content.iter_any():
        left -= len(part)
        check_size(left)
        parts.append(part)
    return b"".join(parts)
