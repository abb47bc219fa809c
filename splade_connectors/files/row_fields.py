"""Finding the id, text and vector fields of a row, and the messages if they are missing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from splade_connectors.documents import DocumentId, Rejected
from splade_connectors.errors import ConfigurationError, InvalidDocument
from splade_connectors.files.encodings import check_encoding
from splade_connectors.files.json_rows import KINDS
from splade_connectors.files.limits import NumberedRow
from splade_connectors.options import Format, ReadOptions
from splade_connectors.payloads import text_of, values_at
from splade_connectors.shown import listed, quoted

TABLES: tuple[Format, ...] = ("csv", "tsv")


def check_for(format: Format, options: ReadOptions, name: str) -> None:
    """Refuse options that do not apply to a file format.

    Raises:
        ConfigurationError: naming the option.
    """
    if format not in TABLES:
        for option, given in (
            ("--delimiter", options.delimiter),
            ("--infer-types", options.infer_types),
        ):
            if given:
                raise ConfigurationError(
                    f"{option} applies only to CSV and TSV, but {name} is read as {format}"
                )
    if options.encoding:
        if format == "parquet":
            raise ConfigurationError(
                f"--encoding applies only to text formats, but {name} is read as parquet"
            )
        check_encoding(options.encoding)


def check_for_encoded(options: ReadOptions, name: str) -> None:
    """Refuse options that come too late for a file of vectors.

    Raises:
        ConfigurationError: naming the option.
    """
    for option, given in (("--id-field", options.id_field), ("--strip-html", options.strip_html)):
        if given:
            raise ConfigurationError(
                f"{name} contains vectors, so {option} comes too late; pass it to encode"
            )


def text(fields: Mapping[str, Any], names: Sequence[str]) -> str:
    """Return the text fields, joined by a space.

    Raises:
        InvalidDocument: if none of them exists, or one is not text.
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


def default_text_fields(sample: Mapping[str, Any], file: str) -> tuple[str, ...]:
    """Return the default text fields.

    Raises:
        ConfigurationError: if there are none.
    """
    names = tuple(name for name in ("title", "text") if name in sample)
    if "text" in names:
        return names
    raise ConfigurationError(
        f"the first row of {file} has no field 'text'; it has {_names(sample)}. Name the text "
        "fields with --text FIELD (several are joined)"
    )


def field_named(
    names: Sequence[str], sample: Mapping[str, Any], what: str, option: str, file: str
) -> str:
    """Return the first of these names that a file's first row has.

    Args:
        names: field names or paths.
        sample: first row.
        what: purpose of the field, for messages.
        option: option that names the field.
        file: file name.

    Raises:
        ConfigurationError: if it has none of them.
    """
    for name in names:
        if name in sample or values_at(sample, name):
            return name
    raise ConfigurationError(
        f"the first row of {file} has no {what} field ({' or '.join(names)}); it has "
        f"{_names(sample)}. Name it with {option} FIELD"
    )


def _names(fields: Mapping[str, Any]) -> str:
    return listed([name for name, value in fields.items() if value is not None]) or "no fields"


def first_reason(rows: Sequence[NumberedRow]) -> str:
    """Return why none of a file's first rows could be read."""
    return next((row.reason for _, row in rows if isinstance(row, Rejected)), "it is empty")


def known(id: Any) -> DocumentId | None:
    """Return the id of a rejected row; None if it has none."""
    return id if isinstance(id, str | int) and not isinstance(id, bool) else None
