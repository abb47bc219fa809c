"""The conditions in plain Python: stores are tested against it, and it filters in memory."""

from __future__ import annotations

import typing
from collections.abc import Iterable, Mapping

from splade_connectors.filters.conditions import (
    All,
    Any,
    AnyOf,
    Condition,
    Equals,
    Exists,
    Not,
    Range,
    values_of,
)
from splade_connectors.filters.dates import moment_in
from splade_connectors.payloads import values_at


def matches(condition: Condition, payload: Mapping[str, typing.Any]) -> bool:
    """Whether a payload meets a condition."""
    match condition:
        case All(conditions=inner):
            return all(matches(one, payload) for one in inner)
        case Any(conditions=inner):
            return any(matches(one, payload) for one in inner)
        case Not(condition=one):
            return not matches(one, payload)
        case Exists(path=path):
            return any(value is not None for value in values_at(payload, path))
        case Equals() | AnyOf():
            return any(_is_one(value, condition) for value in values_at(payload, condition.path))
        case Range(path=path):
            lies = _lies_between if condition.is_of_dates else _lies_within
            return any(lies(value, condition) for value in values_at(payload, path))
    raise AssertionError(f"unknown condition: {condition!r}")


def paths_in(filters: Iterable[typing.Any]) -> list[str]:
    """The fields named by those filters that are conditions of this package."""
    named = (path for one in filters if isinstance(one, Condition) for path in paths_of(one))
    return list(dict.fromkeys(named))


def paths_of(condition: Condition) -> set[str]:
    """The paths of the fields in a condition."""
    match condition:
        case All(conditions=inner) | Any(conditions=inner):
            return {path for one in inner for path in paths_of(one)}
        case Not(condition=one):
            return paths_of(one)
        case Equals(path=path) | AnyOf(path=path) | Range(path=path) | Exists(path=path):
            return {path}
    raise AssertionError(f"unknown condition: {condition!r}")


def _is_one(value: typing.Any, condition: Equals | AnyOf) -> bool:
    wanted = values_of(condition)
    if isinstance(value, bool):
        return value in wanted.booleans
    if isinstance(value, int | float):
        return value in wanted.numbers
    if not isinstance(value, str):
        return False
    moment = moment_in(value) if wanted.spans else None
    dated = moment is not None and any(span.start <= moment < span.end for span in wanted.spans)
    return dated or value in wanted.texts


def _lies_within(value: typing.Any, condition: Range) -> bool:
    """Whether a number is within the bounds."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    bounds: typing.Any = condition
    return (
        (bounds.gt is None or value > bounds.gt)
        and (bounds.gte is None or value >= bounds.gte)
        and (bounds.lt is None or value < bounds.lt)
        and (bounds.lte is None or value <= bounds.lte)
    )


def _lies_between(value: typing.Any, condition: Range) -> bool:
    """Whether a date is within the bounds."""
    moment = moment_in(value) if isinstance(value, str) else None
    if moment is None:
        return False
    first, behind = condition.moments
    return (first is None or moment >= first) and (behind is None or moment < behind)
