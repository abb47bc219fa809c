"""Files to documents, as a stream: JSONL, CSV, TSV and Parquet.

A row that cannot be a document becomes a `Rejected` with its line and the reason, and the rest
goes on. Nothing is held in memory but the row at hand (of Parquet, a batch of rows).
"""

from __future__ import annotations

import gzip
import sys
import zlib
from collections.abc import Iterator, Mapping, Sequence
from itertools import chain
from pathlib import Path
from typing import IO, Any, Literal, Self, cast

from splade_connectors.documents import Document, DocumentId, Rejected, Row
from splade_connectors.errors import ConfigurationError, InvalidDocument
from splade_connectors.files.rows import (
    KINDS,
    NumberedRow,
    csv_rows,
    json_rows,
    parquet_rows,
    tsv_rows,
)
from splade_connectors.payloads import check_text_fields, text_of, values_at
from splade_connectors.shown import listed, quoted
from splade_connectors.values import stored_payload

Format = Literal["jsonl", "csv", "tsv", "parquet"]

_FORMATS: dict[str, Format] = {
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".json": "jsonl",
    ".csv": "csv",
    ".tsv": "tsv",
    ".parquet": "parquet",
}
_ID_FIELDS = ("_id", "id")


class FileReader:
    """The documents of a file, read as they are asked for; can be read once.

    Usable as a context manager, which closes the file.

    Args:
        path: a file, or "-" for JSONL on the standard input.
        format: None goes by the file's ending; ".gz" may follow it.
        id_field: None takes "_id" or "id", whichever the first row has.
        text_fields: joined by a space; None takes "title" and "text", those that the first row
            has. They stay in the payload.
        dense_field: a field with a dense vector, which leaves the payload.

    Attributes:
        path: the file.
        text_fields: as given, or as found in the first row.

    Raises:
        ConfigurationError: when the file is missing, empty, of no known format, or its first row
            has no id or no text; nothing has been read beyond that row then.
    """

    def __init__(
        self,
        path: str | Path,
        *,
        format: Format | None = None,
        id_field: str | None = None,
        text_fields: Sequence[str] = (),
        dense_field: str | None = None,
    ) -> None:
        self.path = Path(path)
        self._is_input = str(path) == "-"
        self._name = "the standard input" if self._is_input else str(path)
        self._file: IO[bytes] | None = None
        self._dense_field = dense_field
        self._format = _format_of(self.path, self._is_input) if format is None else format
        if self._format not in _FORMATS.values():
            known = ", ".join(dict.fromkeys(_FORMATS.values()))
            raise ConfigurationError(f"the format {format!r} is not known; known are {known}")
        self._rows = _guarded(self._open(self._format), self._name)
        try:
            self._begin(id_field, text_fields)
        except BaseException:
            self.close()
            raise

    @property
    def fraction(self) -> float | None:
        """How much of the file has been read, from 0 to 1; None where that is not known."""
        if self._is_input or self._file is None or self._file.closed:
            return None
        size = self.path.stat().st_size
        return self._file.tell() / size if size else None

    def __iter__(self) -> Iterator[Row]:
        for line, row in self._rows:
            yield row if isinstance(row, Rejected) else self._document(line, row)

    def close(self) -> None:
        """Close the file."""
        if self._file is not None and not self._is_input:
            self._file.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def _open(self, format: Format) -> Iterator[NumberedRow]:
        self._file = self._opened()
        if format == "parquet":
            return parquet_rows(self._file, self._name)
        packed = self.path.suffix == ".gz"
        data = cast(IO[bytes], gzip.open(self._file)) if packed else self._file  # noqa: SIM115
        if format == "jsonl":
            return json_rows(data)
        return (tsv_rows if format == "tsv" else csv_rows)(data, self._name)

    def _opened(self) -> IO[bytes]:
        if self._is_input:
            if sys.stdin is None:
                raise ConfigurationError("the standard input is closed: name a file")
            return sys.stdin.buffer
        try:
            return open(self.path, "rb")  # closed by close()
        except OSError as error:
            reason = error.strerror or type(error).__name__
            raise ConfigurationError(f"cannot read {self.path}: {reason}") from error

    def _begin(self, id_field: str | None, text_fields: Sequence[str]) -> None:
        """Find the fields in the first row that can be read."""
        first = self._first_rows()
        sample = next((row for _, row in first if isinstance(row, Mapping)), None)
        if sample is None:
            raise ConfigurationError(f"{self._name} has no readable row: {_first_reason(first)}")
        ids = (id_field,) if id_field else _ID_FIELDS
        self._id_field = _found(ids, sample, "id", "--id-field", self._name)
        check_text_fields(text_fields)
        if text_fields:
            _found(text_fields, sample, "text", "--text", self._name)
        if self._dense_field:
            _found((self._dense_field,), sample, "dense vector", "--dense-field", self._name)
        self.text_fields = tuple(text_fields) or _default_text_fields(sample, self._name)
        self._rows = chain(first, self._rows)

    def _first_rows(self) -> list[NumberedRow]:
        """Rows up to the first one that can be read, at most a hundred."""
        found: list[NumberedRow] = []
        for numbered in self._rows:
            found.append(numbered)
            if isinstance(numbered[1], Mapping) or len(found) == 100:
                break
        return found

    def _document(self, line: int, row: Mapping[str, Any]) -> Row:
        fields = dict(row)
        dense = fields.pop(self._dense_field, None) if self._dense_field else None
        try:
            fields = stored_payload(fields)
        except InvalidDocument as error:
            return Rejected(
                id=_known(row.get(self._id_field)), line=line, reason=str(error), final=True
            )
        if self._format != "jsonl":
            # A cell without a value is no field. JSON can say null, and is taken at its word.
            fields = {name: value for name, value in fields.items() if value is not None}
        id = fields.pop(self._id_field, None)
        if id is None:
            reason = f"the row has no id ({quoted(self._id_field)})"
            return Rejected(id=None, line=line, reason=reason, final=True)
        try:
            return Document(
                id=id,
                text=_text(fields, self.text_fields),
                dense=dense,
                payload=fields,
                line=line,
            )
        except (InvalidDocument, TypeError, RecursionError) as error:  # nested too deep
            return Rejected(id=_known(id), line=line, reason=str(error), final=True)


