"""Reading rows from CSV and TSV within a memory bound."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import IO, Any, Literal

from splade_connectors.documents import Rejected
from splade_connectors.errors import ConfigurationError
from splade_connectors.files import limits
from splade_connectors.files.encodings import encoding_error
from splade_connectors.files.limits import NumberedRow, rejected
from splade_connectors.files.table_lines import TableLines, TooLong, csv_reason
from splade_connectors.shown import counted, quoted

# Makes the names of columns of a header.
Naming = Callable[[Sequence[str]], list[str]]
# Name of a column that is dropped.
NAMELESS = ""
# Delimiters seen in practice; a header that contains one has more than one column.
_DELIMITERS = ",;\t|"
# Delimiters with the same quoting rules as commas.
_LIKE_COMMAS = ";|"


def csv_rows(
    data: IO[bytes], name: str, delimiter: str | None = None, naming: Naming = list
) -> Iterator[NumberedRow]:
    """Yield the rows of CSV; fields with commas, line breaks or quotation marks are quoted.

    Args:
        data: stream in UTF-8.
        name: file name, for messages.
        delimiter: None means a comma, unless the header clearly uses another one.
        naming: returns the columns' names for the header; "" drops a column.
    """
    return _table_rows(data, name, naming, delimiter, ",", csv.QUOTE_MINIMAL)


def tsv_rows(
    data: IO[bytes], name: str, delimiter: str | None = None, naming: Naming = list
) -> Iterator[NumberedRow]:
    """Yield the rows of TSV, which has no quoting: quotation marks are ordinary characters.

    Args:
        data: stream in UTF-8.
        name: file name, for messages.
        delimiter: None means a tab.
        naming: as in `csv_rows`.
    """
    return _table_rows(data, name, naming, delimiter, "\t", csv.QUOTE_NONE)


def _table_rows(
    data: IO[bytes],
    name: str,
    naming: Naming,
    delimiter: str | None,
    usual: str,
    quoting: Literal[0, 3],
) -> Iterator[NumberedRow]:
    csv.field_size_limit(max(csv.field_size_limit(), limits.LONGEST_LINE))
    text = io.TextIOWrapper(data, encoding="utf-8", newline="")
    # Counts lines for messages, even if the header is invalid.
    lines = TableLines(text)
    try:
        first = next((line for line in lines if line.strip("\r\n")), None)
        if first is None:
            return
        used = delimiter or _delimiter_of(first, usual, name)
        lines.put_back(first)
        reader = csv.reader(lines, delimiter=used, quoting=quoting, strict=True)
        header = naming(next(row for row in reader if row))
        check_columns(header, name)
        yield from _rows(reader, lines, header, used)
    except UnicodeDecodeError as error:
        raise encoding_error(name, error, f" after line {lines.read}") from error
    except csv.Error as error:  # of the header
        where = f"after line {lines.read}"
        raise ConfigurationError(f"cannot read {name} {where}: {csv_reason(error)}") from error
    finally:
        if not data.closed:
            text.detach()  # otherwise it closes the file, which `fraction` still needs


def _rows(
    reader: Iterator[list[str]], lines: TableLines, header: Sequence[str], delimiter: str
) -> Iterator[NumberedRow]:
    """Yield the rows after the header, and malformed ones as rejections."""
    while True:
        lines.begin_row()
        start = lines.read + 1
        try:
            cells = next(reader, None)
        except TooLong as error:
            yield start, rejected(start, _malformed(start, lines.read - start + 1, error))
            continue
        except csv.Error as error:
            size = lines.skip_row(len(header), delimiter)
            yield start, rejected(start, _malformed(start, size, error))
            continue
        if cells is None:
            return
        if cells:
            yield lines.read, _table_row(header, cells, lines.read)


def _malformed(start: int, size: int, error: csv.Error) -> str:
    if size > 1:
        return f"lines {start} to {start + size - 1} cannot be read as CSV: {csv_reason(error)}"
    return f"line {start} cannot be read as CSV: {csv_reason(error)}"


def _table_row(
    header: Sequence[str], cells: Sequence[str], line: int
) -> Mapping[str, Any] | Rejected:
    more = len(cells) - len(header)
    if more > 0:
        return rejected(
            line, f"line {line} has {counted(more, 'more cell', 'more cells')} than the header"
        )
    row = dict(zip(header, cells, strict=False))  # a shorter line lacks the last fields
    row.pop(NAMELESS, None)
    return row


def check_columns(names: Sequence[str], file: str) -> None:
    """Refuse a table with two columns of one name.

    Raises:
        ConfigurationError: naming the columns.
    """
    for number, name in enumerate(names, start=1):
        first = names.index(name) + 1
        if first < number and name != NAMELESS:
            raise ConfigurationError(
                f"columns {first} and {number} of {file} are both named {quoted(name)}; rename one"
            )


def _delimiter_of(line: str, usual: str, file: str) -> str:
    """Detect the delimiter of a header, which has at least two columns: an id and a text.

    Raises:
        ConfigurationError: if it is not certain, suggesting an option.
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
        f"the header of {file} is a single column, {quoted(header)}: it seems to be separated by "
        f"{used!r}, not {usual!r}; pass " + way.get(used, f"--delimiter {used!r}")
    )
