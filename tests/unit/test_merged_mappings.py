"""What conditions may ask of indices that are searched together: only what all of them tell."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from splade_lucene.fields import DIFFERS, field_at
from splade_lucene.merging import merged_mapping

Entry = Mapping[str, Any]

TEXT: Entry = {"type": "text"}
KEYWORD: Entry = {"type": "keyword"}
BOTH: Entry = {"type": "text", "fields": {"keyword": {"type": "keyword", "ignore_above": 256}}}


def merged(one: Entry | None, other: Entry | None, **mapping: Any) -> Any:
    """The field "f" of two mappings, the second with further settings, in both orders."""
    first = {"properties": {} if one is None else {"f": one}}
    second = {"properties": {} if other is None else {"f": other}, **mapping}
    found = field_at(merged_mapping(first, second), "f")
    assert field_at(merged_mapping(second, first), "f") == found
    return found


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (TEXT, KEYWORD),
        (KEYWORD, {"type": "object", "properties": {"a": KEYWORD}}),
        (KEYWORD, {"type": "keyword", "normalizer": "lower"}),
        (KEYWORD, {"type": "keyword", "null_value": "none"}),
        (KEYWORD, {"type": "keyword", "index": False}),
        ({"type": "alias", "path": "a"}, {"type": "alias", "path": "b"}),
        ({"type": "constant_keyword", "value": "a"}, {"type": "constant_keyword", "value": "b"}),
        ({"enabled": False}, {"properties": {}}),
    ],
)
def test_a_field_that_is_mapped_differently_is_marked(one: Entry, other: Entry) -> None:
    assert merged(one, other).type == DIFFERS


def test_a_sub_field_that_one_index_lacks_is_not_asked() -> None:
    assert merged(BOTH, TEXT).whole is None
    assert merged(BOTH, BOTH).whole == ("f.keyword", {**BOTH["fields"]["keyword"], "fields": {}})


def test_the_shorter_limit_holds() -> None:
    short = {"type": "keyword", "ignore_above": 10}
    assert merged(KEYWORD, short).entry["ignore_above"] == 10
    assert merged({"type": "keyword", "ignore_above": 99}, short).entry["ignore_above"] == 10


def test_a_field_that_one_index_does_not_map_has_no_values_there() -> None:
    assert merged(KEYWORD, None).type == "keyword"
    assert merged(KEYWORD, None, dynamic="strict").type == "keyword"


def test_unless_that_index_maps_nothing_new() -> None:
    assert merged(KEYWORD, None, dynamic=False).type == DIFFERS
    assert merged(None, None, dynamic="false").state == "unseen"


def test_objects_are_merged_field_by_field() -> None:
    one = {"properties": {"a": KEYWORD, "b": TEXT}}
    other = {"properties": {"b": KEYWORD}, "dynamic": "false"}
    both = merged_mapping({"properties": {"f": one}}, {"properties": {"f": other}})
    assert field_at(both, "f.a").type == DIFFERS
    assert field_at(both, "f.b").type == DIFFERS
    assert field_at(both, "f.c").state == "unseen"


def test_a_field_that_one_index_computes_is_marked() -> None:
    computed = {"runtime": {"f": {"type": "long"}}}
    assert merged(KEYWORD, None, **computed).type == DIFFERS
    assert field_at(merged_mapping(computed, computed), "f").type == "long"
