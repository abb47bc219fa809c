"""Mapping a file's columns to document fields: renaming, typing, selecting."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from splade_connectors.errors import ConfigurationError, InvalidDocument
from splade_connectors.files.cells import found_types, typed
from splade_connectors.files.html_text import text_of_html
from splade_connectors.options import ReadOptions
from splade_connectors.payloads import top_level
from splade_connectors.shown import ADVICE, counted, listed, quoted

# The command line prints its warnings.
# Maximum number of nameless columns listed.
_SHOWN = 5


class Columns:
    """The options for a file's columns.

    Columns are renamed first: every other option uses the new names.

    Args:
        options: options of the reader.
        name: file name, for messages.
    """

    def __init__(self, options: ReadOptions, name: str) -> None:
        self._options = options
        self._name = name
        self._rename = dict(options.rename or {})
        self._types = dict(options.types or {})
        self._options_of = _named(options)
        self._unseen = dict(self._options_of)
        self._kept: set[str] = set()
        # Numbers of the columns without a name that are dropped.
        self._nameless: list[int] = []

    def named(self, header: Sequence[str]) -> list[str]:
        """Return the names of a table's columns.

        A column without a name is `#1`, by its number, for the options; if none of them uses that
        name, the column is dropped. pandas writes one for its index, Excel for a trailing comma.
        """
        options = self._options
        used = {options.id_field, options.dense_field, *options.text_fields}
        used |= {*(options.rename or {}), *self._options_of}
        numbers = [number for number, name in enumerate(header, start=1) if not name]
        self._nameless = [number for number in numbers if f"#{number}" not in used]
        names = list(header)
        for number in set(numbers) - set(self._nameless):
            names[number - 1] = f"#{number}"
        return names

    @property
    def nameless(self) -> str:
        """What to say of the columns that are dropped for want of a name; "" if there are none."""
        if not self._nameless:
            return ""
        numbers = ", ".join(map(str, self._nameless[:_SHOWN]))
        more = ", …" if len(self._nameless) > _SHOWN else ""
        some = counted(len(self._nameless), "column")
        return f"{some} without a name ({numbers}{more})"

    def warn_of_nameless(self) -> None:
        """Warn of columns that are dropped because they have no name."""
        if self._nameless:
            first = self._nameless[0]
            ADVICE.warning(
                "dropped from %s: %s; --rename '#%d=NAME' keeps it, --exclude '#%d' omits this "
                "warning",
                self._name,
                self.nameless,
                first,
                first,
            )

    def renamed(self, row: Mapping[str, Any]) -> dict[str, Any]:
        """Return the fields of a row, renamed.

        Raises:
            InvalidDocument: if a field would replace another.
        """
        fields = {self._rename.get(name, name): value for name, value in row.items()}
        if len(fields) < len(row):
            old = next(old for old, new in self._rename.items() if old in row and new in row)
            raise InvalidDocument(
                f"the row has both {quoted(old)} and {quoted(self._rename[old])} (--rename), so "
                "one of them would be lost"
            )
        return fields

    def typed(self, fields: dict[str, Any]) -> None:
        """Convert the fields to their types, in place.

        Raises:
            InvalidDocument: naming the field that cannot be converted.
        """
        for name in [name for name in self._unseen if name in fields]:
            del self._unseen[name]
        typed(fields, self._types, self._options.null_words)

    def chosen(self, fields: Mapping[str, Any]) -> dict[str, Any]:
        """Return the fields to store: all texts, and those included and not excluded."""
        include, exclude = self._options.include, self._options.exclude
        if not include and not exclude:
            return dict(fields)
        return {
            name: value
            for name, value in fields.items()
            if name in self._kept or (name not in exclude and (not include or name in include))
        }

    def settle(self, id_field: str, text_fields: Iterable[str]) -> None:
        """Set the names of the id and text fields, once known.

        Raises:
            ConfigurationError: if one of them is excluded.
        """
        self._kept = set(top_level(list(text_fields)))
        for name in self._options.exclude:
            if name == id_field or name in self._kept:
                raise ConfigurationError(
                    f"{quoted(name)} is the id or a text field, so it cannot be "
                    "excluded (--exclude)"
                )

    def look_at(self, rows: Iterable[Mapping[str, Any]], without: Iterable[str]) -> None:
        """Infer the types of the other columns."""
        known = {*self._types, *without, *top_level(list(self._kept))}
        found = found_types(map(self.renamed, rows), known, self._options.null_words)
        self._types = found | self._types

    def check(self, sample: Mapping[str, Any]) -> None:
        """Refuse options that name a column that does not exist.

        Raises:
            ConfigurationError: naming the first of them.
        """
        missing = [name for name in self._options_of if name not in sample]
        if missing:
            raise ConfigurationError(
                f"{self._name} has no column {quoted(missing[0])} ({self._options_of[missing[0]]})"
                f"; it has {listed(list(sample))}"
            )

    def warn_of_missing_fields(self) -> None:
        """Warn, at the end of a file, of fields that no row had."""
        for name, option in self._unseen.items():
            ADVICE.warning("no row of %s has the field %s (%s)", self._name, quoted(name), option)


def html_stripped(fields: dict[str, Any], names: Iterable[str]) -> None:
    """Remove markup from the text fields in place, so that what is stored is what is encoded."""
    for name in names:
        _change(fields, name.split("."), text_of_html)


def _change(value: Any, path: list[str], change: Callable[[str], str]) -> Any:
    """Return the value with the texts at a path changed; objects and lists change in place."""
    if isinstance(value, list):
        value[:] = [_change(item, path, change) for item in value]
    elif isinstance(value, dict):
        for length in range(1, len(path) + 1):
            name = ".".join(path[:length])
            if name in value:
                value[name] = _change(value[name], path[length:], change)
    elif isinstance(value, str) and not path:
        return change(value)
    return value


def _named(options: ReadOptions) -> dict[str, str]:
    """Column name (after renaming) -> the option that names it."""
    return {
        **dict.fromkeys((options.rename or {}).values(), "--rename"),
        **dict.fromkeys(options.types or {}, "--type"),
        **dict.fromkeys(options.include, "--include"),
        **dict.fromkeys(options.exclude, "--exclude"),
    }
