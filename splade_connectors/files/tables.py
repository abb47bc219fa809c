"""CSV and TSV to rows, in memory that no cell can exceed."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Mapping, Sequence
from itertools import chain
from typing import IO, Any, Literal

from splade_connectors.documents import Rejected
from splade_connectors.errors import ConfigurationError
from splade_connectors.files import limits
from splade_connectors.files.encodings import not_this_encoding
from splade_connectors.files.limits import NumberedRow, rejected
from splade_connectors.shown import quoted

# What separates cells in the wild. A header with one of these is not about one column.
_DELIMITERS = ",;\t|"
# Cells that hold one of these are quoted in the same way as those with commas.
_LIKE_COMMAS = ";|"


def csv_rows(data: IO[bytes], name: str, delimiter: str | None = None) -> Iterator[NumberedRow]:
    """The rows of CSV: fields with commas, line breaks or quotation marks stand in such marks.

    Args:
        data: in UTF-8.
        name: of the file.
        delimiter: None takes the comma, or what else the header is certainly separated by.
    """
    return _table_rows(data, name, delimiter, ",", csv.QUOTE_MINIMAL)


def tsv_rows(data: IO[bytes], name: str, delimiter: str | None = None) -> Iterator[NumberedRow]:
    """The rows of TSV, which has no quoting: a quotation mark is a character like any other.

    Args:
        data: in UTF-8.
        name: of the file.
        delimiter: None takes the tab.
    """
    return _table_rows(data, name, delimiter, "\t", csv.QUOTE_NONE)


def _table_rows(
    data: IO[bytes], name: str, delimiter: str | None, usual: str, quoting: Literal[0, 3]
) -> Iterator[NumberedRow]:
    csv.field_size_limit(max(csv.field_size_limit(), limits.LONGEST_LINE))
    text = io.TextIOWrapper(data, encoding="utf-8", newline="")
    # Lines that have been read, also of a header that cannot be.
    lines = _Lines(text)
    try:
        first = next((line for line in lines if line.strip("\r\n")), None)
        if first is None:
            return
        used = delimiter or _delimiter_of(first, usual, name)
        reader = csv.reader(chain([first], lines), delimiter=used, quoting=quoting, strict=True)
        rows = (row for row in reader if row)
        header = next(rows)
        check_columns(header, name)
        for cells in rows:
            yield lines.read, _table_row(header, cells, lines.read)
    except UnicodeDecodeError as error:
        raise not_this_encoding(name, error, f" after line {lines.read}") from error
    except csv.Error as error:
        where = f"after line {lines.read}"
        raise ConfigurationError(f"{name} cannot be read {where}: {error}") from error
    finally:
        if not data.closed:
            text.detach()  # or it closes the file, which `fraction` still asks


class _Lines:
    """The lines of a text, counted, each of a bounded length."""

    def __init__(self, text: io.TextIOWrapper) -> None:
        self._text = text
        self.read = 0

    def __iter__(self) -> Iterator[str]:
        return self

    def __next__(self) -> str:
        line = self._text.readline(limits.LONGEST_LINE)
        if not line:
            raise StopIteration
        if len(line) == limits.LONGEST_LINE and not line.endswith(("\n", "\r")):
            raise csv.Error(f"the next line is longer than {limits.LONGEST_LINE:,} characters")
        self.read += 1
        return line


def _table_row(
    header: Sequence[str], cells: Sequence[str], line: int
) -> Mapping[str, Any] | Rejected:
    more = len(cells) - len(header)
    if more > 0:
        return rejected(line, f"line {line} has {more} more cells than the header")
    return dict(zip(header, cells, strict=False))  # fields are absent where the line has fewer


def check_columns(names: Sequence[str], file: str) -> None:
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


def _delimiter_of(line: str, usual: str, file: str) -> str:
    """What separates the cells of a header; it has two columns at least, an id and a text.

    Raises:
        ConfigurationError: where it is not certain, naming what it may be.
    """
    header = line.strip("\r\n")
    others = [other for other in _DELIMITERS if other in header]
    if usual in others or not others:
        return usual
    if usual == "," and len(others) == 1 and others[0] in _LIKE_COMMAS:
        return others[0]
    used = max(others, key=header.count)
    way = {"\t": "--format tsv, or --delimiter tab if cells are quoted", ",": "--format csv"}
    raise ConfigurationError(
        f"the header of {file} is one column, {quoted(header)}: its fields are separated by "
        f"{used!r}, not by {usual!r}; " + way.get(used, f"--delimiter {used!r}")
    )
