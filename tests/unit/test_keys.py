"""Feature names: reversible, one for each token, and spelled so that every server takes them."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from splade_connectors import SparseEncoder
from splade_connectors.backends.feature_names import Keys, decode_key, detect_style, encode_key
from splade_connectors.manifest import KeyStyle
from splade_connectors.testing import HashEncoder
from splade_connectors.testing.strategies import tokens

FORBIDDEN = re.compile(r"[.\s\x00-\x1f\x7f]")


class Words:
    """A vocabulary of these words."""

    def __init__(self, *words: str) -> None:
        self._words = words

    def tokens(self, ids: Iterable[int]) -> list[str]:
        return [self._words[index] for index in ids]

    def token_id(self, token: str) -> int | None:
        return self._words.index(token) if token in self._words else None


@pytest.mark.parametrize(
    ("token", "name"),
    [
        ("heart", "heart"),
        ("##s", "##s"),
        (".", "%2E"),
        ("a.b.c", "a%2Eb%2Ec"),
        ("%", "%25"),
        ("%2E", "%252E"),
        ("", "%empty"),
        ("%empty", "%25empty"),
        ("empty", "empty"),
        (" ", "%20"),
        ("\x00\n", "%00%0A"),
        ("\u00a0", "%C2%A0"),
        ("\u2028", "%E2%80%A8"),
        ("été", "été"),
        ("文", "文"),
    ],
)
def test_known_names(token: str, name: str) -> None:
    assert encode_key(token) == name
    assert decode_key(name) == token


@given(tokens())
def test_a_name_gives_its_token_back(token: str) -> None:
    assert decode_key(encode_key(token)) == token


@given(tokens())
def test_a_name_has_no_dots_no_white_space_and_is_not_empty(token: str) -> None:
    name = encode_key(token)
    assert name
    assert not FORBIDDEN.search(name)


@given(st.sets(tokens(), max_size=20))
def test_different_tokens_have_different_names(some: set[str]) -> None:
    assert len({encode_key(token) for token in some}) == len(some)


def test_every_term_of_the_bundled_vocabulary_has_a_name_of_its_own(
    encoder: SparseEncoder,
) -> None:
    ids = range(encoder.spec.vocabulary)
    keys = Keys(lambda: encoder)
    names = keys.names(ids)
    assert len(set(names)) == encoder.spec.vocabulary
    assert not any(FORBIDDEN.search(name) for name in names)
    assert [keys.index(name) for name in names] == list(ids)
    # BERT's vocabulary has both: other tools spell them alike.
    assert {"%2E", "_"} <= set(names)


def test_names_in_id_style_are_numbers(encoder: SparseEncoder) -> None:
    keys = Keys(lambda: encoder, "id")
    assert keys.names([0, 2003, 30_521]) == ["0", "2003", "30521"]
    assert keys.index("2003") == 2003
    assert keys.index("-1") is None
    assert keys.index("heart") is None


def test_a_name_that_no_token_has_is_no_term() -> None:
    assert Keys(lambda: Words("a", "b")).index("c") is None


def test_the_vocabulary_is_loaded_when_a_token_is_needed() -> None:
    def load() -> Words:
        raise AssertionError("loaded")

    assert Keys(load, "id").names([1]) == ["1"]
    with pytest.raises(AssertionError, match="loaded"):
        Keys(load).names([1])


@pytest.mark.parametrize(
    ("names", "style"),
    [
        (["heart", "%2E", "7"], "token"),
        (["7", "12"], "token"),  # all are tokens, although they are written in digits
        (["7", "12", "30000"], "id"),
        (["30000"], "id"),
        (["heart", "unknown"], "other"),
        (["heart", "30000"], "other"),
        ([], "other"),
    ],
)
def test_the_style_of_names_that_are_there(names: Sequence[str], style: KeyStyle) -> None:
    assert detect_style(names, Words("heart", ".", "7", "12")) == style


@given(st.sets(st.integers(0, 29_999), min_size=1, max_size=20))
def test_names_made_here_are_recognised(ids: set[int]) -> None:
    encoder = HashEncoder()
    for style in ("token", "id"):
        made = Keys(lambda: encoder, style).names(sorted(ids))  # type: ignore[arg-type]
        assert detect_style(iter(made), encoder) == style
