"""Limits for every client's connections: total time, response size, and no redirects.

A blocking client restarts its timeout with every byte that it receives, so a server that sends one
byte per second never times out; clients read responses of any size into memory; and async clients
follow redirects to any host, with the documents in the body.
"""

from __future__ import annotations

import http.client
import io
import time
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from inspect import isawaitable
from typing import Any

# Larger than any response that this package requests: a page of documents with their texts.
MOST_BYTES = 1 << 29


class AnswerRefused(Exception):
    """A response was not read to its end, because it is too large or compressed."""


class BoundedResponse(http.client.HTTPResponse):
    """A response whose last byte has to arrive within the time limit for the first one.

    Raises:
        TimeoutError: while reading, if it does not.
        AnswerRefused: if it is too large; or compressed, which was not requested and which urllib3
            would decompress immediately, to any size.
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
    """A bounded stream of bytes from a socket.

    Args:
        raw: reads from the socket.
        sock: the socket, which has the time limit.
        most_bytes: maximum size of the response, including headers.
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
                raise TimeoutError("the response did not end in time")
            self._sock.settimeout(left_s)
        count: int = self._raw.readinto(buffer)
        self._left_bytes -= count
        check_size(self._left_bytes)
        return count

    def close(self) -> None:
        self._raw.close()
        super().close()


class PlainSession:
    """Replaces an aiohttp session: follows no redirects, and reads bounded responses.

    Args:
        session: of the client; its own time limit already covers the whole response.
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
    """The parts of a response that the clients read."""

    def __init__(self, response: Any, content: bytes) -> None:
        self.status = response.status
        self.headers = response.headers
        self._content = content

    async def read(self) -> bytes:
        """The whole body."""
        return self._content

    async def text(self) -> str:
        """The whole body, decoded as by opensearch-py."""
        return self._content.decode("utf-8", "surrogatepass")

    async def release(self) -> None:
        """Nothing to do: it has been read."""


def bound_blocking(connections: Iterable[Any]) -> None:
    """Make urllib3 pools receive `BoundedResponse`s.

    Args:
        connections: the nodes of a client.
    """
    for connection in connections:
        pool = getattr(connection, "pool", None)
        if pool is not None and hasattr(pool, "ConnectionCls"):
            given = pool.ConnectionCls
            kind = type(given.__name__, (given,), {"response_class": BoundedResponse})
            pool.ConnectionCls = kind


def stay_here(connections: Iterable[Any]) -> None:
    """Make connections of the library requests follow no redirects."""
    for connection in connections:
        session: Any = getattr(connection, "session", None)
        if hasattr(session, "max_redirects"):
            session.max_redirects = 0


async def bound_awaiting(connections: Iterable[Any]) -> None:
    """Make connections of aiohttp follow no redirects, and read bounded responses.

    This includes the caller's own client, so that no documents go to a host that nobody named.
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
    """Refuse a compressed response.

    Raises:
        AnswerRefused: for any encoding but "identity".
    """
    if encoding and encoding.lower() != "identity":
        raise AnswerRefused("a compressed response, which was not requested")


def check_size(left_bytes: int) -> None:
    """Refuse a response that is too large.

    Raises:
        AnswerRefused: if the budget of bytes is exceeded.
    """
    if left_bytes < 0:
        raise AnswerRefused(f"more than {BoundedResponse.most_bytes:,} bytes in one response")


def refused_answer(error: BaseException | None) -> AnswerRefused | None:
    """The `AnswerRefused` that caused a client's error, or None."""
    seen: list[BaseException] = []
    while error is not None and error not in seen:
        if isinstance(error, AnswerRefused):
            return error
        seen.append(error)
        error = error.__cause__ or error.__context__
    return None


def _as_it_is(url: Any) -> Any:
    """The URL without normalizing "." and "..", which may be ids."""
    from yarl import URL  # comes with aiohttp

    return URL(url, encoded=True) if isinstance(url, str) else url


async def _read(response: Any) -> bytes:
    parts, left = [], BoundedResponse.most_bytes
    async for part in response.content.iter_any():
        left -= len(part)
        check_size(left)
        parts.append(part)
    return b"".join(parts)
