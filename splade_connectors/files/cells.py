"""What a column's values become where somebody says it, or where a table is looked at for it."""

from __future__ import annotations

import json
import math
import re
import shlex
from collections.abc import Callable, Collection, Iterable, Mapping
from decimal import Decimal
from typing import Any

from splade_connectors.errors import ConfigurationError, InvalidDocument
from splade_connectors.shown import quoted

# Of a table that is looked at: more rows tell nothing new of most, and have to be kept.
LOOKED_AT = 1000
_INTEGER = re.compile(r"[+-]?[0-9]{1,300}")
_FLOAT = re.compile(r"[+-]?([0-9]{1,300}(\.[0-9]*)?|\.[0-9]+)(e[+-]?[0-9]{1,3})?", re.IGNORECASE)
# What is a number beyond doubt: 007 is a code, +49 begins a telephone number.
_SURELY_INTEGER = re.compile(r"0|-?[1-9][0-9]{0,17}")
_SURELY_FLOAT = re.compile(r"-?(0|[1-9][0-9]*)(\.[0-9]+)?(e[+-]?[0-9]{1,2})?", re.IGNORECASE)
_TRUE, _FALSE = {"true", "yes", "1"}, {"false", "no", "0"}
_SURELY_BOOL = {"true", "false"}
# What the type of a number has for "no number", in every program that writes tables.
_NAN = "nan"
# Words that often stand for no value. Only the owner of a file knows, so they are asked for.
_OFTEN_NULL = {"na", "n/a", "n.a.", "#n/a", "null", "none", "nil", "-", "--", "?"}


def check_types(types: Mapping[str, str]) -> None:
    """Refuse types that are none.

    Raises:
        ConfigurationError: naming those that there are.
    """
    for column, kind in types.items():
        if kind not in _READ:
            raise ConfigurationError(
                f"the type {kind!r} of {quoted(column)} (--type) is not known; known are "
                f"{', '.join(_READ)}"
            )


def typed(
    fields: dict[str, Any], types: Mapping[str, str], null_words: Collection[str] = ()
) -> None:
    """Make the fields what their types say; a cell without a value is not a field.

    Args:
        fields: of a row; changed.
        types: of the columns that have one.
        null_words: that are no value in them, beside the empty cell.

    Raises:
        InvalidDocument: naming the field that is none of that.
    """
    for name, kind in types.items():
        value = fields.get(name)
        if value is None:
            continue
        made = _read(value, kind, null_words)
        if made is _NOTHING:
            del fields[name]
        elif made is _WRONG:
            raise _refusal(name, kind, value)
        else:
            fields[name] = made


def _refusal(name: str, kind: str, value: Any) -> InvalidDocument:
    """Reasons are printed and logged: of the values, they quote only words that mean none."""
    word = value.strip() if isinstance(value, str) else ""
    if word.lower() in _OFTEN_NULL:
        return InvalidDocument(
            f"the field {quoted(name)} is {quoted(word)}, which is not of type {kind}: "
            f"--null {shlex.quote(word)} makes it a missing value"
        )
    return InvalidDocument(
        f"the field {quoted(name)} is not of type {kind}: --type {name}=text keeps it as it is",
        detail=f"the field {quoted(name)} is {quoted(value)}",
    )


def found_types(
    rows: Iterable[Mapping[str, Any]], without: Iterable[str], null_words: Collection[str] = ()
) -> dict[str, str]:
    """The types of a table's columns, by all rows that were looked at.

    Args:
        rows: some, as text.
        without: columns that stay text.
        null_words: as in `typed`.
    """
    cells: dict[str, list[str]] = {}
    for row in rows:
        for name, value in row.items():
            if value.strip() and value.strip() not in null_words:
                cells.setdefault(name, []).append(value.strip())
    names = cells.keys() - set(without)
    found = {name: _found_type(cells[name]) for name in cells if name in names}
    return {name: kind for name, kind in found.items() if kind is not None}


def _found_type(cells: list[str]) -> str | None:
    if all(cell.lower() in _SURELY_BOOL for cell in cells):
        return "bool"
    numbers = [cell for cell in cells if cell.lower() != _NAN]
    if not numbers:
        return None
    if all(_SURELY_INTEGER.fullmatch(cell) for cell in numbers):
        return "int"
    return "float" if all(map(_surely_float, numbers)) else None


def _surely_float(cell: str) -> bool:
    """Whether it is a number that a float holds as it stands there."""
    return bool(_SURELY_FLOAT.fullmatch(cell)) and Decimal(repr(float(cell))) == Decimal(cell)


class _Sign:
    """What reading a cell may give beside a value."""


_NOTHING, _WRONG = _Sign(), _Sign()


def _read(value: Any, kind: str, null_words: Collection[str]) -> Any:
    if isinstance(value, str) and kind != "text":
        value = value.strip()
        if not value or value in null_words:
            return _NOTHING
    try:
        return _READ[kind](value)
    except (ValueError, TypeError, OverflowError, RecursionError):
        return _WRONG


def _as_text(value: Any) -> Any:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _as_int(value: Any) -> Any:
    if isinstance(value, str):
        if value.lower() == _NAN:
            return _NOTHING
        return int(value) if _INTEGER.fullmatch(value) else _WRONG
    if isinstance(value, float) and math.isnan(value):
        return _NOTHING
    return int(value) if not isinstance(value, bool) and int(value) == value else _WRONG


def _as_float(value: Any) -> Any:
    if isinstance(value, str):
        if value.lower() == _NAN:
            return _NOTHING
        return float(value) if _FLOAT.fullmatch(value) else _WRONG
    return float(value) if not isinstance(value, bool) else _WRONG


def _as_bool(value: Any) -> Any:
    if isinstance(value, bool):
        return value
    word = str(value).lower()
    return word in _TRUE if word in _TRUE | _FALSE else _WRONG


def _as_json(value: Any) -> Any:
    return json.loads(value) if isinstance(value, str) else value


_READ: dict[str, Callable[[Any], Any]] = {
    "text": _as_text,
    "int": _as_int,
    "float": _as_float,
    "bool": _as_bool,
    "json": _as_json,
}
