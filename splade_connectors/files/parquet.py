"""Reading rows from Parquet within a memory bound that the file cannot influence.

A megabyte may expand to terabytes: pages are compressed, values are in dictionaries, nulls are run
lengths. Page headers are read before the pages (`pages`), batches are as small as the pages
require, and a dictionary value is one object however often it occurs.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from types import ModuleType
from typing import IO, Any

from splade_connectors.documents import Rejected
from splade_connectors.errors import ConfigurationError
from splade_connectors.extras import require
from splade_connectors.files import limits
from splade_connectors.files.arrow_values import python_values
from splade_connectors.files.limits import NumberedRow, rejected
from splade_connectors.files.pages import Page, TooLarge, pages_of
from splade_connectors.files.tables import Naming, check_columns

_MOST_ROWS = 1024
_BATCH_BYTES = 16_000_000
_BUFFER_BYTES = 1 << 20
# Text and bytes are read as dictionaries; other logical types kept in bytes, such as decimals and
# JSON, are not.
_IN_DICTIONARIES = {"NONE", "STRING", "ENUM"}


def parquet_rows(file: IO[bytes], name: str, naming: Naming = list) -> Iterator[NumberedRow]:
    """Yield the rows of a Parquet file as Python values.

    Args:
        file: seekable file.
        name: file name, for messages.
        naming: as in `csv_rows`.

    Raises:
        ConfigurationError: if the file cannot be read, or needs too much memory.
    """
    arrow = require("pyarrow", "parquet", "reading Parquet")
    table = _opened(file, name)
    names = naming(table.schema_arrow.names)
    check_columns(names, name)
    number = 0
    for group in range(table.num_row_groups):
        batches = _batches(table, file, group)
        while True:
            try:
                batch = next(batches, None)
                rows = [] if batch is None else _rows(batch, names, arrow)
            except TooLarge as error:
                raise ConfigurationError(f"row group {group} of {name} {error}") from error
            except Exception as error:  # pyarrow's error classes exist only if it is installed
                where = f"after row {number}"
                raise ConfigurationError(f"cannot read {name} {where}: {error}") from error
            if batch is None:
                break
            for row in rows:
                number += 1
                yield number, _bounded(number, row)


def _opened(file: IO[bytes], name: str) -> Any:
    parquet = require("pyarrow.parquet", "parquet", "reading Parquet")
    if not file.seekable():
        raise ConfigurationError(
            "Parquet cannot be read from stdin, because its metadata is at the end; name a file"
        )
    try:
        return parquet.ParquetFile(
            file,
            read_dictionary=_in_dictionaries(parquet.read_metadata(file)),
            buffer_size=_BUFFER_BYTES,
            pre_buffer=False,
            # Dates like 9999-12-31 would overflow as nanoseconds.
            coerce_int96_timestamp_unit="us",
        )
    except Exception as error:
        raise ConfigurationError(f"{name} is not a Parquet file: {error}") from error


def _in_dictionaries(metadata: Any) -> list[str]:
    """The columns whose texts are dictionary-encoded."""
    leaves = [metadata.schema.column(at) for at in range(metadata.num_columns)]
    return [
        leaf.path
        for at, leaf in enumerate(leaves)
        if leaf.physical_type == "BYTE_ARRAY"
        and leaf.logical_type.type in _IN_DICTIONARIES
        and any(
            metadata.row_group(group).column(at).has_dictionary_page
            for group in range(metadata.num_row_groups)
        )
    ]


def _batches(table: Any, file: IO[bytes], group: int) -> Iterator[Any]:
    """The batches of a row group, sized to fit the memory bound."""
    found = table.metadata.row_group(group)
    weights = [
        _row_bytes(table.schema.column(at), pages_of(file, found.column(at)), found.num_rows)
        for at in range(found.num_columns)
    ]
    rows = max(1, min(_MOST_ROWS, int(_BATCH_BYTES / max(1.0, sum(weights)))))
    yield from table.iter_batches(batch_size=rows, row_groups=[group])


def _row_bytes(leaf: Any, pages: list[Page], rows: int) -> float:
    """Estimated bytes of this column per row, where rows are largest.

    Raises:
        TooLarge: if a row has more values than any store accepts.
    """
    values = sum(page.values for page in pages)
    a_row = values / max(1, rows)
    if a_row * limits.SMALLEST_VALUE > limits.LONGEST_LINE:
        raise TooLarge(f"has {a_row:,.0f} values per row in {leaf.path!r}")
    largest = max((page.size / max(1, page.values) for page in pages), default=0.0)
    return max(a_row, 1.0) * max(largest, float(leaf.length), 8.0)


def _rows(batch: Any, names: Sequence[str], arrow: ModuleType) -> Iterator[dict[str, Any]]:
    named = [(name, column) for name, column in zip(names, batch.columns, strict=True) if name]
    columns = [python_values(column, arrow) for _, column in named]
    names = [name for name, _ in named]
    return (dict(zip(names, values, strict=True)) for values in zip(*columns, strict=True))


def _bounded(number: int, row: Mapping[str, Any]) -> Mapping[str, Any] | Rejected:
    if _weight(row) <= limits.LONGEST_LINE:
        return row
    return rejected(number, f"row {number} is longer than {limits.LONGEST_LINE:,} bytes")


def _weight(value: Any) -> int:
    """Total length of all texts; numbers are bounded when they are read."""
    if isinstance(value, str | bytes):
        return len(value)
    if isinstance(value, dict):
        return sum(map(_weight, value.values()))
    if isinstance(value, list) and value and not isinstance(value[0], int | float):
        return sum(map(_weight, value))
    return 0
