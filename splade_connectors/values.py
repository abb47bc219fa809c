"""Conversion of payload values to JSON, the same for every store and every source.

CSV, JSON, Parquet and Python provide values of many types, which the stores' clients convert in
different ways, or fail on in the middle of a request. This module decides once: times become
ISO 8601 text, numbers stay exact or become text, bytes become base64; NaN and NaT count as missing.
"""

from __future__ import annotations

import base64
import math
import uuid
from collections.abc import Callable, Mapping, Sequence
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from typing import Any

import numpy as np

from splade_connectors.errors import InvalidDocument
from splade_connectors.shown import message_of, quoted

# Qdrant's engine writes deeper payloads to its WAL, and can then no longer read any of the WAL
# [edge 0.9.0: it reads 120 levels, not 125].
DEEPEST = 100
# Integers that every store keeps exactly: Qdrant turns larger ones into floats, Elasticsearch
# rejects them.
_INT64 = range(-(2**63), 2**63)
# Python refuses to print far larger integers (10^4300); 309 digits can be printed anywhere.
_LARGEST_BITS = 1024
_MOST_DIGITS = 308
_SECONDS = {
    "W": Decimal(604_800),
    "D": Decimal(86_400),
    "h": Decimal(3600),
    "m": Decimal(60),
    **{unit: Decimal(1).scaleb(-3 * power) for power, unit in enumerate(("s", "ms", "us", "ns"))},
}


class _Missing:
    """A missing value: NaN, NaT, pandas' NA."""


MISSING = _Missing()


class Unreadable:
    """A value in a file that Python cannot represent, such as a date after the year 9999.

    Args:
        what: end of a sentence whose subject is the field.
    """

    def __init__(self, what: str) -> None:
        self.what = what


def stored_payload(payload: Mapping[Any, Any]) -> dict[str, Any]:
    """Return the payload as every store keeps it: JSON values, without missing ones.

    Raises:
        InvalidDocument: naming the field and the type that cannot be stored.
    """
    try:
        return _object(payload, 1)
    except _Refused as refused:
        raise InvalidDocument(refused.sentence) from None
    except Exception as error:  # whatever the methods of a caller's values do
        raise InvalidDocument(f"the payload is not JSON: {message_of(error)}") from error


class _Refused(Exception):
    """A value that cannot be stored; its path is completed as the exception propagates."""

    def __init__(self, what: str) -> None:
        super().__init__(what)
        self.what = what
        self.path: list[str] = []

    @property
    def sentence(self) -> str:
        if not self.path:
            return f"the payload {self.what}"
        return f"the payload's field {quoted('.'.join(self.path))} {self.what}"


def _object(value: Mapping[Any, Any], depth: int) -> dict[str, Any]:
    _check_depth(depth)
    made = {}
    for key, item in value.items():
        if not isinstance(key, str):  # JSON would turn numbers into text, merging 1 and "1"
            raise _Refused(f"has the key {quoted(key)}; keys must be strings")
        if not key.strip():  # Elasticsearch rejects it, and no filter can name it
            raise _Refused(f"has the key {quoted(key)}; field names must not be blank")
        try:
            name = _text(key)
            kept = _value(item, depth)
        except _Refused as refused:
            refused.path.insert(0, str(key))
            raise
        if kept is not MISSING:
            made[name] = kept
    return made


def _list(values: Sequence[Any], depth: int) -> list[Any]:
    _check_depth(depth)
    kept = (_value(item, depth) for item in values)
    return [None if item is MISSING else item for item in kept]  # positions must not shift


def _check_depth(depth: int) -> None:
    if depth > DEEPEST:
        raise _Refused(f"is nested more than {DEEPEST} levels deep, or contains itself")


def _value(value: Any, depth: int) -> Any:
    """Convert the common types, most frequent first."""
    kind = type(value)
    if kind is str:
        return _text(value)
    if value is None or kind is bool:
        return value
    if kind is int:
        return _integer(value)
    if kind is float:
        return _float(value)
    if isinstance(value, Mapping):
        return _object(value, depth + 1)
    if isinstance(value, list | tuple):
        return _list(value, depth + 1)
    if isinstance(value, np.ndarray) and value.ndim:
        # Convert times element by element: `tolist` would turn nanoseconds into plain integers.
        return _list(value.tolist() if value.dtype.kind in "biuf" else list(value), depth + 1)
    return _scalar(value[()] if isinstance(value, np.ndarray) else value)


