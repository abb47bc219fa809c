"""Read an index to its end: by point in time if the server has it, else by scroll.

A page of a point in time can be requested again; the next page of a scroll cannot, because the
server advances when it responds. So a lost response of a scroll expires the cursor, and reading
starts over: documents attached by then are recognized by their marker.

If the first page is not full it is the last one, and neither is opened.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from splade_connectors.backends.attaching import CursorLost, Selection
from splade_connectors.errors import NotFound, RequestRejected, Unavailable
from splade_connectors.options import NO_RETRY
from splade_connectors.runtime.effects import Join, Spawn, Steps
from splade_lucene.address import IndexAddress
from splade_lucene.answers import asked, check_shards, understood
from splade_lucene.requests import HttpRequest

log = logging.getLogger(__name__)

# The time between two pages: a server may be down for a while.
_KEEP_ALIVE = "15m"
_NO_HANDLER = (400, 405)

Hits = Sequence[Mapping[str, Any]]


@dataclass(frozen=True, kw_only=True, slots=True)
class Cursor:
    """The position of a reading.

    Attributes:
        context: id of the point in time or the scroll.
        after: sort values of the last hit, for a point in time.
        scroll: whether `context` is a scroll.
    """

    context: str
    after: Sequence[Any] | None = None
    scroll: bool = False


@dataclass(frozen=True, kw_only=True, slots=True)
class Reading:
    """A reading of selected documents.

    Attributes:
        address: of the index.
        body: query and fields of the search.
        selection: gives the page size and the part.
    """

    address: IndexAddress
    body: Mapping[str, Any]
    selection: Selection

    @property
    def size(self) -> int:
        """Maximum number of documents per page."""
        return self.selection.size

    @property
    def part(self) -> tuple[int, int] | None:
        """(part, number of parts) to read; None for everything."""
        part = self.selection.part
        return part if part and part[1] > 1 else None

    @property
    def search(self) -> dict[str, Any]:
        """The search body of a page."""
        search = {**self.body, "size": self.size, "seq_no_primary_term": True}
        if self.part:
            search["slice"] = {"id": self.part[0], "max": self.part[1]}
        return search

    def hits(self, answer: Any) -> Hits:
        """The hits of a page, from all shards."""
        check_shards(answer, self.address)
        return [dict(hit) for hit in answer["hits"]["hits"]]


def read_page(reading: Reading, cursor: Cursor | None) -> Steps[tuple[Hits, Cursor | None]]:
    """The hits of a page and the cursor of the next one.

    Args:
        reading: the reading.
        cursor: None for the first page.

    Raises:
        CursorLost: if the cursor has expired.
    """
    if cursor is None:
        return (yield from _first_page(reading))
    try:
        if cursor.scroll:
            return (yield from _scrolled_on(reading, cursor))
        return (yield from _at_point_in_time(reading, cursor))
    except NotFound as error:
        # The server was restarted, or the cursor expired. If the index itself is gone, the next
        # first page says so.
        raise _lost(reading, error) from error


def _lost(reading: Reading, error: Exception) -> CursorLost:
    return CursorLost(f"the cursor of {reading.address.path} expired, reading starts over: {error}")


def _first_page(reading: Reading) -> Steps[tuple[Hits, Cursor | None]]:
    address = reading.address
    # Reading a part needs a point in time or a scroll.
    if not reading.part:
        search = {**reading.search, "track_total_hits": False, "sort": ["_doc"]}
        request = HttpRequest("POST", f"{address.path}/_search", search)
        hits = yield from asked(request, reading.hits, address)
        if len(hits) < reading.size:
            return hits, None
    if not address.dialect.point_in_time:
        return (yield from _scrolled(reading))
    opening = HttpRequest("POST", f"{address.path}/_pit", None, {"keep_alive": _KEEP_ALIVE})
    try:
        context = yield from asked(opening, lambda answer: str(answer["id"]), address)
    except RequestRejected as error:
        if error.status not in _NO_HANDLER:
            raise
        # Some builds, and versions before 7.10, have no point in time.
        return (yield from _scrolled(reading))
    try:
        return (yield from _at_point_in_time(reading, Cursor(context=context)))
    except NotFound as error:
        raise _lost(reading, error) from error


def _at_point_in_time(reading: Reading, cursor: Cursor) -> Steps[tuple[Hits, Cursor | None]]:
    search = {
        **reading.search,
        "track_total_hits": False,
        "pit": {"id": cursor.context, "keep_alive": _KEEP_ALIVE},
        "sort": [{"_shard_doc": "asc"}],
        **({"search_after": list(cursor.after)} if cursor.after else {}),
    }

    def parse(answer: Any) -> tuple[Hits, Cursor]:
        hits = reading.hits(answer)
        context = str(answer.get("pit_id", cursor.context))
        return hits, Cursor(context=context, after=list(hits[-1]["sort"]) if hits else None)

    request = HttpRequest("POST", "/_search", search)
    hits, after = yield from asked(request, parse, reading.address)
    if len(hits) < reading.size:
        yield from _released("/_pit", {"id": after.context})
        return hits, None
    return hits, after


def _scrolled(reading: Reading) -> Steps[tuple[Hits, Cursor | None]]:
    search = {**reading.search, "sort": ["_doc"]}
    path = f"{reading.address.path}/_search"
    request = HttpRequest("POST", path, search, {"scroll": _KEEP_ALIVE})
    return (yield from _scroll_page(reading, (yield request)))


def _scrolled_on(reading: Reading, cursor: Cursor) -> Steps[tuple[Hits, Cursor | None]]:
    body = {"scroll": _KEEP_ALIVE, "scroll_id": cursor.context}
    request = HttpRequest("POST", "/_search/scroll", body)
    try:
        answer = yield Join((yield Spawn(_once(request), NO_RETRY)))
    except Unavailable as error:
        raise _lost(reading, error) from error
    return (yield from _scroll_page(reading, answer))


def _scroll_page(reading: Reading, answer: Any) -> Steps[tuple[Hits, Cursor | None]]:
    with understood(reading.address):
        hits = reading.hits(answer)
        context = str(answer["_scroll_id"])
    if len(hits) < reading.size:
        yield from _released("/_search/scroll", {"scroll_id": context})
        return hits, None
    return hits, Cursor(context=context, scroll=True)


def _once(request: HttpRequest) -> Steps[Any]:
    return (yield request)


def _released(path: str, body: Mapping[str, Any]) -> Steps[None]:
    """Release the point in time or scroll, which would expire anyway."""
    try:
        yield Join((yield Spawn(_once(HttpRequest("DELETE", path, body)), NO_RETRY)))
    except Exception as error:  # nothing depends on it
        log.debug("%s was not released: %s", path, error)
