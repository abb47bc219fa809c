"""The headers of Parquet pages: how large a page will be is known before it is unpacked.

They are read here because the file's footer may say anything, and pyarrow allocates what a page's
own header asks for. The encoding is Thrift's compact protocol; of its types, those that occur in a
page header.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import IO, Any

# A page is unpacked whole. Most writers make pages of 1 MB; DuckDB's are up to 100 MB.
LARGEST_PAGE = 256_000_000
_STOP, _TRUE, _FALSE, _BYTE, _DOUBLE, _BINARY, _STRUCT = 0, 1, 2, 3, 7, 8, 12
_INTEGERS = (4, 5, 6)
_DEEPEST = 8
# Of a page header: its sizes, and what says how many values it has.
_UNPACKED, _PACKED = 2, 3
_DATA, _DICTIONARY, _DATA_2 = 5, 7, 8
_VALUES = 1


class TooLarge(ValueError):
    """What a file asks for is more than it is given."""


class Damaged(ValueError):
    """What stands where a page should begin is none."""


@dataclass(frozen=True, slots=True)
class Page:
    """A page as its header describes it.

    Attributes:
        values: it has, nulls included.
        size: in bytes, unpacked.
    """

    values: int
    size: int


def pages_of(file: IO[bytes], column: Any) -> list[Page]:
    """The pages of a column chunk, its dictionary included.

    Args:
        file: the whole file.
        column: pyarrow's description of the chunk.

    Raises:
        TooLarge: when a page is.
        Damaged: when what is there is no page.
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
        raise Damaged("no page begins where one should")
    if size > LARGEST_PAGE:
        raise TooLarge(
            f"has a page of {size:,} bytes in {name!r}, and at most {LARGEST_PAGE:,} are read at "
            "once: write it with smaller pages"
        )
    is_data = _DATA in header or _DATA_2 in header
    values = kinds[0].get(_VALUES, 0) if kinds and is_data else 0
    # Of a dictionary, a value may be in every row.
    return Page(values=values, size=size if is_data else 0), packed


def _struct(file: IO[bytes], depth: int) -> dict[int, Any]:
    """The fields of a struct by their numbers."""
    if depth > _DEEPEST:
        raise Damaged("no page begins where one should")
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
        return file.seek(8 if kind == _DOUBLE else _unsigned(file), 1)  # statistics: passed over
    raise Damaged("no page begins where one should")


def _byte(file: IO[bytes]) -> int:
    read = file.read(1)
    if not read:
        raise Damaged("it ends inside of a page")
    return read[0]


def _unsigned(file: IO[bytes]) -> int:
    value = shift = 0
    while shift < 70:
        byte = _byte(file)
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value
        shift += 7
    raise Damaged("no page begins where one should")


def _integer(file: IO[bytes]) -> int:
    zigzag = _unsigned(file)
    return (zigzag >> 1) ^ -(zigzag & 1)
