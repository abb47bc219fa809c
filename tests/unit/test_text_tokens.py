"""Texts of any length: exact where people write them, bounded if nobody does."""

from __future__ import annotations

import time
import tracemalloc
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from splade_connectors.encoders import text_tokens
from splade_connectors.encoders.base import EncodeStats
from splade_connectors.encoders.text_tokens import Cut, TextTokens
from splade_connectors.encoders.tokenizer_settings import read_tokenizer
from splade_connectors.errors import ConfigurationError
from tests.models.small import TERMS, config_json, tokenizer_json, write

LONGEST = 20


@pytest.fixture(scope="module")
def tokens(tmp_path_factory: pytest.TempPathFactory) -> TextTokens:
    folder = tmp_path_factory.mktemp("tokenizer")
    write(folder / "tokenizer.json", tokenizer_json())
    write(folder / "config.json", config_json())
    return TextTokens(read_tokenizer(folder))


def cut(**changes: Any) -> Cut:
    given = {"max_length": LONGEST, "side": "right", "overlap": None, "most_characters": 500_000}
    return Cut(**given | changes)


def ids_of(text: str) -> list[int]:
    """By hand, of texts of whole words."""
    return [TERMS.index(word) for word in text.split()]


def encoded(tokens: TextTokens, text: str, how: Cut, prompt: str = "") -> list[list[int]]:
    passages, _ = tokens.passages([text], prompt, how, EncodeStats())
    return [passage.tolist() for passage in passages]


ROOM = LONGEST - 2
GAPS = st.sampled_from([" ", "\n", "   ", " " * 400, "\t" * 900])
WORDS = st.lists(st.tuples(st.sampled_from(["how", "oven", "heart", "two"]), GAPS), max_size=60)


@given(WORDS)
def test_a_text_is_cut_as_if_all_of_it_was_looked_at(
    tokens: TextTokens, words: list[tuple[str, str]]
) -> None:
    text = "".join(word + gap for word, gap in words)
    whole = ids_of(text)
    stats = EncodeStats()
    (first,), _ = tokens.passages([text], "", cut(), stats)
    (last,), _ = tokens.passages([text], "", cut(side="left"), EncodeStats())
    assert first.tolist() == [2, *whole[:ROOM], 3]
    assert last.tolist() == [2, *whole[-ROOM:], 3]
    assert stats == EncodeStats(texts=1, tokens=len(first), truncated=len(whole) > ROOM)


@settings(max_examples=40)
@given(WORDS, st.integers(0, 9), st.sampled_from([40, 1000, 250_000]))
def test_passages_cover_a_text_whatever_pieces_it_is_read_in(
    tokens: TextTokens, words: list[tuple[str, str]], overlap: int, piece: int
) -> None:
    text = "".join(word + gap for word, gap in words)
    whole = ids_of(text)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(text_tokens, "_PIECE", piece)
        found = encoded(tokens, text, cut(overlap=overlap))
    starts = range(0, max(len(whole) - overlap, 1), ROOM - overlap)
    assert found == [[2, *whole[start : start + ROOM], 3] for start in starts]


def test_a_prompt_comes_first(tokens: TextTokens) -> None:
    assert encoded(tokens, "oven", cut(), "how ") == [[2, *ids_of("how oven"), 3]]
    long = "two " * 40
    assert encoded(tokens, long, cut(), "how ")[0][1] == TERMS.index("how")
    assert encoded(tokens, long, cut(side="left"), "how ")[0][1] == TERMS.index("two")


HUGE = {
    "one word": "a" * 5_000_000,
    "white space, then words": " " * 4_000_000 + "how two",
    "words": "how two oven heart " * 250_000,
    "letters without spaces": "疫苗" * 1_000_000,
    "control characters": "\x01" * 3_000_000,
    "combining": "e\u0301" * 1_500_000,
    "lone surrogates": "\ud83d" * 3_000_000,
}


@pytest.mark.parametrize("text", HUGE.values(), ids=HUGE)
@pytest.mark.parametrize("side", ["left", "right"])
def test_a_huge_text_takes_neither_time_nor_memory(
    tokens: TextTokens, text: str, side: Any, caplog: pytest.LogCaptureFixture
) -> None:
    stats = EncodeStats()
    how = cut(most_characters=100_000, side=side)
    tracemalloc.start()
    begun = time.process_time()
    passages, owners = tokens.passages([text, "how"], "", how, stats)
    seconds = time.process_time() - begun
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert seconds < 3
    assert peak < 20_000_000
    assert owners == [0, 1]
    assert max(map(len, passages)) <= LONGEST
    assert passages[1].tolist() == [2, TERMS.index("how"), 3]
    assert (stats.texts, stats.truncated) == (2, 1)
    assert "texts with more than 100000 characters: 1; the rest of each was ignored" in caplog.text


def test_the_words_of_a_huge_text_are_those_at_its_beginning(tokens: TextTokens) -> None:
    found = encoded(tokens, HUGE["words"], cut(most_characters=100_000))
    assert found == [[2, *ids_of("how two oven heart " * 5)[:ROOM], 3]]


def test_a_text_in_passages_is_looked_at_to_its_bound(tokens: TextTokens) -> None:
    stats = EncodeStats()
    text = "how two oven heart " * 10_000
    how = cut(overlap=4, most_characters=60_000)
    passages, _ = tokens.passages([text], "", how, stats)
    covered = sum(len(passage) - 2 - 4 for passage in passages)
    assert covered == pytest.approx(60_000 / 19 * 4, rel=0.01)
    assert (stats.truncated, stats.split) == (1, 1)


def test_own_terms_are_bounded_too(tokens: TextTokens) -> None:
    assert set(tokens.all_of("how two " * 9, 500_000).tolist()) == set(ids_of("how two"))
    assert len(tokens.all_of("how two " * 99_999, 8_000)) == 2_000
    assert tokens.all_of("", 10).dtype == np.int64


def test_passages_have_to_move_on(tokens: TextTokens) -> None:
    tokens.check(cut(overlap=ROOM - 1))
    with pytest.raises(ConfigurationError, match="passage_overlap=18 must be less than the 18 tok"):
        tokens.check(cut(overlap=ROOM))
    with pytest.raises(ConfigurationError, match="less than the 0 tokens of a passage"):
        tokens.check(cut(max_length=2))
