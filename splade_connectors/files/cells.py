"""Converting cells to the types of their columns, given or inferred."""

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

# Rows used for type inference: more would rarely change the result, and must be kept in memory.
LOOKED_AT = 1000
_INTEGER = re.compile(r"[+-]?[0-9]{1,300}")
_FLOAT = re.compile(r"[+-]?([0-9]{1,300}(\.[0-9]*)?|\.[0-9]+)(e[+-]?[0-9]{1,3})?", re.IGNORECASE)
# Unambiguous numbers only: 007 is a code, +49 the start of a telephone number.
_SURELY_INTEGER = re.compile(r"0|-?[1-9][0-9]{0,17}")
_SURELY_FLOAT = re.compile(r"-?(0|[1-9][0-9]*)(\.[0-9]+)?(e[+-]?[0-9]{1,2})?", re.IGNORECASE)
_TRUE, _FALSE = {"true", "yes", "1"}, {"false", "no", "0"}
_SURELY_BOOL = {"true", "false"}
# How every program that writes tables spells a missing number.
_NAN = "nan"
# Words that often mean a missing value; only the owner of the file knows, so we suggest --null.
_OFTEN_NULL = {"na", "n/a", "n.a.", "#n/a", "null", "none", "nil", "-", "--", "?"}


def check_types(types: Mapping[str, str]) -> None:
    """Validate column types.

    Raises:
        ConfigurationError: naming the known ones.
    """
    for column, kind in types.items():
        if kind not in _READ:
            raise ConfigurationError(
                f"unknown type {kind!r} of {quoted(column)} (--type); choose one of "
                f"{', '.join(_READ)}"
            )


def typed(
    fields: dict[str, Any], types: Mapping[str, str], null_words: Collection[str] = ()
) -> None:
    """Convert fields to their types in place, removing those without a value.

    Args:
        fields: fields of a row, modified in place.
        types: column -> type.
        null_words: words that mean a missing value, in addition to the empty cell.

    Raises:
        InvalidDocument: naming the field that cannot be converted.
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
    """The error, which is printed and logged and so quotes only words that mean no value."""
    word = value.strip() if isinstance(value, str) else ""
    if word.lower() in _OFTEN_NULL:
        return InvalidDocument(
            f"the field {quoted(name)} is {quoted(word)}, which is not of type {kind}; to treat it "
            f"as missing, pass --null {shlex.quote(word)}"
        )
    return InvalidDocument(
        f"the field {quoted(name)} is not of type {kind}; --type {name}=text keeps it as is",
        detail=f"the field {quoted(name)} is {quoted(value)}",
    )


def found_types(
    rows: Iterable[Mapping[str, Any]], without: Iterable[str], null_words: Collection[str] = ()
) -> dict[str, str]:
    """Infer the types of a table's columns from the given rows.

    Args:
        rows: sample rows, as text.
        without: columns that remain text.
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
    """Whether it is a number that a float represents exactly as written."""
    return bool(_SURELY_FLOAT.fullmatch(cell)) and Decimal(repr(float(cell))) == Decimal(cell)


class _Sign:
    """A result of reading a cell other than a value."""


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
