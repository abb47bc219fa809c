"""Compile conditions to Qdrant filters. Pure.

Qdrant filters on the payload as stored, without a mapping; but a path has to mark the lists it
passes through ("authors[].name"), and these differ between documents: the filter tries every
spelling, unless a payload index says which one is meant.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator, Sequence
from typing import Any

from splade_connectors.filters import All, AnyOf, Condition, Equals, Exists, Not, Range
from splade_connectors.filters import Any as AtLeastOne
from splade_connectors.filters.conditions import Number, values_of
from splade_connectors.filters.dates import EARLIEST_MS, LATEST_MS, written

Json = dict[str, Any]

# Points whose id is in an empty list: no point at all.
_NOTHING: Json = {"has_id": []}
# Beyond this, a range cannot tell neighbouring integers apart.
_EXACT = 2**53
_PLAIN = re.compile("[A-Za-z0-9_-]+")


def filter_of(condition: Condition, indexed: Sequence[str] = ()) -> Json:
    """The filter for the points that meet a condition.

    Args:
        condition: one of `splade_connectors.filters`.
        indexed: paths with a payload index, if the collection refuses to filter by others.
    """
    made = _compiled(condition, frozenset(indexed))
    is_filter = set(made) <= {"must", "should", "must_not"}
    return made if is_filter else {"must": [made]}


def _compiled(condition: Condition, indexed: frozenset[str]) -> Json:
    match condition:
        case All(conditions=inner):
            return {"must": [_compiled(one, indexed) for one in inner]}
        case AtLeastOne(conditions=inner):
            return _one_of([_compiled(one, indexed) for one in inner])
        case Not(condition=one):
            return {"must_not": [_compiled(one, indexed)]}
        case Equals(path=path) | AnyOf(path=path) | Range(path=path) | Exists(path=path):
            keys = list(_spellings(path))
            known = [key for key in keys if key in indexed]
            return _one_of([test for key in known or keys for test in _tests(key, condition)])
    raise AssertionError(f"unknown condition: {condition!r}")


def _tests(key: str, condition: Condition) -> Iterator[Json]:
    """The Qdrant tests for a value at this key; one of them has to hold."""
    match condition:
        case Exists():
            # Any value but null: every value is either "" or something else.
            yield {"key": key, "match": {"except": [""]}}
            yield {"key": key, "match": {"value": ""}}
        case Range():
            yield from _range(key, condition)
        case Equals() | AnyOf():
            values = values_of(condition)
            if values.texts:
                yield _match(key, values.texts)
            for number in values.numbers:
                yield _number(key, number)
            for value in values.booleans:
                yield {"key": key, "match": {"value": value}}
            for span in values.spans:
                yield from _between(key, span.start, span.end)


def _match(key: str, values: Sequence[str]) -> Json:
    match = {"value": values[0]} if len(values) == 1 else {"any": list(values)}
    return {"key": key, "match": match}


def _number(key: str, number: Number) -> Json:
    """A range, where possible: `match` treats 5 and 5.0 as different and takes no fractions."""
    if isinstance(number, int) and abs(number) > _EXACT:
        return {"key": key, "match": {"value": number}}
    return {"key": key, "range": {"gte": number, "lte": number}}


def _range(key: str, condition: Range) -> Iterator[Json]:
    if condition.is_of_dates:
        yield from _between(key, *condition.moments)
    else:
        yield {"key": key, "range": dict(condition.given)}


def _between(key: str, first: int | None, behind: int | None) -> Iterator[Json]:
    """A range of dates, from the first millisecond inside to the first one after it."""
    if (first is not None and first > LATEST_MS) or (behind is not None and behind <= EARLIEST_MS):
        return
    bounds = {}
    if behind is not None and behind <= LATEST_MS:
        bounds["lt"] = written(behind)
    if first is not None or not bounds:  # a range without bounds would not be one of dates
        bounds["gte"] = written(EARLIEST_MS if first is None else max(first, EARLIEST_MS))
    yield {"key": key, "range": bounds}


def _one_of(conditions: Sequence[Json]) -> Json:
    if len(conditions) == 1:
        return conditions[0]
    return {"should": list(conditions)} if conditions else _NOTHING


def _spellings(path: str) -> Iterator[str]:
    """The keys that a path may mean: through objects, lists of objects, and dotted names."""
    parts = path.split(".")
    for joints in itertools.product((".", "[].", ""), repeat=len(parts) - 1):
        names, between = [parts[0]], []
        for joint, part in zip(joints, parts[1:], strict=True):
            if joint:
                names.append(part)
                between.append(joint)
            else:
                names[-1] += f".{part}"
        yield "".join(
            piece
            for name, joint in itertools.zip_longest(map(_quoted, names), between, fillvalue="")
            for piece in (name, joint)
        )


def _quoted(name: str) -> str:
    return name if _PLAIN.fullmatch(name) else f'"{name}"'
