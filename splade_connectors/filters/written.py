"""Conditions as JSON, for command lines, files and services.

Each is an object with one key: {"equals": {"path": "lang", "value": "en"}}, {"any_of": {"path": …,
"values": […]}}, {"range": {"path": …, "gte": …}}, {"exists": {"path": …}}, {"all": […]}, {"any":
[…]}, {"not": {…}}. Dates are text in a range, and {"date": "2024-05-17"} elsewhere.
"""

from __future__ import annotations

import typing
from collections.abc import Mapping, Sequence
from datetime import date, datetime
from difflib import get_close_matches

from splade_connectors.errors import ConfigurationError
from splade_connectors.filters.conditions import (
    All,
    Any,
    AnyOf,
    Condition,
    Equals,
    Exists,
    Not,
    Range,
    date_in,
)
from splade_connectors.shown import quoted

_KEYS: dict[str, set[str]] = {
    "equals": {"path", "value"},
    "any_of": {"path", "values"},
    "range": {"path", "gt", "gte", "lt", "lte"},
    "exists": {"path"},
}
_LISTS: dict[str, type[All] | type[Any]] = {"all": All, "any": Any}
# Names that no store uses for filters, and the keys that a leaf may have.
_OURS = ("equals", "any_of", "not", *_LISTS)
_IN_LEAVES = set().union(*_KEYS.values())
# Minimum similarity of a misspelled name: "equal", "anyof", "anyOf".
_ALIKE = 0.75


def is_condition(given: typing.Any) -> bool:
    """Whether JSON is a condition of this package, rather than in a store's own language.

    Elasticsearch's `range` and `exists` contain no path, and no store uses the other names.
    """
    if not isinstance(given, Mapping) or len(given) != 1:
        return False
    ((name, body),) = given.items()
    if name in _OURS:
        return True
    return name in _KEYS and isinstance(body, Mapping) and isinstance(body.get("path"), str)


def read_filter(given: typing.Any) -> typing.Any:
    """The filter to search with: a condition in JSON becomes a `Condition`, all else stays.

    Raises:
        ConfigurationError: if the JSON is a misspelled or incomplete condition.
    """
    is_ours = isinstance(given, Mapping) and (is_condition(given) or _resembles(given))
    return from_json(given) if is_ours else given


def _resembles(given: Mapping[typing.Any, typing.Any]) -> bool:
    """Whether it can only be a misspelled condition: no store accepts it as a filter."""
    if any(name in given for name in _OURS):
        return True  # beside other names
    if len(given) != 1:
        return False
    ((name, body),) = given.items()
    if isinstance(body, Mapping):
        # Elasticsearch's `nested` has a path too, but also a query.
        looks_ours = isinstance(body.get("path"), str) and set(body) <= _IN_LEAVES
    else:
        looks_ours = isinstance(body, list | tuple) and bool(body) and all(map(is_condition, body))
    return looks_ours or bool(get_close_matches(str(name).lower(), _OURS, 1, _ALIKE))


def from_json(given: typing.Any) -> Condition:
    """The condition in a JSON object; the inverse of `to_json`.

    Raises:
        ConfigurationError: if it is not a condition; says which part is wrong.
    """
    if not isinstance(given, Mapping) or len(given) != 1:
        raise ConfigurationError(
            f"a condition must be an object with one of {', '.join((*_KEYS, *_LISTS, 'not'))}, "
            f"not {quoted(given)}"
        )
    ((name, body),) = given.items()
    if name in _LISTS:
        if not isinstance(body, Sequence) or isinstance(body, str):
            raise ConfigurationError(f"{name!r} takes a list of conditions, not {quoted(body)}")
        return _LISTS[name](*map(from_json, body))
    if name == "not":
        return Not(from_json(body))
    if name not in _KEYS:
        raise ConfigurationError(
            f"unknown condition {quoted(name)}: it must be one of "
            f"{', '.join((*_KEYS, *_LISTS, 'not'))} (docs/filters.md)"
        )
    return _leaf(name, _body(name, body))


def to_json(condition: Condition) -> dict[str, typing.Any]:
    """A condition as JSON; the inverse of `from_json`."""
    match condition:
        case All(conditions=inner):
            return {"all": [to_json(one) for one in inner]}
        case Any(conditions=inner):
            return {"any": [to_json(one) for one in inner]}
        case Not(condition=one):
            return {"not": to_json(one)}
        case Exists(path=path):
            return {"exists": {"path": path}}
        case Equals(path=path, value=value):
            return {"equals": {"path": path, "value": _value_json(value)}}
        case AnyOf(path=path, values=values):
            return {"any_of": {"path": path, "values": [_value_json(value) for value in values]}}
        case Range(path=path):
            bounds = {name: _bound_json(bound) for name, bound in condition.given.items()}
            return {"range": {"path": path, **bounds}}
    raise AssertionError(f"unknown condition: {condition!r}")


def _body(name: str, body: typing.Any) -> Mapping[str, typing.Any]:
    """The object of a leaf condition, checked for missing and unknown keys."""
    needed = {"path", "value", "values"} & _KEYS[name]
    if not isinstance(body, Mapping) or not needed <= set(body):
        raise ConfigurationError(
            f"{name!r} takes an object with {' and '.join(sorted(needed))}, not {quoted(body)}"
        )
    unknown = sorted(set(body) - _KEYS[name])
    if unknown:
        known = ", ".join(sorted(_KEYS[name]))
        raise ConfigurationError(
            f"{name!r} has the unknown key {quoted(unknown[0])}; known are {known}"
        )
    return body


def _leaf(name: str, body: Mapping[str, typing.Any]) -> Condition:
    path = body["path"]
    match name:
        case "exists":
            return Exists(path)
        case "equals":
            return Equals(path, _value(path, body["value"]))
        case "any_of":
            values = body["values"]
            if not isinstance(values, Sequence) or isinstance(values, str):
                raise ConfigurationError(f"'any_of' takes a list of values, not {quoted(values)}")
            return AnyOf(path, [_value(path, value) for value in values])
    return Range(path, **{key: bound for key, bound in body.items() if key != "path"})


def _value(path: str, given: typing.Any) -> typing.Any:
    match given:
        case {"date": str(text), **rest} if not rest:
            return date_in(text, path)
    return given


def _value_json(value: typing.Any) -> typing.Any:
    return {"date": _bound_json(value)} if isinstance(value, date) else value


def _bound_json(value: typing.Any) -> typing.Any:
    """A bound as JSON; datetimes have microseconds only if they are not 0."""
    if isinstance(value, datetime):
        return value.isoformat(timespec="microseconds" if value.microsecond else "seconds")
    return value.isoformat() if isinstance(value, date) else value