def _scalar(value: Any) -> Any:
    if _is_missing(value):
        return MISSING
    for kinds, made in _SCALARS:
        if isinstance(value, kinds):
            return made(value)
    if isinstance(value, Unreadable):
        raise _Refused(value.what)
    raise _Refused(f"has type {_type_name(value)}, which cannot be stored")


def _is_missing(value: Any) -> bool:
    """Whether the value is pandas' NA or NaT, numpy's NaT, or a NaN of any type."""
    if isinstance(value, Decimal):
        return value.is_nan()  # a signalling NaN cannot be compared
    if isinstance(value, float | np.inexact | np.datetime64 | np.timedelta64 | datetime):
        return bool(value != value)
    return type(value).__name__ in ("NAType", "NaTType")


def _type_name(value: Any) -> str:
    kind = type(value)
    return kind.__name__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__name__}"


def _text(value: str) -> str:
    if not value.isascii():
        try:
            value.encode()
        except UnicodeEncodeError:
            raise _Refused("is not valid Unicode (lone surrogate)") from None
    return value if type(value) is str else str.__str__(value)


def _integer(value: int) -> int | str:
    if value in _INT64:
        return value
    if value.bit_length() > _LARGEST_BITS:
        raise _Refused(f"is an integer with more than {_LARGEST_BITS} bits")
    return str(value)


def _float(value: float) -> float | _Missing:
    if math.isfinite(value):
        return value
    if math.isnan(value):
        return MISSING
    raise _Refused("is infinite, which JSON cannot represent")


def _decimal(value: Decimal) -> int | float | str:
    """Return the same number, as text if neither a float nor 64 bits can represent it exactly.

    A number with decimals stays a float even if they are zero, so a price field has one type.
    """
    exponent = value.as_tuple().exponent
    if not isinstance(exponent, int):
        raise _Refused("is infinite, which JSON cannot represent")
    if value.adjusted() > _MOST_DIGITS:
        return str(value)
    if exponent >= 0:
        return _integer(int(value))
    near = float(value)
    return near if Decimal(repr(near)) == value else f"{value:f}" if exponent > -99 else str(value)


def _duration(value: timedelta) -> str:
    seconds = Decimal(value.days * 86_400 + value.seconds)
    seconds += Decimal(value.microseconds).scaleb(-6)
    return _iso_duration(seconds + Decimal(getattr(value, "nanoseconds", 0)).scaleb(-9))  # pandas'


def _numpy_duration(value: np.timedelta64) -> str:
    unit, count = np.datetime_data(value.dtype)
    if unit not in _SECONDS:
        raise _Refused(f"has type numpy.timedelta64[{unit}], which cannot be stored")
    return _iso_duration(int(value.astype(np.int64)) * count * _SECONDS[unit])


def _iso_duration(seconds: Decimal) -> str:
    text = f"{seconds:f}"
    return f"PT{text.rstrip('0').rstrip('.') if '.' in text else text}S"


def _numpy_time(value: np.datetime64) -> str:
    """Format as Python formats times: six decimals, nine if needed, none if they are zero."""
    unit, _ = np.datetime_data(value.dtype)
    if unit in ("W", "h", "m"):
        value = value.astype(f"datetime64[{'D' if unit == 'W' else 's'}]")
    whole, _, decimals = str(np.datetime_as_string(value)).partition(".")
    decimals = decimals.rstrip("0")
    return f"{whole}.{decimals:0<{6 if len(decimals) <= 6 else 9}}" if decimals else whole


def _iso(value: date | time) -> str:
    return value.isoformat()


# The order matters: np.float64 is a float, np.str_ a str, np.bytes_ bytes, and datetime a date.
_SCALARS: Sequence[tuple[type | tuple[type, ...], Callable[[Any], Any]]] = (
    (str, _text),
    (np.bool_, bool),
    # Before np.integer, its base class.
    (np.timedelta64, _numpy_duration),
    ((int, np.integer), lambda value: _integer(int(value))),
    ((float, np.floating), lambda value: _float(float(value))),
    (np.datetime64, _numpy_time),
    ((date, time), _iso),
    (timedelta, _duration),
    (Decimal, _decimal),
    (uuid.UUID, str),
    ((bytes, bytearray, memoryview), lambda value: base64.b64encode(value).decode()),
)
