"""Reading an index to its end: by point in time where there is one, else by scroll.

A page of a point in time can be asked for again; the next page of a scroll cannot, because the
server moves on when it answers. So a lost answer of a scroll is a lost reading, which begins anew:
what has been attached by then is recognized by its marker.
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
from splade_lucene.requests import HttpRequest

log = logging.getLogger(__name__)

# Between two pages: a server may be away for a while.
_KEEP_ALIVE = "15m"
_NO_HANDLER = (400, 405)


@dataclass(frozen=True, kw_only=True, slots=True)
class Cursor:
    """Where a reading stands.

    Attributes:
        context: id of the point in time, or of the scroll.
        after: sort values of the last hit of a point in time.
        scroll: whether it is a scroll.
    """

    context: str
    after: Sequence[Any] | None = None
    scroll: bool = False


def read_page(
    path: str, body: Mapping[str, Any], selection: Selection, cursor: Cursor | None, scroll: bool
) -> Steps[tuple[list[Any], Cursor | None]]:
    """The hits of a page and the cursor of the next one.

    Args:
        path: of the index.
        body: query and fields of the search.
        selection: size of the page, and part.
        cursor: None for the first page.
        scroll: read by scroll.

    Raises:
        CursorLost: when the next page cannot be had.
    """
    whole = {**body, "size": selection.size, "seq_no_primary_term": True}
    if selection.part and selection.part[1] > 1:
        whole["slice"] = {"id": selection.part[0], "max": selection.part[1]}
    try:
        if scroll or (cursor and cursor.scroll):
            return (yield from _scrolled(path, whole, selection, cursor))
        return (yield from _at_point_in_time(path, whole, selection, cursor))
    except NotFound as error:
        if cursor is None:
            raise
        # The server was restarted, or nobody asked for long. Where it is the index that is gone,
        # the next first page says so.
        raise CursorLost(f"the reading of {path} begins anew: {error}") from error


def _at_point_in_time(
    path: str, body: dict[str, Any], selection: Selection, cursor: Cursor | None
) -> Steps[tuple[list[Any], Cursor | None]]:
    if cursor is None:
        try:
            opened = yield HttpRequest("POST", f"{path}/_pit", None, {"keep_alive": _KEEP_ALIVE})
        except RequestRejected as error:
            if error.status not in _NO_HANDLER:
                raise
            # Some builds, and versions before 7.10, have none.
            return (yield from _scrolled(path, body, selection, None))
        cursor = Cursor(context=opened["id"])
    search = {
        **body,
        "track_total_hits": False,
        "pit": {"id": cursor.context, "keep_alive": _KEEP_ALIVE},
        "sort": [{"_shard_doc": "asc"}],
        **({"search_after": list(cursor.after)} if cursor.after else {}),
    }
    answer = yield HttpRequest("POST", "/_search", search)
    _check_shards(answer, path)
    hits = answer["hits"]["hits"]
    context = answer.get("pit_id", cursor.context)
    if len(hits) < selection.size:
        yield from _released("/_pit", {"id": context})
        return hits, None
    return hits, Cursor(context=context, after=hits[-1]["sort"])


def _scrolled(
    path: str, body: dict[str, Any], selection: Selection, cursor: Cursor | None
) -> Steps[tuple[list[Any], Cursor | None]]:
    if cursor is None:
        search = {**body, "sort": ["_doc"]}
        params = {"scroll": _KEEP_ALIVE}
        answer = yield HttpRequest("POST", f"{path}/_search", search, params)
    else:
        request = HttpRequest(
            "POST",
            "/_search/scroll",
            {"scroll": _KEEP_ALIVE, "scroll_id": cursor.context},
        )
        try:
            answer = yield Join((yield Spawn(_once(request), NO_RETRY)))
        except Unavailable as error:
            raise CursorLost(f"the reading of {path} begins anew: {error}") from error
    _check_shards(answer, path)
    hits = answer["hits"]["hits"]
    if len(hits) < selection.size:
        yield from _released("/_search/scroll", {"scroll_id": answer["_scroll_id"]})
        return hits, None
    return hits, Cursor(context=answer["_scroll_id"], scroll=True)


def _once(request: HttpRequest) -> Steps[Any]:
    return (yield request)


def _check_shards(answer: Mapping[str, Any], path: str) -> None:
    """A page without the documents of a shard would skip them."""
    shards = answer.get("_shards") or {}
    if shards.get("failed"):
        raise Unavailable(
            f"{shards['failed']} of {shards['total']} shards of {path} did not answer"
        )


def _released(path: str, body: Mapping[str, Any]) -> Steps[None]:
    """Give the context back; it ends by itself as well."""
    try:
        yield Join((yield Spawn(_once(HttpRequest("DELETE", path, body)), NO_RETRY)))
    except Exception as error:  # nothing depends on it
        log.debug("%s was not released: %s", path, error)
