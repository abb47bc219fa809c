"""A program that opens a store, uses it, and forks: python -m tests.integration.forked CASE TARGET.

Cases: `used` forks after a search, `unused` before one, `client` hands in a client of its own,
`async` awaits. The child searches, and ends as Python programs end. In `untouched` and
`untouched-async` there are many children, none of which searches. Prints a JSON object: what
parent and child found, and how the child ended.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from collections.abc import Callable
from functools import partial
from typing import Any

from splade_connectors import SpladeConnectorsError, aconnect, connect, load_encoder
from splade_connectors.forks import never_destroy_in_children

QUERY = "why does dough rise"
# A child that hangs is ended by a signal.
_MOST_S = 30
# Some faults show in some children only.
_UNTOUCHED = 10


def main(case: str, target: str) -> None:
    encoder = load_encoder(engine="onnx")
    # Many texts: they are spread over threads, and in a child these would not be there.
    encoder.encode_documents([f"{QUERY} {number}" for number in range(100)])
    if case in ("async", "untouched-async"):
        run, close = asyncio.run(_awaited(target, encoder))
    else:
        opened = _client_store if case == "client" else connect
        store = opened(target, encoder=encoder)
        run, close = partial(_searched, store), store.close
    first = None if case == "unused" else run()
    child = _in_children() if case.startswith("untouched") else _in_child(run, close)
    json.dump({"first": first, "child": child, "after": _said(run)}, sys.stdout)
    close()


def _searched(store: Any) -> Any:
    return [hit.id for hit in store.search(QUERY)]


def _client_store(target: str, *, encoder: Any) -> Any:
    from elasticsearch import Elasticsearch

    host, _, index = target.partition("://")[2].partition("/")
    return connect(Elasticsearch(f"http://{host}"), index, encoder=encoder)


def _loop(loops: dict[int, asyncio.AbstractEventLoop]) -> asyncio.AbstractEventLoop:
    if os.getpid() not in loops:
        # A child that destroyed its copy would unregister the parent's from the epoll of both.
        loops[os.getpid()] = never_destroy_in_children(asyncio.new_event_loop())
    return loops[os.getpid()]


async def _awaited(target: str, encoder: Any) -> tuple[Callable[[], Any], Callable[[], Any]]:
    store = await aconnect(target, encoder=encoder)
    # A loop belongs to its process, too: asyncio says so.
    loops: dict[int, asyncio.AbstractEventLoop] = {}

    def done(work: Any) -> Any:
        return _loop(loops).run_until_complete(work)

    async def search() -> Any:
        return [hit.id for hit in await store.search(QUERY)]

    return lambda: done(search()), lambda: done(store.close())


def _in_child(run: Callable[[], Any], close: Callable[[], Any]) -> dict[str, Any]:
    reader, writer = os.pipe()
    child = os.fork()
    if not child:
        signal.alarm(_MOST_S)
        os.close(reader)
        os.write(writer, json.dumps(_said(run)).encode())
        close()
        sys.exit(0)
    os.close(writer)
    with open(reader) as answer:
        found = json.loads(answer.read() or "null")
    return {"found": found, "status": os.waitpid(child, 0)[1]}


def _in_children() -> dict[str, Any]:
    """Children that leave the store alone; how the worst of them ended."""
    children = [_in_child(_nothing, _nothing) for _ in range(_UNTOUCHED)]
    return max(children, key=lambda child: child["status"])


def _nothing() -> None:
    """Leave the store alone."""


def _said(run: Callable[[], Any]) -> Any:
    try:
        return run()
    except SpladeConnectorsError as error:
        return str(error)


if __name__ == "__main__":
    main(*sys.argv[1:])
