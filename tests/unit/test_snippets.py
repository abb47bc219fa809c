"""Snippets: the part of a text that has most of the query, with its words marked."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rich.console import Console

from splade_connectors.cli.screen import Table
from splade_connectors.documents import Snippet
from splade_connectors.operations.snippets import snippet

WEIGHTS = {"bread": 3.0, "salt": 2.0, "dough": 1.0, "水": 1.5}
FILLER = "and so it goes on and on in many more words that nobody has asked for "


def weight_of(word: str) -> float:
    return WEIGHTS.get(word.casefold(), 0.0)


@pytest.mark.parametrize(
    ("text", "length", "shown"),
    [
        ("Bread needs salt.", 160, "[Bread] needs [salt]."),
        ("  Bread\n\n needs\tsalt ", 160, "[Bread] needs [salt]"),
        ("Nothing here.", 160, "Nothing here."),
        ("", 160, ""),
        ("Salted bread-dough's rise", 160, "Salted [bread]-[dough]'s rise"),
        ("熱水と塩", 160, "熱[水]と塩"),
        (f"{FILLER}bread with salt {FILLER}", 40, "…asked for [bread] with [salt] and so it…"),
        (f"{FILLER}bread bread bread {FILLER}{FILLER}bread and salt", 30, "…"),
        (FILLER * 3, 20, "and so it goes on…"),
        ("x" * 50, 20, f"{'x' * 18}…"),
    ],
)
def test_what_is_shown(text: str, length: int, shown: str) -> None:
    found = snippet(text, weight_of, length)
    assert len(found.text) <= length
    if shown == "…":  # each word counts once: bread and salt is more than bread three times
        assert "[bread] and [salt]" in found.marked("[", "]")
    else:
        assert found.marked("[", "]") == shown


WORDS = st.sampled_from(["bread", "salt", "dough", "water", "rise", "a", "水", "x" * 30])


@settings(max_examples=200)
@given(st.lists(WORDS, max_size=60), st.integers(10, 80))
def test_a_snippet_is_a_part_of_the_text(words: list[str], length: int) -> None:
    text = " ".join(words)
    found = snippet(text, weight_of, length)
    assert len(found.text) <= length
    inner = found.text.removeprefix("…").removesuffix("…")
    assert inner in text
    assert [found.text[start:end] for start, end in found.marks] == [
        word for word in inner.split() if word in WEIGHTS and len(word) < length
    ] or len(text) > length
    for start, end in found.marks:
        assert found.text[start:end] in WEIGHTS
    if any(word in WEIGHTS for word in words) and length >= 40:
        assert found.marks


def test_marks_stand_out_on_a_terminal_and_nothing_in_them_is_obeyed() -> None:
    screen = Console(force_terminal=True, color_system="standard", width=60, highlight=False)
    table = Table("text")
    table.row(Snippet(text="a \x1b[2Jbread", marks=((2, 11),)))
    with screen.capture() as captured:
        screen.print(table.drawn(60))
    assert "a \x1b[1;33m\\x1b[2Jbread\x1b[0m" in captured.get()
