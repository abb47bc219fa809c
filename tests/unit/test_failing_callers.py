"""Errors of the caller's own code in the middle of a run: nothing is left under way behind them."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest

from splade_connectors import Document, WriteOptions
from tests.unit.test_indexing import Bench, Put

OPTIONS = WriteOptions(portion_documents=4, chunk_documents=2, max_in_flight=4)


class Broken(Exception):
    """What the caller's code raises."""


def rows(count: int, error: BaseException) -> Iterator[Document]:
    for number in range(count):
        yield Document(id=number, text=f"word {number}")
    raise error


def slow(bench: Bench) -> list[int]:
    """Requests take a while; the count of those under way, at each moment that it changes."""
    under_way = [0]
    lock = threading.Lock()
    send = bench.backend.send

    def slowly(request: Put) -> None:
        with lock:
            under_way[0] += 1
        time.sleep(0.05)
        send(request)
        with lock:
            under_way[0] -= 1

    bench.backend.send = slowly  # type: ignore[method-assign]
    return under_way


@pytest.mark.parametrize("error", [Broken("read"), ValueError("x"), SystemExit(3)], ids=repr)
def test_a_failing_iterator_waits_for_what_is_under_way(error: BaseException) -> None:
    bench = Bench()
    under_way = slow(bench)
    with pytest.raises(type(error)) as found:
        bench.store().index(rows(12, error), options=OPTIONS)
    assert found.value is error
    assert under_way == [0]
    assert bench.stored() == set(range(12))
    assert "12 documents written so far" in error.__notes__[0]


@pytest.mark.parametrize("where", ["progress", "letters"])
def test_a_failing_callback_waits_for_what_is_under_way(where: str) -> None:
    bench = Bench()
    under_way = slow(bench)
    bench.backend.judge = lambda document: "no" if document.id == 7 else None

    def fail(*anything: object, **more: object) -> None:
        if where == "letters" or getattr(anything[0], "done", 0) >= 8:
            raise Broken

    class Letters:
        add = staticmethod(fail)
        replaces = staticmethod(lambda file: False)

    more: dict[str, Any] = (
        {"on_progress": fail} if where == "progress" else {"dead_letters": Letters}
    )
    with pytest.raises(Broken):
        bench.store().index(
            (Document(id=number, text="word") for number in range(40)), options=OPTIONS, **more
        )
    assert under_way == [0]
    time.sleep(0.1)
    sent = {id for request in bench.backend.requests for id in request}
    assert bench.stored() == sent - {7}


async def arows(count: int, error: BaseException) -> AsyncIterator[Document]:
    for row in rows(count, error):
        await asyncio.sleep(0)
        yield row


@pytest.mark.parametrize("asynchronous", [False, True])
async def test_a_failing_iterator_of_the_awaiting_store(asynchronous: bool) -> None:
    bench = Bench()
    source = (arows if asynchronous else rows)(12, Broken())
    before = asyncio.all_tasks()
    with pytest.raises(Broken):
        await bench.astore().index(source, options=OPTIONS)
    assert asyncio.all_tasks() == before
    assert bench.stored() == set(range(12))
