"""Reading the headers of Parquet pages, to know how large a page is before decompressing it.

They are read here because the file's footer can claim anything, and pyarrow allocates whatever a
page's own header asks for. The encoding is Thrift's compact protocol, limited to the types that
occur in page headers.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import IO, Any

# Pages are decompressed whole. Most writers use pages of 1 MB; DuckDB's are up to 100 MB.
LARGEST_PAGE = 256_000_000
_STOP, _TRUE, _FALSE, _BYTE, _DOUBLE, _BINARY, _STRUCT = 0, 1, 2, 3, 7, 8, 12
_INTEGERS = (4, 5, 6)
_DEEPEST = 8
# Field numbers in a page header: sizes, and the nested headers with the number of values.
_UNPACKED, _PACKED = 2, 3
_DATA, _DICTIONARY, _DATA_2 = 5, 7, 8
_VALUES = 1


class TooLarge(ValueError):
    """A file needs more memory than it is allowed."""


class Damaged(ValueError):
    """There is no valid page where one should start."""


@dataclass(frozen=True, slots=True)
class Page:
    """A page as its header describes it.

    Attributes:
        values: number of values, nulls included.
        size: uncompressed size in bytes.
    """

    values: int
    size: int


def pages_of(file: IO[bytes], column: Any) -> list[Page]:
    """Return the pages of a column chunk, including its dictionary.

    Args:
        file: the whole file.
        column: pyarrow's description of the chunk.

    Raises:
        TooLarge: if a page is too large.
        Damaged: if there is no valid page.
    """
    starts = (column.dictionary_page_offset, column.data_page_offset)
    at = min(start for start in starts if start)
    end = at + column.total_compressed_size
    found = []
    while at < end:
        file.seek(at)
        header = _struct(file, 0)
        page, packed = _page(header, column.path_in_schema)
        found.append(page)
        at = file.tell() + packed
    return found


def _page(header: dict[int, Any], name: str) -> tuple[Page, int]:
    kinds = [header[kind] for kind in (_DATA, _DATA_2, _DICTIONARY) if kind in header]
    size, packed = header.get(_UNPACKED, -1), header.get(_PACKED, -1)
    if size < 0 or packed < 0:
        raise Damaged("a page header is invalid")
    if size > LARGEST_PAGE:
        raise TooLarge(
            f"has a page of {size:,} bytes in {name!r}, but the limit is {LARGEST_PAGE:,}; rewrite "
            "it with smaller pages"
        )
    is_data = _DATA in header or _DATA_2 in header
    values = kinds[0].get(_VALUES, 0) if kinds and is_data else 0
    # A dictionary's size is not spread over rows: one value may occur in every row.
    return Page(values=values, size=size if is_data else 0), packed


def _struct(file: IO[bytes], depth: int) -> dict[int, Any]:
    """Field number -> value of a struct."""
    if depth > _DEEPEST:
        raise Damaged("a page header is invalid")
    fields: dict[int, Any] = {}
    number = 0
    while kind := _byte(file):
        step, kind = kind >> 4, kind & 0xF
        number = number + step if step else _integer(file)
        fields[number] = _field(file, kind, depth)
    return fields


def _field(file: IO[bytes], kind: int, depth: int) -> Any:
    if kind in (_TRUE, _FALSE):
        return kind == _TRUE
    if kind == _BYTE:
        return _byte(file)
    if kind in _INTEGERS:
        return _integer(file)
    if kind == _STRUCT:
        return _struct(file, depth + 1)
    if kind in (_DOUBLE, _BINARY):
        return file.seek(8 if kind == _DOUBLE else _unsigned(file), 1)  # skip statistics
    raise Damaged("a page header is invalid")


def _byte(file: IO[bytes]) -> int:
    read = file.read(1)
    if not read:
        raise Damaged("the file ends within a page")
    return read[0]


def _unsigned(file: IO[bytes]) -> int:
    value = shift = 0
    while shift < 70:
        byte = _byte(file)
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value
        shift += 7
    raise Damaged("a page header is invalid")


def _integer(file: IO[bytes]) -> int:
    zigzag = _unsigned(file)
    return (zigzag >> 1) ^ -(zigzag & 1)
