"""Streaming documents from JSON, CSV, TSV and Parquet files.

An invalid row becomes a `Rejected` with its line and the reason, and reading continues. Only the
current row is held in memory (for Parquet, a batch of rows).
"""

from __future__ import annotations

import io
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import chain, islice
from pathlib import Path
from typing import IO, Any, Self, cast

from splade_connectors.documents import Document, Rejected, Row
from splade_connectors.errors import ConfigurationError, InvalidDocument, InvalidVector
from splade_connectors.files import archives, row_fields
from splade_connectors.files.cells import LOOKED_AT, check_types
from splade_connectors.files.columns import Columns, html_stripped
from splade_connectors.files.encoded import DENSE, ID, PAYLOAD, Encoded, Vocabulary, is_encoded
from splade_connectors.files.encodings import as_utf8
from splade_connectors.files.json_rows import json_rows, line_rows
from splade_connectors.files.limits import NumberedRow
from splade_connectors.files.parquet import parquet_rows
from splade_connectors.files.tables import csv_rows, tsv_rows
from splade_connectors.manifest import IndexManifest
from splade_connectors.options import Format, ReadOptions
from splade_connectors.payloads import text_of
from splade_connectors.shown import quoted
from splade_connectors.values import stored_payload

FORMATS: dict[str, Format] = {
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".json": "json",
    ".csv": "csv",
    ".tsv": "tsv",
    ".parquet": "parquet",
}
_ID_FIELDS = ("_id", "id")


class NoRows(ConfigurationError):
    """A file has no rows, although others of several files may."""


