"""What rich draws: our markup around values that are always plain text."""

from __future__ import annotations

import os
import string
from collections.abc import Iterator
from typing import Any

from rich import table
from rich.cells import cell_len
from rich.console import Console, Group, RenderableType
from rich.text import Text

from splade_connectors.documents import Snippet
from splade_connectors.shown import shown

# Placeholder for a value while markup is parsed; no value can contain it, as they come later.
_HOLE = "\ue000"
# Width in columns if neither a terminal nor COLUMNS gives one, and the minimum.
_USUAL_WIDTH = 100
_LEAST_WIDTH = 20
# The width below which a column of words is not worth reading.
_LEAST_WORDS = 16
_BETWEEN = 2


def console(*, stderr: bool = False) -> Console:
    """Return a console as wide as COLUMNS, the terminal, or 100; without colour under NO_COLOR."""
    plain = os.environ.get("NO_COLOR", "") != ""
    made = Console(stderr=stderr, highlight=False, color_system=None if plain else "auto")
    columns = os.environ.get("COLUMNS", "")
    if columns.isdecimal() and int(columns) > 0:
        made.width = max(int(columns), _LEAST_WIDTH)
    elif not made.is_terminal:
        made.width = _USUAL_WIDTH
    return made


def filled(template: str, *values: object) -> Text:
    """Return a line of markup, filled in with untrusted values.

    Args:
        template: rich markup with `str.format` placeholders.
        *values: values for the placeholders, as plain text: no markup, emoji or control codes.
    """
    formatter = _Holes()
    marked = Text.from_markup(formatter.format(template, *values), emoji=False)
    holes = [at for at, character in enumerate(marked.plain) if character == _HOLE]
    line = Text()
    for piece in marked.divide([cut for at in holes for cut in (at, at + 1)]):
        if piece.plain == _HOLE:
            value = Text(formatter.texts.pop(0))
            for span in piece.spans:
                value.stylize(span.style)
            piece = value
        line.append_text(piece)
    return line


class _Holes(string.Formatter):
    """Formats the values and leaves a placeholder for each of them."""

    def __init__(self) -> None:
        self.texts: list[str] = []

    def format_field(self, value: Any, format_spec: str) -> str:
        self.texts.append(shown(format(value, format_spec)))
        return _HOLE


def _cell(value: object) -> Text:
    """A value as text; the marked words of a snippet are highlighted."""
    if not isinstance(value, Snippet):
        return Text(shown(str(value)))
    made, last = Text(), 0
    for start, end in value.marks:
        made.append(shown(value.text[last:start]))
        made.append(shown(value.text[start:end]), "bold yellow")
        last = end
    return made.append(shown(value.text[last:]))


class Table:
    """A table without rules, or one block of lines per row if it would not fit.

    Args:
        *columns: titles of text columns.
        header: whether to show the titles.
    """

    def __init__(self, *columns: str, header: bool = True) -> None:
        self._header = header
        self._columns: list[tuple[Text, bool, str]] = []
        self._rows: list[list[Text]] = []
        for title in columns:
            self.column(title)

    def column(self, title: str = "", *, number: bool = False, style: str = "") -> None:
        """Add a column.

        Args:
            title: its name.
            number: right-align the cells and never wrap them.
            style: style of its cells.
        """
        self._columns.append((Text(shown(title)), number, style))

    def row(self, *cells: object, style: str = "") -> None:
        """Add a row.

        Args:
            *cells: values, shown as text; snippets keep their highlights.
            style: style of the first cell.
        """
        first, *others = map(_cell, cells)
        first.stylize(style)
        self._rows.append([first, *others])

    def drawn(self, width: int) -> RenderableType:
        """Return what rich prints at this width; no cell is truncated."""
        if self._header and self._least_width() > width:
            return Group(*self._blocks())
        made = table.Table(box=None, pad_edge=False, show_header=self._header)
        for title, number, style in self._columns:
            options: dict[str, Any] = (
                {"justify": "right", "no_wrap": True} if number else {"overflow": "fold"}
            )
            made.add_column(title, style=style, **options)
        for row in self._rows:
            made.add_row(*row)
        return made

    def _least_width(self) -> int:
        """The narrowest readable table: numbers are not wrapped, words not reduced to slivers."""
        widths = []
        for at, (title, number, _) in enumerate(self._columns):
            widest = max(cell_len(cell.plain) for cell in [title, *(row[at] for row in self._rows)])
            widths.append(widest if number else min(widest, _LEAST_WORDS))
        return sum(widths) + _BETWEEN * (len(widths) - 1)

    def _blocks(self) -> Iterator[Text]:
        for number, row in enumerate(self._rows):
            if number:
                yield Text()
            for (title, _, style), cell in zip(self._columns, row, strict=True):
                if cell:
                    name = Text(f"{title.plain}: " if title else "", "dim")
                    styled = cell.copy()
                    styled.stylize_before(style)
                    yield name.append_text(styled)
