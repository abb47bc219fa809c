"""Formats to rows: JSONL, CSV, TSV and Parquet, row by row, in memory that no row can exceed."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator, Mapping, Sequence
from typing import IO, Any, Literal

from splade_connectors.documents import Rejected
from splade_connectors.errors import ConfigurationError
from splade_connectors.extras import require
from splade_connectors.shown import quoted

NumberedRow = tuple[int, Mapping[str, Any] | Rejected]

KINDS = {str: "text", bool: "true/false", int: "a number", float: "a number", list: "a list"}
# More fits into no request of any store. An archive of a megabyte may hold a line of gigabytes.
LONGEST_LINE = 100_000_000
_PARQUET_ROWS = 1024
_DELIMITERS = ",;\t|"
_JSON_SCALARS = (str, bool, int, float)


def json_rows(data: IO[bytes]) -> Iterator[NumberedRow]:
    """The objects of JSONL, with their line numbers; what is none is rejected."""
    for line, raw in enumerate(_bounded_lines(data), start=1):
        if raw is None:
            yield line, _rejected(line, f"line {line} is longer than {LONGEST_LINE:,} bytes")
            continue
        if not raw.strip():
            continue
        try:
            text = raw.decode("utf-8-sig" if line == 1 else "utf-8")
            row = json.loads(text, object_pairs_hook=_object)
        except _Repeated as error:
            yield line, _rejected(line, f"line {line} names {quoted(error.name)} twice")
        except (ValueError, RecursionError) as error:  # undecodable, broken, or nested too deep
            yield line, _rejected(line, f"line {line} is not JSON: {error}")
        else:
            if isinstance(row, dict):
                yield line, row
            else:
                kind = KINDS.get(type(row), "null")
                yield line, _rejected(line, f"line {line} is {kind}, not a JSON object")


def csv_rows(data: IO[bytes], name: str) -> Iterator[NumberedRow]:
    """The rows of CSV: fields with commas, line breaks or quotation marks stand in such marks."""
    return _table_rows(data, name, delimiter=",", quoting=csv.QUOTE_MINIMAL)


def tsv_rows(data: IO[bytes], name: str) -> Iterator[NumberedRow]:
    """The rows of TSV, which has no quoting: a quotation mark is a character like any other."""
    return _table_rows(data, name, delimiter="\t", quoting=csv.QUOTE_NONE)


def parquet_rows(file: IO[bytes], name: str) -> Iterator[NumberedRow]:
    """The rows of Parquet, their values as Python has them."""
    parquet = require("pyarrow.parquet", "parquet", "reading Parquet")
    try:
        table = parquet.ParquetFile(file)
        columns = table.schema_arrow.names
    except Exception as error:  # pyarrow's error classes come with pyarrow
        raise ConfigurationError(f"{name} is no Parquet file: {error}") from error
    _check_columns(columns, name)
    number = 0
    batches = table.iter_batches(batch_size=_PARQUET_ROWS)
    while True:
        try:
            batch = next(batches, None)
            rows = [] if batch is None else batch.to_pylist()
        except Exception as error:
            where = f"after row {number}"
            raise ConfigurationError(f"{name} cannot be read {where}: {error}") from error
        if batch is None:
            return
        for row in rows:
            number += 1
            yield number, row


class _Repeated(ValueError):
    """An object has two fields of one name: which of them is meant, nobody knows."""

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.name = name


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    made = dict(pairs)
    if len(made) < len(pairs):
        names = [name for name, _ in pairs]
        raise _Repeated(next(name for name in names if names.count(name) > 1))
    return made


def _rejected(line: int, reason: str) -> Rejected:
    return Rejected(id=None, line=line, reason=reason, final=True)


def _bounded_lines(data: IO[bytes]) -> Iterator[bytes | None]:
    """The lines; None for one that is too long, which is passed over."""
    while raw := data.readline(LONGEST_LINE):
        if len(raw) < LONGEST_LINE or raw.endswith(b"\n"):
            yield raw
            continue
        del raw
        while (rest := data.readline(1 << 20)) and not rest.endswith(b"\n"):
            pass
        yield None


def _table_rows(
    data: IO[bytes], name: str, *, delimiter: str, quoting: Literal[0, 3]
) -> Iterator[NumberedRow]:
    csv.field_size_limit(max(csv.field_size_limit(), LONGEST_LINE))
    text = io.TextIOWrapper(data, encoding="utf-8-sig", newline="")
    reader = csv.reader(
        _text_lines(text),
        delimiter=delimiter,
        quoting=quoting,
        strict=True,
    )
    try:
        rows = (row for row in reader if row)
        header = next(rows, None)
        if header is None:
            return
        _check_columns(header, name)
        _check_delimiter(header, delimiter, name)
        for cells in rows:
            yield reader.line_num, _table_row(header, cells, reader.line_num)
    except UnicodeDecodeError as error:
        where = f"after line {reader.line_num}"
        raise ConfigurationError(
            f"{name} is not UTF-8 {where} ({error.reason}): save it as UTF-8"
        ) from error
    except csv.Error as error:
        where = f"after line {reader.line_num}"
        raise ConfigurationError(f"{name} cannot be read {where}: {error}") from error
    finally:
        if not data.closed:
            text.detach()  # or it closes the file, which `fraction` still asks


def _table_row(
    header: Sequence[str], cells: Sequence[str], line: int
) -> Mapping[str, Any] | Rejected:
    more = len(cells) - len(header)
    if more > 0:
        return _rejected(line, f"line {line} has {more} more cells than the header")
    return dict(zip(header, cells, strict=False))  # fields are absent where the line has fewer


def _text_lines(text: io.TextIOWrapper) -> Iterator[str]:
    while line := text.readline(LONGEST_LINE):
        if len(line) == LONGEST_LINE and not line.endswith(("\n", "\r")):
            raise csv.Error(f"the next line is longer than {LONGEST_LINE:,} characters")
        yield line


def _check_columns(names: Sequence[str], file: str) -> None:
    """Refuse a table in which a column would be lost, or have no name to be stored under.

    Raises:
        ConfigurationError: naming the columns.
    """
    for number, name in enumerate(names, start=1):
        if not name:
            raise ConfigurationError(
                f"column {number} of {file} has no name: name it, or leave it out"
            )
        first = names.index(name) + 1
        if first < number:
            raise ConfigurationError(
                f"columns {first} and {number} of {file} are both named {quoted(name)}: rename one"
            )


def _check_delimiter(header: Sequence[str], delimiter: str, file: str) -> None:
    """Refuse a table of one column whose name is a header with another delimiter.

    Raises:
        ConfigurationError: naming the delimiter.
    """
    others = [other for other in _DELIMITERS if len(header) == 1 and other in header[0]]
    if others:
        used = max(others, key=header[0].count)
        way = "--format tsv" if used == "\t" else "--format csv" if used == "," else ""
        raise ConfigurationError(
            f"the header of {file} is one column, {quoted(header[0])}: its fields are separated by "
            f"{used!r}, not by {delimiter!r}; " + (way or f"save it with {delimiter!r}")
        )
