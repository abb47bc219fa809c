"""Words of others: nothing that a terminal obeys, in texts, JSON, lines and tables."""

from __future__ import annotations

import ast
import io
import json
import sys
import unicodedata
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.table import Table as RichTable

import splade_connectors.cli
from splade_connectors.cli.screen import Table, filled
from splade_connectors.shown import counted, quoted, shown, shown_json, sketch

ATTACKS = {
    "colour": "\x1b[31mred\x1b[0m",
    "title": "\x1b]0;owned\x07",
    "clipboard": "\x1b]52;c;ZWNobyBvd25lZA==\x07",
    "link": "\x1b]8;;http://evil\x1b\\here\x1b]8;;\x1b\\",
    "C1": "\x9b31m\x9d52;c;eA==\x9c",
    "backspaces": "safe\b\b\b\bevil",
    "carriage return": "error\rfine ",
    "line": "fine\nerror: forged",
    "bidirectional": "\u202etxt.exe\u202c \u2066x\u2069 \u200f",
    "separators": "a\u2028b\u2029c\x85d",
    "markup": "[bold red]x[/bold red] [link=http://evil]y[/link] [/]",
    "markup and backslashes": "\\[bold] \\\\[/bold] \\",
    "emoji": ":warning: :key:",
    "null": "a\x00b\x7f",
    "tags": "a\U000e0041\U000e007f",
    "lone surrogate": "\ud800x\udc1b",
    "order mark": "\ufeffx",
}
TEXTS = st.text(st.characters(exclude_categories=())) | st.sampled_from(sorted(ATTACKS.values()))
DIRECTIONS = {"LRE", "RLE", "LRO", "RLO", "PDF", "LRI", "RLI", "FSI", "PDI"}


def is_harmless(text: str) -> bool:
    return not any(
        unicodedata.category(character) in ("Cc", "Cs", "Zl", "Zp")
        or unicodedata.bidirectional(character) in DIRECTIONS
        or character in "\u061c\u200e\u200f\ufeff"
        for character in text
    )


def test_every_character_that_does_harm_is_spelled_out() -> None:
    for code in range(sys.maxunicode + 1):
        assert is_harmless(shown(chr(code))), hex(code)


@pytest.mark.parametrize(
    "text", ["", "abc äöü", "日本語", "🍎👩‍👩‍👧", "می‌خواهم", "שלום", "a\\nb", "[x]"]
)
def test_ordinary_text_stays(text: str) -> None:
    assert shown(text) == text
    assert json.loads(shown_json(json.dumps(text, ensure_ascii=False))) == text


@pytest.mark.parametrize(
    ("count", "text"),
    [(0, "0 documents"), (1, "1 document"), (2, "2 documents"), (1000, "1,000 documents")],
)
def test_a_count_and_its_noun_agree(count: int, text: str) -> None:
    assert counted(count, "document") == text
    assert counted(count, "query", "queries").split()[1] == ("query" if count == 1 else "queries")


@given(TEXTS)
def test_shown_text_reads_back_as_what_it_was(text: str) -> None:
    found = shown(text)
    assert is_harmless(found)
    if "\\" not in text:
        assert found.encode("ascii", "backslashreplace").decode("unicode_escape") == text
    assert shown(text, lines=True).count("\n") == text.count("\n")


VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | TEXTS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3),
    max_leaves=8,
)


@given(VALUES, st.sampled_from([None, 2]))
def test_json_means_the_same_and_does_no_harm(value: Any, indent: int | None) -> None:
    found = shown_json(json.dumps(value, ensure_ascii=False, indent=indent))
    assert is_harmless(found.replace("\n", ""))
    assert json.loads(found) == value
    found.encode()  # whole surrogates only


@given(TEXTS, TEXTS)
def test_values_in_a_line_of_ours_are_text(first: str, second: str) -> None:
    line = filled("[bold]{}[/bold] of {!r:>4}: [dim]{}[/dim]", first, 5, second)
    assert line.plain == f"{shown(first)} of    5: {shown(second)}"
    styled = {str(span.style): line.plain[span.start : span.end] for span in line.spans}
    expected = {"bold": shown(first), "dim": shown(second)}
    assert styled == {name: text for name, text in expected.items() if text}


@given(st.lists(TEXTS, min_size=2, max_size=2))
def test_cells_are_text(cells: list[str]) -> None:
    table = Table("a", "b")
    table.row(*cells)
    drawn = table.drawn(width=100_000)
    assert isinstance(drawn, RichTable)
    found = [next(iter(column.cells)) for column in drawn.columns]
    assert [getattr(cell, "plain", None) for cell in found] == [shown(cell) for cell in cells]


@pytest.mark.parametrize("attack", ATTACKS.values(), ids=ATTACKS)
def test_what_is_printed_does_no_harm(attack: str) -> None:
    from rich.console import Console

    out = io.StringIO()
    screen = Console(file=out, force_terminal=True, width=200, color_system=None, highlight=False)
    table = Table(attack, "b")
    table.row(attack, attack, style="bold")
    for width in (200, 10):  # as a table, and in blocks
        screen.print(table.drawn(width))
    screen.print(filled("{}: {!r}", attack, attack))
    own = out.getvalue().replace("\x1b[1m", "").replace("\x1b[0m", "").replace("\n", "")
    assert is_harmless(own)


class Unspeakable:
    def __repr__(self) -> str:
        raise RuntimeError("no words")


MONSTERS = {
    "no repr": Unspeakable(),
    "many": [Unspeakable()] * 50,
    "long": {"x" * 9000: "y" * 9000},
    "10^5000": 10**5000,
    **ATTACKS,
}


@pytest.mark.parametrize("value", MONSTERS.values(), ids=MONSTERS)
def test_any_value_is_quoted_in_a_line(value: object) -> None:
    assert is_harmless(quoted(value))
    assert len(quoted(value)) <= 161


@given(VALUES)
def test_a_sketch_of_json_is_the_value(value: Any) -> None:
    assert sketch(value) == value


CLI = Path(splade_connectors.cli.__file__).parent
# Where words of others are made harmless; everything else of `cli` goes through it.
PRINTING = {"printing", "screen"}


def calls(tree: ast.AST) -> Iterator[str]:
    """What is called by which name: "print", "table.add_row", …"""
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            yield ast.unparse(node.func)


@pytest.mark.parametrize("path", sorted(CLI.glob("*.py")), ids=lambda path: path.stem)
def test_nothing_else_of_the_command_line_prints(path: Path) -> None:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    if path.stem in PRINTING:
        return
    found = set(calls(tree))
    assert {
        "typer.echo",
        "typer.secho",
        "click.echo",
        "sys.stdout.write",
        "sys.stderr.write",
    }.isdisjoint(found)
    imported = {node.module for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    if path.stem != "progress":  # whose bar shows numbers and words of ours
        assert not {module for module in imported if module and module.startswith("rich")}
    # The version, and the traceback of what nobody caught, which `process` has made harmless.
    assert "print" not in found or path.stem == "__init__"


def test_of_say_the_template_is_ours() -> None:
    for path in sorted(CLI.glob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and ast.unparse(node.func) in ("say", "printing.say"):
                template = node.args[0]
                assert isinstance(template, ast.Constant) or (
                    path.stem == "demo" and "names" in ast.unparse(template)
                ), f"{path.name}:{node.lineno}"
