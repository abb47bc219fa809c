"""What rich draws: our markup around values that are text, whatever they hold."""

from __future__ import annotations

import string
from typing import Any

from rich import table
from rich.console import Console
from rich.text import Text

from splade_connectors.shown import shown

# Stands for a value while markup is parsed: no document has it there, for values come later.
_HOLE = "\ue000"


def console(*, stderr: bool = False) -> Console:
    """A console that wraps at 100 columns when it is no terminal."""
    made = Console(stderr=stderr, highlight=False)
    if not made.is_terminal:
        made.width = 100
    return made


def filled(template: str, *values: object) -> Text:
    """A line of ours with values of others.

    Args:
        template: rich's markup with braces as of `str.format`.
        *values: for the braces; what they hold is text: no markup, no emoji, nothing obeyed.
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
    """Formats the values, and leaves a hole for each of them."""

    def __init__(self) -> None:
        self.texts: list[str] = []

    def format_field(self, value: Any, format_spec: str) -> str:
        self.texts.append(shown(format(value, format_spec)))
        return _HOLE


class Table:
    """A table without lines.

    Args:
        *columns: titles of columns that are shown as they are.
        header: whether the titles are shown.
    """

    def __init__(self, *columns: str, header: bool = True) -> None:
        self.rich = table.Table(box=None, pad_edge=False, show_header=header)
        for title in columns:
            self.column(title)

    def column(self, title: str = "", *, number: bool = False, style: str = "") -> None:
        """Add a column.

        Args:
            title: its name.
            number: justified to the right, and never broken into lines.
            style: of its cells.
        """
        options: dict[str, Any] = {"justify": "right"} if number else {"overflow": "fold"}
        self.rich.add_column(Text(shown(title)), style=style, **options)

    def row(self, *cells: object, style: str = "") -> None:
        """Add a row.

        Args:
            *cells: anything; what it is as text is shown.
            style: of the first cell.
        """
        first, *others = (Text(shown(str(cell))) for cell in cells)
        first.stylize(style)
        self.rich.add_row(first, *others)