class FileReader:
    """Reads the documents of a file lazily; can be iterated once.

    Usable as a context manager, which closes the file.

    Args:
        path: a file, or "-" for stdin (JSON, unless a format is given); .gz, .bz2, .xz and .zst
            files are decompressed.
        options: how rows are interpreted.
        label: value of `Document.file`; None for none.
        **fields: fields of `ReadOptions`, instead of `options`.

    Attributes:
        path: the file.
        text_fields: as given, or as found in the first row.
        made_by: for a file of vectors (`encode`, `export --vectors`), their settings; else None.

    Raises:
        ConfigurationError: if the file is missing, empty, of unknown format, or its first row has
            no id or no text; nothing beyond that row has been read then.
    """

    def __init__(
        self,
        path: str | Path,
        options: ReadOptions | None = None,
        *,
        label: str | None = None,
        **fields: Any,
    ) -> None:
        self.path = Path(path)
        self._label = label
        self._options = options = options or ReadOptions(**fields)
        check_types(options.types or {})
        self._is_input = str(path) == "-"
        self._name = "stdin" if self._is_input else str(path)
        self._file: IO[bytes] | None = None
        self._format = options.format or format_of(self.path)
        self._columns = Columns(options, self._name)
        self._encoded: Encoded | None = None
        self._rows = _guarded(self._open(), self._name)
        try:
            self._begin()
        except BaseException:
            self.close()
            raise

    @property
    def fraction(self) -> float | None:
        """Fraction of the file read so far, from 0 to 1; None if unknown."""
        if self._is_input or self._file is None or self._file.closed:
            return None
        size = self.path.stat().st_size
        return self._file.tell() / size if size else None

    @property
    def made_by(self) -> IndexManifest | None:
        """For a file of vectors, their settings; otherwise None."""
        return None if self._encoded is None else self._encoded.made_by

    def read_with(self, vocabulary: Callable[[], Vocabulary]) -> None:
        """Set the vocabulary for reading precomputed vectors."""
        if self._encoded is not None:
            self._encoded.vocabulary = vocabulary

    @property
    def paths(self) -> tuple[Path, ...]:
        """The file, as a tuple."""
        return (self.path,)

    def __iter__(self) -> Iterator[Row]:
        self._columns.warn_of_nameless()
        for line, row in self._rows:
            if isinstance(row, Rejected):
                yield replace(row, file=self._label) if self._label else row
            else:
                yield self._row(line, row)
        self._columns.warn_of_missing_fields()

    def close(self) -> None:
        """Close the file."""
        if self._file is not None and not self._is_input:
            self._file.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def _open(self) -> Iterator[NumberedRow]:
        """The rows; the file is opened when the first row is requested."""
        options = self._options
        row_fields.check_for(self._format, options, self._name)
        self._file = self._opened()
        if self._format == "parquet":
            yield from parquet_rows(self._file, self._name, self._columns.named)
            return
        data = as_utf8(self._unpacked(self._file), options.encoding, self._name)
        yield from self._text_rows(data)

    def _text_rows(self, data: IO[bytes]) -> Iterator[NumberedRow]:
        if self._format == "jsonl":
            return line_rows(data)
        if self._format == "json":
            return json_rows(data, self._name)
        delimiter = "\t" if self._options.delimiter == "tab" else self._options.delimiter
        rows = tsv_rows if self._format == "tsv" else csv_rows
        return rows(data, self._name, delimiter, self._columns.named)

    def _opened(self) -> IO[bytes]:
        if self._is_input:
            if sys.stdin is None:
                raise ConfigurationError("stdin is closed; name a file")
            return sys.stdin.buffer
        try:
            return open(self.path, "rb")  # closed by close()
        except OSError as error:
            reason = error.strerror or type(error).__name__
            raise ConfigurationError(f"cannot read {self.path}: {reason}") from error

    def _unpacked(self, file: IO[bytes]) -> IO[bytes]:
        packing = archives.packing_of(self.path)
        if self._is_input:  # stdin has no extension
            beginning = file.read(archives.LONGEST_BEGINNING)
            packing = archives.packing_in(beginning)
            file = cast(IO[bytes], io.BufferedReader(archives.Beginning(beginning, file)))
        return archives.unpacked(file, packing) if packing else file

    def _begin(self) -> None:
        """Read up to the first readable row, and find the fields in it."""
        first = self._first_rows()
        raw = next((row for _, row in first if isinstance(row, Mapping)), None)
        if raw is None:
            sort = ConfigurationError if first else NoRows
            raise sort(f"{self._name} has no readable row: {row_fields.first_reason(first)}")
        self._rows = chain(first, self._rows)
        try:
            self._find_fields(raw)
        except ConfigurationError as error:
            hints = self._hints(first)
            if not hints:
                raise
            raise ConfigurationError("; ".join([str(error), *hints])) from error

    def _hints(self, first: Sequence[NumberedRow]) -> list[str]:
        """What else is wrong with the beginning of the file."""
        hints = []
        if len(first) > 1:  # what follows a malformed row may be a part of it
            hints.append(f"the row before it is not readable: {row_fields.first_reason(first)}")
        if self._columns.nameless:
            hints.append(f"it also has {self._columns.nameless}: '#1' means the first column")
        return hints

    def _find_fields(self, raw: Mapping[str, Any]) -> None:
        """Find the fields in the first readable row."""
        if self._format in ("json", "jsonl") and is_encoded(raw):
            self._encoded = Encoded(raw, self._name)
            row_fields.check_for_encoded(self._options, self._name)
            self._id_field = ID
            self.text_fields = self._options.text_fields or self._encoded.made_by.text_fields
            self._columns.settle("", self.text_fields)
            return
        sample, options = self._columns.renamed(raw), self._options
        self._id_field = self._named(_ID_FIELDS, sample, "id", options.id_field)
        if options.text_fields:
            self._named(options.text_fields, sample, "text")
        if options.dense_field:
            self._named((), sample, "dense vector", options.dense_field)
        self.text_fields = options.text_fields or row_fields.default_text_fields(sample, self._name)
        self._columns.settle(self._id_field, self.text_fields)
        if self._format not in ("jsonl", "json"):
            self._columns.check(sample)
        if options.infer_types:
            self._look_at_types()

    def _named(
        self,
        names: Sequence[str],
        sample: Mapping[str, Any],
        what: str,
        given: str | None = None,
    ) -> str:
        """The given field, or the first of the default names that exists."""
        names = (given,) if given else names
        option = {"id": "--id-field", "text": "--text"}.get(what, "--dense-field")
        return row_fields.field_named(names, sample, what, option, self._name)

    def _look_at_types(self) -> None:
        first = list(islice(self._rows, LOOKED_AT))
        tables = [row for _, row in first if isinstance(row, Mapping)]
        self._columns.look_at(tables, without=(self._id_field,))
        self._rows = chain(first, self._rows)

    def _first_rows(self) -> list[NumberedRow]:
        """Rows up to the first readable one, at most a hundred."""
        found: list[NumberedRow] = []
        for numbered in self._rows:
            found.append(numbered)
            if isinstance(numbered[1], Mapping) or len(found) == 100:
                break
        return found

    def _row(self, line: int, row: Mapping[str, Any]) -> Row:
        fields: dict[str, Any] = {}
        try:
            if self._encoded is not None:
                fields = dict(row)
                return self._encoded_document(line, row, self._encoded)
            fields = self._columns.renamed(row)
            return self._document(line, fields)
        except (InvalidDocument, InvalidVector, TypeError, RecursionError) as error:
            # RecursionError: nested too deeply.
            id = row_fields.known(fields.get(self._id_field))
            return Rejected(
                id=id,
                line=line,
                file=self._label,
                reason=str(error),
                final=True,
                detail=getattr(error, "detail", ""),
            )

    def _values(self, row: Mapping[str, Any]) -> tuple[dict[str, Any], Any]:
        """The fields to store, and the dense vector, which is not one of them."""
        dense_field = self._options.dense_field
        fields = stored_payload({name: row[name] for name in row if name != dense_field})
        fields |= {name: row[name] for name in row if name == dense_field}
        self._columns.typed(fields)
        return fields, fields.pop(dense_field, None) if dense_field else None

    def _encoded_document(self, line: int, row: Mapping[str, Any], encoded: Encoded) -> Document:
        """Build a document; raises `InvalidDocument`."""
        payload = row.get(PAYLOAD) or {}
        if not isinstance(payload, Mapping):
            raise InvalidDocument(f"the row's {PAYLOAD} is not an object")
        fields, dense = self._values(self._columns.renamed(payload))
        return Document(
            id=row.get(ID),  # type: ignore[arg-type]  # checked there
            text=text_of(fields, self.text_fields),
            vector=encoded.vector(row),
            dense=row.get(DENSE) if dense is None else dense,
            payload=self._columns.chosen(fields),
            line=line,
            file=self._label,
        )

    def _document(self, line: int, row: Mapping[str, Any]) -> Document:
        """Build a document; raises `InvalidDocument`."""
        fields, dense = self._values(row)
        if self._format not in ("jsonl", "json"):
            # A cell without a value is not a field; an explicit JSON null is kept.
            fields = {name: value for name, value in fields.items() if value is not None}
        id = fields.pop(self._id_field, None)
        if id is None:
            raise InvalidDocument(f"the row has no id ({quoted(self._id_field)})")
        if isinstance(id, float) and id.is_integer():  # as pandas writes integers with a gap
            raise InvalidDocument(
                "a document id must be a string, an integer or a UUID, not a float; --type "
                f"{self._id_field}=int reads whole floats as integers"
            )
        if self._options.strip_html:
            html_stripped(fields, self.text_fields)
        return Document(
            id=id,
            text=row_fields.text(fields, self.text_fields),
            dense=dense,
            payload=self._columns.chosen(fields),
            line=line,
            file=self._label,
        )


def format_of(path: Path) -> Format:
    """Return the format that a file name implies; JSON for stdin.

    Raises:
        ConfigurationError: if it implies none.
    """
    if str(path) == "-":
        return "json"
    ending = archives.without_packing(path).suffix.lower()
    if ending in FORMATS:
        return FORMATS[ending]
    raise ConfigurationError(
        f"cannot tell the format of {path} from its name; pass --format jsonl|csv|tsv|parquet"
    )


def _guarded(rows: Iterator[NumberedRow], name: str) -> Iterator[NumberedRow]:
    """Yield the rows; turns decompression errors into one that names the file."""
    try:
        yield from rows
    except archives.DAMAGED as error:
        raise ConfigurationError(f"cannot read {name} to the end: {error}") from error