def _known(id: Any) -> DocumentId | None:
    """The id of a rejected row, where it has one."""
    return id if isinstance(id, str | int) and not isinstance(id, bool) else None


def _guarded(rows: Iterator[NumberedRow], name: str) -> Iterator[NumberedRow]:
    """The rows; a file that cannot be read to its end is named."""
    try:
        yield from rows
    except (OSError, EOFError, zlib.error) as error:
        raise ConfigurationError(f"{name} cannot be read to its end: {error}") from error


def _format_of(path: Path, is_input: bool) -> Format:
    if is_input:
        return "jsonl"
    endings = [ending for ending in path.suffixes if ending != ".gz"]
    if endings and endings[-1].lower() in _FORMATS:
        return _FORMATS[endings[-1].lower()]
    raise ConfigurationError(
        f"the format of {path} is not known from its name; say it: --format jsonl|csv|tsv|parquet"
    )


def _text(fields: Mapping[str, Any], names: Sequence[str]) -> str:
    """The text fields joined by a space.

    Raises:
        InvalidDocument: when none of them is there, or one is not text.
    """
    found = {name: [item for item in values_at(fields, name) if item is not None] for name in names}
    for name, values in found.items():
        for value in values:
            if not isinstance(value, str):
                kind = KINDS.get(type(value), "an object")
                raise InvalidDocument(f"the field {quoted(name)} is {kind}, not text")
    if not any(found.values()):
        wanted = " or ".join(map(repr, names))
        raise InvalidDocument(f"the row has no {wanted}; it has {_names(fields)}")
    return text_of(fields, names)


def _default_text_fields(sample: Mapping[str, Any], file: str) -> tuple[str, ...]:
    names = tuple(name for name in ("title", "text") if name in sample)
    if "text" in names:
        return names
    raise ConfigurationError(
        f"the first row of {file} has no field 'text'; it has {_names(sample)}: name the text with "
        "--text FIELD (several are joined)"
    )


def _found(
    names: Sequence[str], sample: Mapping[str, Any], what: str, option: str, file: str
) -> str:
    for name in names:
        if name in sample or values_at(sample, name):
            return name
    raise ConfigurationError(
        f"the first row of {file} has no {what} field ({' or '.join(names)}); it has "
        f"{_names(sample)}: name it with {option} FIELD"
    )


def _names(fields: Mapping[str, Any]) -> str:
    return listed([name for name, value in fields.items() if value is not None]) or "no fields"


def _first_reason(rows: Sequence[NumberedRow]) -> str:
    return next((row.reason for _, row in rows if isinstance(row, Rejected)), "it is empty")
