"""Tables: as wide as the screen, and whole on a narrow one."""

from __future__ import annotations

import io
import re

import pytest
from rich.console import Console

from splade_connectors.cli import printing
from splade_connectors.cli.screen import Table, console
from splade_connectors.cli.search import shown_scores

ID = "0c5d3b5e-8a86-4a0e-9b0e-6a9d5e1f7c11"
TEXT = "Flour, water, salt and time make bread; kneading develops the gluten of the dough."
ROWS = [(9, "12.345", ID, TEXT), (10, "1.234", "日本語の文書", "短い")]


def drawn(table: Table, width: int) -> str:
    out = io.StringIO()
    Console(file=out, width=width, color_system=None).print(table.drawn(width))
    return out.getvalue()


def hits() -> Table:
    table = Table()
    table.column("#", number=True)
    table.column("score", number=True)
    table.column("id", style="bold")
    table.column("text")
    for row in ROWS:
        table.row(*row)
    return table


def squeezed(text: str) -> str:
    """Without white space: where lines were broken does not matter."""
    return re.sub(r"\s", "", text)


@pytest.mark.parametrize("width", [20, 30, 40, 48, 60, 100, 200])
def test_no_cell_is_cut_at_any_width(width: int) -> None:
    shown = drawn(hits(), width)
    assert "…" not in shown
    assert all(len(line.rstrip()) <= width for line in shown.splitlines())
    for row in ROWS:
        assert str(row[1]) in shown  # numbers are never broken
    # In blocks the cells come one after the other; in a table their lines alternate.
    if "score: " in shown:
        for row in ROWS:
            assert all(squeezed(str(cell)) in squeezed(shown) for cell in row)
    else:
        words = set(shown.split())
        assert set(TEXT.split()) <= words


def test_a_wide_screen_has_a_line_for_each_row_and_a_narrow_one_a_block() -> None:
    assert len(drawn(hits(), 200).splitlines()) == 3
    assert "score: 12.345\n" in drawn(hits(), 40)
    assert drawn(hits(), 40).count("\n\n") == 1


def test_facts_stay_a_table() -> None:
    table = Table(header=False)
    table.column(style="dim")
    table.column()
    table.row("manifest: passage overlap", "x" * 50)
    table.row("tuning", "")
    shown = drawn(table, 30)
    assert squeezed(shown).count("x") == 50
    assert "…" not in shown


def test_rows_that_lack_a_value_say_nothing_of_it_in_blocks() -> None:
    table = Table("", "difference")
    table.row("sparse", "")
    table.row("x" * 30, "+0.1")
    assert drawn(table, 20).startswith("sparse\n\nxxx")


def test_an_empty_table_is_its_titles() -> None:
    assert drawn(Table("id", "text"), 100).split() == ["id", "text"]


@pytest.mark.parametrize(
    ("columns", "width"),
    [("40", 40), ("200", 200), ("3", 20), ("", 100), ("many", 100), ("0", 100)],
)
def test_the_console_is_as_wide_as_columns_says(
    columns: str, width: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", columns)
    assert console().width == console(stderr=True).width == width


@pytest.mark.parametrize(("no_color", "plain"), [("1", True), ("yes", True), ("", False)])
def test_no_color_takes_all_styles(
    no_color: str, plain: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NO_COLOR", no_color)
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("TERM", "xterm-256color")
    assert (console().color_system is None) == plain


def test_scores_have_enough_digits_to_differ() -> None:
    assert shown_scores([12.5, 3.25]) == ["12.500", "3.250"]
    assert shown_scores([0.0163934, 0.0161290, 0.0163934]) == ["0.0164", "0.0161", "0.0164"]
    assert shown_scores([1.00001, 1.00002]) == ["1.00001", "1.00002"]
    assert shown_scores([1.0, 1.0 + 1e-12]) == ["1.0000000", "1.0000000"]
    assert shown_scores([]) == []


def test_hints_name_the_model_where_it_is_not_the_bundled_one() -> None:
    line = printing.search_line("edge:x", "models/a b")
    assert line == "splade-connectors search edge:x 'your own words' --model 'models/a b'"
    assert printing.search_line("edge:x") == "splade-connectors search edge:x 'your own words'"
