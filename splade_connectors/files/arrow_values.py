"""Converting Arrow columns to Python values in batches, isolating values that fail."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime, time, timedelta, tzinfo
from itertools import pairwise
from types import ModuleType
from typing import Any

import numpy as np

from splade_connectors.values import Unreadable

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_SECOND = 1_000_000_000


def python_values(array: Any, arrow: ModuleType) -> list[Any]:
    """Return the values of a column, None for nulls.

    Args:
        array: array of any type; equal values of a dictionary array share one object.
        arrow: the pyarrow module.
    """
    types, kind = arrow.types, array.type
    if types.is_dictionary(kind):
        known = python_values(array.dictionary, arrow)
        return [None if at is None else known[at] for at in array.indices.to_pylist()]
    if types.is_struct(kind):
        return _structs(array, arrow)
    if types.is_map(kind):
        return _maps(array, arrow)
    if types.is_list(kind) or types.is_large_list(kind):
        return list(_lists(array, python_values(_used(array.values, array.offsets), arrow)))
    if types.is_fixed_size_list(kind):
        return _fixed_lists(array, arrow)
    if getattr(kind, "unit", "") == "ns":
        return _nanoseconds(array, arrow)
    return _plain(array)


def _plain(array: Any) -> list[Any]:
    try:
        return array.to_pylist()  # type: ignore[no-any-return]
    except Exception:  # Python cannot represent one of them: a date after 9999, invalid UTF-8
        return [_one(scalar) for scalar in array]


def _one(scalar: Any) -> Any:
    try:
        return scalar.as_py()
    except Exception:
        return Unreadable(f"is a {scalar.type} that cannot be read")


def _structs(array: Any, arrow: ModuleType) -> list[Any]:
    names = [array.type.field(at).name for at in range(array.type.num_fields)]
    if len(set(names)) < len(names):
        return [Unreadable("is a struct with a duplicate field")] * len(array)
    columns = [python_values(column, arrow) for column in array.flatten()]
    rows: Any = zip(*columns, strict=True) if columns else [()] * len(array)
    valid = array.is_valid().to_pylist()
    return [
        dict(zip(names, row, strict=True)) if there else None
        for row, there in zip(rows, valid, strict=True)
    ]


def _used(values: Any, offsets: Any) -> Any:
    """The values that the lists of this batch use."""
    return values.slice(offsets[0].as_py(), offsets[-1].as_py() - offsets[0].as_py())


def _lists(array: Any, values: Sequence[Any]) -> Iterator[Any]:
    offsets = array.offsets.to_pylist()
    valid = array.is_valid().to_pylist()
    for (start, end), there in zip(pairwise(offsets), valid, strict=True):
        yield list(values[start - offsets[0] : end - offsets[0]]) if there else None


def _fixed_lists(array: Any, arrow: ModuleType) -> list[Any]:
    width = array.type.list_size
    values = python_values(array.values.slice(array.offset * width, len(array) * width), arrow)
    return [
        values[at * width : (at + 1) * width] if there else None
        for at, there in enumerate(array.is_valid().to_pylist())
    ]


def _maps(array: Any, arrow: ModuleType) -> list[Any]:
    keys = python_values(_used(array.keys, array.offsets), arrow)
    items = python_values(_used(array.items, array.offsets), arrow)
    entries = _lists(array, list(zip(keys, items, strict=True)))
    return [None if pairs is None else _map(pairs) for pairs in entries]


def _map(pairs: list[tuple[Any, Any]]) -> Any:
    """An object if the keys are strings or integers; otherwise a list of pairs."""
    if not all(isinstance(key, str | int) for key, _ in pairs):
        return [list(pair) for pair in pairs]
    made = {str(key): item for key, item in pairs}
    return made if len(made) == len(pairs) else Unreadable("is a map with a duplicate key")


def _nanoseconds(array: Any, arrow: ModuleType) -> list[Any]:
    """Times with nanoseconds, for which Python has no type."""
    types, kind = arrow.types, array.type
    numbers = array.cast(arrow.int64()).to_pylist()
    read: Callable[[int], Any]
    if types.is_duration(kind):
        read = _duration
    elif types.is_time64(kind):
        read = _time
    elif kind.tz is None:
        read = _timestamp
    else:
        zone = arrow.lib.string_to_tzinfo(kind.tz)
        return [None if number is None else _in_zone(number, zone) for number in numbers]
    return [None if number is None else read(number) for number in numbers]


def _duration(number: int) -> Any:
    return np.timedelta64(number, "ns")


def _timestamp(number: int) -> Any:
    return np.datetime64(number, "ns")


def _time(number: int) -> time | str:
    seconds, rest = divmod(number, _SECOND)
    whole = (datetime.min + timedelta(seconds=seconds)).time()
    if rest % 1000:
        return f"{whole.isoformat()}.{rest:09}"
    return whole.replace(microsecond=rest // 1000)


def _in_zone(number: int, zone: tzinfo) -> datetime | str:
    seconds, rest = divmod(number, _SECOND)
    whole = (_EPOCH + timedelta(seconds=seconds)).astimezone(zone)
    if rest % 1000:
        text = whole.isoformat()  # YYYY-MM-DDTHH:MM:SS, then the offset
        return f"{text[:19]}.{rest:09}{text[19:]}"
    return whole.replace(microsecond=rest // 1000)
