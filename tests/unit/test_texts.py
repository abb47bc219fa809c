"""Where the text of a document is found."""

from __future__ import annotations

import pytest

from splade_connectors.payloads import text_of, text_paths, top_level, values_at

PAYLOAD = {
    "title": "Tides",
    "tags": ["sea", "moon"],
    "author": {"name": "Ada", "bio": ["Born by the sea.", None, 7]},
    "parts": [{"text": "one"}, {"text": ["two", "three"]}, {"other": "x"}],
    "a.b": "dotted",
    "year": 2024,
}


@pytest.mark.parametrize(
    ("fields", "text"),
    [
        (("title",), "Tides"),
        (("tags",), "sea moon"),
        (("author.name", "title"), "Ada Tides"),
        (("author.bio",), "Born by the sea."),
        (("parts.text",), "one two three"),
        (("a.b",), "dotted"),
        (("year", "nowhere", "title.deeper", "author"), ""),
        (("title", "year", "tags"), "Tides sea moon"),
    ],
)
def test_texts_are_found_by_path_and_joined(fields: tuple[str, ...], text: str) -> None:
    assert text_of(PAYLOAD, fields) == text


def test_values_are_all_that_stands_at_a_path() -> None:
    assert values_at(PAYLOAD, "author.bio") == ["Born by the sea.", None, 7]
    assert values_at(PAYLOAD, "year") == [2024]
    assert values_at(PAYLOAD, "nowhere") == []


def test_paths_with_text_are_listed() -> None:
    paths = dict.fromkeys(text_paths(PAYLOAD))
    assert " ".join(paths) == "title tags author.name author.bio parts.text parts.other a.b"
    assert all(text_of(PAYLOAD, [path]) for path in paths)


def test_names_to_ask_a_store_for() -> None:
    assert top_level(["title", "author.bio.en"]) == [
        "title",
        "author",
        "author.bio",
        "author.bio.en",
    ]
