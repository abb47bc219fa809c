"""Compile a search to Qdrant's query request. Pure: nothing is sent here."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from splade_connectors.backends.protocol import Plan
from splade_connectors.errors import ConfigurationError
from splade_connectors.filters import Condition, Exists
from splade_connectors.options import SearchOptions
from splade_connectors.payloads import top_level
from splade_connectors.vectors import SparseVector
from splade_qdrant.compile.filters import filter_of
from splade_qdrant.documents import ID_KEY, payload_selector, sparse_json


@dataclass(frozen=True, kw_only=True, slots=True)
class SearchPlan(Plan):
    """A search for one page; its request includes one more point on each side of the page.

    Qdrant does not order equal scores: which of them a limit cuts off changes with the limit
    [edge 0.9.0, server 1.18.3]. The page's neighbours tell whether that matters.

    Attributes:
        offset: points before the page.
        limit: maximum number of points in the page.
        before: points that the request asks for before the page, 0 or 1.
        most: maximum number of points of a request in strict mode; None without a limit.
    """

    offset: int
    limit: int
    before: int
    most: int | None


@dataclass(frozen=True, kw_only=True, slots=True)
class GroupedPlan(SearchPlan):
    """The first request of a search for the best point of each value of a field.

    Attributes:
        group_by: path of the field.
        with_payload: whether the hits get their payload.
        own_filter: the caller's filter as JSON; None without one.
        filterable: as in `Schema`.
    """

    group_by: str
    with_payload: bool
    own_filter: Mapping[str, Any] | None
    filterable: Sequence[str]


# Points that the first request of a grouped search asks for, per hit.
_POINTS_A_GROUP = 4


def compile_groups(
    collection: str,
    vector_name: str,
    query: SparseVector,
    options: SearchOptions,
    most: int | None = None,
    filterable: Sequence[str] = (),
) -> GroupedPlan:
    """The first request for the best point of each value; later ones exclude the values found."""
    assert options.group_by is not None
    own = None if options.filter is None else filter_json(options.filter, filterable)
    there = filter_of(Exists(options.group_by), filterable)
    limit = _POINTS_A_GROUP * (options.offset + options.limit)
    return GroupedPlan(
        path="sparse query, grouped by the client",
        reason="the best point of each value, with counts, which Qdrant's groups lack",
        method="POST",
        url_path=_url_path(collection),
        body={
            "query": sparse_json(query),
            "using": vector_name,
            "limit": min(limit, most or limit),
            "with_payload": payload_selector([ID_KEY, *top_level([options.group_by])]),
            "filter": {"must": [*([own] if own is not None else []), there]},
        },
        offset=options.offset,
        limit=options.limit,
        before=0,
        most=most,
        group_by=options.group_by,
        with_payload=options.with_payload,
        own_filter=own,
        filterable=filterable,
    )


def compile_search(
    collection: str,
    vector_name: str,
    query: SparseVector,
    options: SearchOptions,
    most: int | None = None,
    filterable: Sequence[str] = (),
) -> SearchPlan:
    """The request for the best points by dot product."""
    before, asked = (1, options.limit + 2) if options.offset else (0, options.limit + 1)
    if most and asked > most:  # no room for neighbours: the server orders ties at the page's ends
        before, asked = 0, options.limit
    body: dict[str, Any] = {
        "query": sparse_json(query),
        "using": vector_name,
        "limit": asked,
        "with_payload": True if options.with_payload else [ID_KEY],
    }
    if options.offset > before:
        body["offset"] = options.offset - before
    if options.filter is not None:
        body["filter"] = filter_json(options.filter, filterable)
    return SearchPlan(
        path="sparse query",
        reason="Qdrant scores sparse vectors by their dot product, exactly",
        method="POST",
        url_path=_url_path(collection),
        body=body,
        offset=options.offset,
        limit=options.limit,
        before=before,
        most=most,
    )


def _url_path(collection: str) -> str:
    # An embedded shard has no name: show the path for a collection on a server.
    return f"/collections/{quote(collection, safe='') or 'COLLECTION'}/points/query"


def filter_json(given: Any, filterable: Sequence[str] = ()) -> Mapping[str, Any]:
    """A filter as JSON.

    Args:
        given: a condition of `splade_connectors.filters`, JSON, or qdrant-client's `models.Filter`.
        filterable: as in `Schema`.

    Raises:
        ConfigurationError: for anything else, or JSON that is not a Qdrant filter.
    """
    if isinstance(given, Condition):
        return filter_of(given, filterable)
    if hasattr(given, "model_dump"):
        given = given.model_dump(mode="json", exclude_none=True, by_alias=True)
    if not isinstance(given, Mapping):
        raise ConfigurationError(
            "a Qdrant filter must be a condition of splade_connectors.filters, a models.Filter or "
            f"its JSON, not {type(given).__name__}"
        )
    unknown = sorted(set(given) - {"must", "should", "must_not", "min_should"})
    if unknown:
        raise ConfigurationError(
            f"a Qdrant filter takes must, should, must_not or min_should, not {unknown[0]!r}; "
            'for example {"must": [{"key": "lang", "match": {"value": "en"}}]}'
        )
    return given
