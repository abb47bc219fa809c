"""What an index says before anything is attached to it."""

from __future__ import annotations

from typing import Any

import pytest

from splade_elasticsearch.dialect import ELASTICSEARCH
from splade_lucene.attach.checks import LiteralFloat, blocked, changed_numbers, lost_fields

PROPERTIES = {
    "title": {"type": "text"},
    "author": {"properties": {"bio": {"type": "text"}}},
    "vec": {"type": "dense_vector"},
}


@pytest.mark.parametrize(
    ("source", "version", "lost"),
    [
        ({}, (9, 3), None),
        ({"excludes": ["nowhere"]}, (9, 3), None),
        ({"excludes": ["title"]}, (9, 3), "'title'"),
        ({"excludes": ["author"]}, (9, 3), "'author.bio'"),
        ({"excludes": ["*.bio"]}, (9, 3), "'author.bio'"),
        ({"excludes": ["vec"]}, (9, 3), None),
        ({"excludes": ["vec"]}, (8, 19), "'vec'"),
        ({"includes": ["title"]}, (9, 3), "'author.bio'"),
        ({"includes": ["title", "author.*", "vec"]}, (9, 3), "keeps only"),
        ({"enabled": False}, (9, 3), "disabled"),
        ({"mode": "synthetic"}, (9, 3), "synthetic"),
    ],
)
def test_fields_that_an_update_would_lose(
    source: dict[str, Any], version: tuple[int, ...], lost: str | None
) -> None:
    found = lost_fields({"_source": source, "properties": PROPERTIES}, {}, version, ELASTICSEARCH)
    assert (found is None) if lost is None else (found is not None and lost in found)


def test_blocks_come_with_the_request_that_removes_them() -> None:
    (sentence,) = blocked({"blocks": {"write": "true", "read_only": "false"}}, "articles")
    assert 'PUT /articles/_settings {"index.blocks.write": null}' in sentence
    assert blocked({}, "articles") == []


@pytest.mark.parametrize(
    ("literal", "written"),
    [
        ("1.10", "1.1"),
        ("1e2", "100.0"),
        ("0.25", "0.25"),
        ("1.0", "1.0"),
        ("1e10", "1.0E10"),
        ("12345678.5", "1.23456785E7"),
        ("0.0001", "1.0E-4"),
        ("0.1000000000000000055", "0.1"),
    ],
)
def test_numbers_are_written_as_java_does(literal: str, written: str) -> None:
    assert LiteralFloat(literal).rewritten == written


def test_changed_numbers_are_named_by_path() -> None:
    source = {"a": LiteralFloat("1.10"), "b": [{"c": LiteralFloat("2.50")}], "d": 1, "e": "1.10"}
    assert list(changed_numbers(source)) == ["a: 1.10 -> 1.1", "b.c: 2.50 -> 2.5"]
