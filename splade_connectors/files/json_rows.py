"""Reading rows from JSON, as lines or one array of objects, within a memory bound."""

from __future__ import annotations

import json
import re
from collections.abc import Generator, Iterator
from typing import IO, Any

from splade_connectors.errors import ConfigurationError
from splade_connectors.files import limits
from splade_connectors.files.limits import NumberedRow, rejected
from splade_connectors.shown import quoted

KINDS = {str: "text", bool: "true/false", int: "a number", float: "a number", list: "a list"}
_CHUNK = 1 << 16
# What may end a string, and the structural characters outside strings.
_IN_TEXT = re.compile(rb'[\\"]')
_OUTSIDE = re.compile(rb'["\[\]{},]')
_STEPS = {b"[": 1, b"{": 1, b"]": -1, b"}": -1, b",": 0}


def json_rows(data: Any, name: str) -> Iterator[NumberedRow]:
    """Yield the objects of JSON, an array or lines depending on the first character."""
    if data.peek(_CHUNK).lstrip()[:1] == b"[":
        return _array_rows(data, name)
    return line_rows(data)


def line_rows(data: IO[bytes]) -> Iterator[NumberedRow]:
    """Yield the objects of JSONL with their line numbers; invalid lines are rejected."""
    for line, raw in enumerate(_bounded_lines(data), start=1):
        if raw is None or raw.strip():
            yield line, _row(line, raw)


def _array_rows(data: IO[bytes], name: str) -> Iterator[NumberedRow]:
    """Yield the objects of an array, with the lines where they start.

    Raises:
        ConfigurationError: if the array is not closed, or more data follows it.
    """
    items = _items(data)
    while True:
        try:
            item = next(items)
        except StopIteration as end:
            _check_end(end.value, name)
            return
        if not item.last or item.raw is None or item.raw.strip():
            yield item.line, _row(item.line, item.raw)


def _check_end(rest: bytes | None, name: str) -> None:
    if rest is None:
        raise ConfigurationError(f"{name} is truncated: its JSON array is not closed")
    if rest.strip():
        raise ConfigurationError(
            f"{name} has more data after its JSON array; it must be a single array, or lines"
        )


def _row(line: int, raw: bytes | None) -> Any:
    if raw is None:
        return rejected(line, f"line {line} is longer than {limits.LONGEST_LINE:,} bytes")
    try:
        row = json.loads(raw.decode(), object_pairs_hook=_object)
    except _Repeated as error:
        return rejected(line, f"line {line} has the field {quoted(error.name)} twice")
    except (ValueError, RecursionError) as error:  # undecodable, invalid, or nested too deeply
        return rejected(line, f"line {line} is not JSON: {error}")
    if isinstance(row, dict):
        return row
    return rejected(line, f"line {line} is {KINDS.get(type(row), 'null')}, not a JSON object")


class _Repeated(ValueError):
    """An object has two fields with the same name, which is ambiguous."""

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.name = name


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    made = dict(pairs)
    if len(made) < len(pairs):
        names = [name for name, _ in pairs]
        raise _Repeated(next(name for name in names if names.count(name) > 1))
    return made


def _bounded_lines(data: IO[bytes]) -> Iterator[bytes | None]:
    """Yield the lines; None for one that is too long, which is skipped."""
    while raw := data.readline(limits.LONGEST_LINE):
        if len(raw) < limits.LONGEST_LINE or raw.endswith(b"\n"):
            yield raw
            continue
        del raw
        while (rest := data.readline(1 << 20)) and not rest.endswith(b"\n"):
            pass
        yield None


class _Item:
    """The bytes of an array between two commas, discarded if they are too many.

    Args:
        line: line where it starts, including whitespace.

    Attributes:
        line: line where it starts.
        next_line: line where it ends.
        last: whether it is the last item.
    """

    def __init__(self, line: int) -> None:
        self.line = self.next_line = line
        self.last = False
        self._parts: list[bytes] = []
        self._size = 0

    def add(self, part: bytes) -> None:
        """Append bytes."""
        if not self._size:  # only whitespace so far
            rest = part.lstrip()
            self.line += part.count(b"\n", 0, len(part) - len(rest))
            self._size += len(rest)
        else:
            self._size += len(part)
        self.next_line += part.count(b"\n")
        if self._size <= limits.LONGEST_LINE:
            self._parts.append(part)
        else:
            self._parts.clear()

    @property
    def raw(self) -> bytes | None:
        """The bytes of the item; None if it is too long."""
        return b"".join(self._parts) if self._size <= limits.LONGEST_LINE else None


class _Scanner:
    """Finds structural characters of JSON outside strings, chunk by chunk."""

    def __init__(self) -> None:
        self._in_text = False
        self._skipped = 0

    def marks(self, chunk: bytes) -> Iterator[tuple[int, bytes]]:
        """Yield brackets, braces and commas, each with its end position."""
        at = self._skipped
        while at <= len(chunk):
            found = (_IN_TEXT if self._in_text else _OUTSIDE).search(chunk, at)
            if found is None:
                break
            at, mark = found.end(), found[0]
            if mark == b'"':
                self._in_text = not self._in_text
            elif mark == b"\\":
                at += 1  # the escaped character, possibly in the next chunk
            else:
                yield at, mark
        self._skipped = max(0, at - len(chunk))


def _items(data: IO[bytes]) -> Generator[_Item, None, bytes | None]:
    """Yield the items of an array without parsing them, so that a broken one affects no other.

    Returns:
        The data after the array; None if it is not closed.
    """
    scanner, item, depth = _Scanner(), _Item(1), 0
    while chunk := data.read(_CHUNK):
        start = 0
        for at, mark in scanner.marks(chunk):
            depth += _STEPS[mark]
            if depth == 1 and mark == b"[":
                item, start = _Item(1 + chunk.count(b"\n", 0, at)), at
            elif depth <= 0 or (depth == 1 and mark == b","):
                item.add(chunk[start : at - 1])
                item.last = depth <= 0
                yield item
                if item.last:
                    return chunk[at:] + data.read(_CHUNK)
                item, start = _Item(item.next_line), at
        item.add(chunk[start:])
    return None
