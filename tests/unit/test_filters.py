"""The filter language: what is a condition, what it means, and what an index needs for it."""

from __future__ import annotations

import json
import uuid
from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings

from splade_connectors import filters
from splade_connectors.errors import ConfigurationError
from splade_connectors.filters import (
    All,
    AnyOf,
    Condition,
    Equals,
    Exists,
    Not,
    Range,
    matches,
)
from splade_connectors.filters.dates import Span, span_in, span_of, written
from splade_connectors.filters.written import read_filter
from splade_connectors.fusion import DenseLeg, SparseLeg, TextLeg
from splade_connectors.options import SearchOptions
from splade_connectors.testing.filtering import conditions, payloads
from splade_lucene.compile.filters import Fields
from splade_lucene.compile.search import filter_json as lucene_filter
from splade_qdrant.compile.filters import filter_of
from splade_qdrant.compile.search import filter_json as qdrant_filter

EN = Equals("lang", "en")
BERLIN = timezone(timedelta(hours=2))


@pytest.mark.parametrize(
    ("condition", "payload", "fits"),
    [
        (EN, {"lang": "en"}, True),
        (EN, {"lang": "EN"}, False),
        (EN, {"lang": ["de", "en"]}, True),
        (EN, {"lang": None}, False),
        (EN, {}, False),
        (Equals("n", 5), {"n": 5.0}, True),
        (Equals("n", 5), {"n": "5"}, False),
        (Equals("n", 1), {"n": True}, False),
        (Equals("n", True), {"n": 1}, False),
        (Equals("n", 2**60), {"n": 2**60 + 1}, False),
        (Equals("a.b", 1), {"a": {"b": 1}}, True),
        (Equals("a.b", 1), {"a": [{"b": 2}, {"b": [3, 1]}]}, True),
        (Equals("a.b", 1), {"a.b": 1}, True),
        (Equals("a", 1), {"a": {"b": 1}}, False),
        (AnyOf("n", [1, 2]), {"n": [2, 3]}, True),
        (AnyOf("n", []), {"n": 1}, False),
        (Range("n", gt=1, lt=2), {"n": [1, 2]}, False),
        (Range("n", gte=1, lt=2), {"n": [1, 2]}, True),
        (Range("n", gte=1), {"n": True}, False),
        (Range("n", gte=1), {"n": "2024-01-01"}, False),
        (Exists("n"), {"n": ""}, True),
        (Exists("n"), {"n": []}, False),
        (Exists("n"), {"n": [None]}, False),
        (Exists("n"), {"n": [None, 0]}, True),
        (~Exists("n"), {}, True),
        (Not(EN), {}, True),
        (Not(EN), {"lang": ["en", "de"]}, False),
        (EN & Exists("n"), {"lang": "en"}, False),
        (EN | Exists("n"), {"lang": "en"}, True),
        (All(), {}, True),
        (filters.Any(), {}, False),
        (Equals("d", date(2024, 2, 29)), {"d": "2024-02-29"}, True),
        (Equals("d", date(2024, 2, 29)), {"d": "2024-02-29T23:59:59.999Z"}, True),
        (Equals("d", date(2024, 2, 29)), {"d": "2024-03-01T01:30:00+02:00"}, True),
        (Equals("d", "2024-02-29"), {"d": "2024-02-29T00:00:00Z"}, False),
        (Equals("d", datetime(2024, 2, 29, 8)), {"d": "2024-02-29T08:00:00.0009Z"}, True),
        (Equals("d", datetime(2024, 2, 29, 8)), {"d": "2024-02-29T08:00:00.001Z"}, False),
        (Range("d", gt=date(2024, 2, 29)), {"d": "2024-02-29T23:59:59.999Z"}, False),
        (Range("d", gt=date(2024, 2, 29)), {"d": "2024-03-01"}, True),
        (Range("d", lte=date(2024, 2, 29)), {"d": "2024-02-29T23:59:59.999Z"}, True),
        (Range("d", lt=date(2024, 2, 29)), {"d": "2024-02-29"}, False),
        (Range("d", gte="2024-02-29T00:00:00+02:00"), {"d": "2024-02-28T22:00:00Z"}, True),
        (Range("d", lte=date(9999, 12, 31)), {"d": "9999-12-31T23:59:59Z"}, True),
        (Range("d", gt=date(9999, 12, 31)), {"d": "9999-12-31T23:59:59Z"}, False),
        (Range("d", gte=date(2024, 1, 1)), {"d": 1709164800000}, False),
        (Range("d", gte=date(2024, 1, 1)), {"d": "yesterday"}, False),
    ],
)
def test_what_a_condition_means(condition: Condition, payload: Any, fits: bool) -> None:
    assert matches(condition, payload) is fits


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("2024-02-29", "2024-02-29T00:00:00.000Z"),
        ("2024-02-29T08:30:00", "2024-02-29T08:30:00.000Z"),
        ("2024-02-29T08:30:00.1299Z", "2024-02-29T08:30:00.129Z"),
        ("2024-02-29T00:30:00+01:00", "2024-02-28T23:30:00.000Z"),
        ("2024-02-29T23:30:00-01:00", "2024-03-01T00:30:00.000Z"),
        ("1969-12-31T23:59:59.999Z", "1969-12-31T23:59:59.999Z"),
        *((text, None) for text in ("2024", "2024-02-30", "2024-02-29T24:00:00", "29.2.2024", "")),
        ("2024-02-29 08:30:00", None),
        ("2024-02-29T08:30", None),
        ("\uff12024-02-29", None),  # a digit, but of another script
        ("2024-02-29T08:30:00+25:00", None),
    ],
)
def test_what_is_a_date(text: str, shown: str | None) -> None:
    span = span_in(text)
    assert (span and written(span.start)) == shown


def test_dates_of_python_are_the_moments_they_name() -> None:
    day = span_of(date(2024, 2, 29))
    assert day.end - day.start == 86_400_000
    assert span_of(datetime(2024, 2, 29, 8, 30)) == span_in("2024-02-29T08:30:00Z")
    assert span_of(datetime(2024, 2, 29, 10, 30, tzinfo=BERLIN)) == span_in("2024-02-29T08:30:00Z")
    before = span_of(datetime(1969, 12, 31, 23, 59, 59, 999_900, tzinfo=UTC))
    assert before == Span(-1, 0)


@settings(max_examples=30)
@given(conditions())
def test_json_says_the_same(condition: Condition) -> None:
    text = json.dumps(filters.to_json(condition))
    again = filters.from_json(json.loads(text))
    assert filters.to_json(again) == json.loads(text)
    assert filters.is_condition(json.loads(text))


@settings(max_examples=30)
@given(conditions(), payloads())
def test_json_finds_the_same(condition: Condition, payload: Any) -> None:
    again = filters.from_json(json.loads(json.dumps(filters.to_json(condition))))
    assert matches(again, payload) == matches(condition, payload)


def test_values_are_what_they_would_be_in_a_payload() -> None:
    number = uuid.UUID(int=1)
    assert AnyOf("n", np.array([1, 2])) == AnyOf("n", [1, 2])
    assert Equals("n", np.float32(0.5)) == Equals("n", 0.5)
    assert Equals("id", number) == Equals("id", str(number))
    assert Equals("price", Decimal("9.99")) == Equals("price", 9.99)
    moment = np.datetime64("2024-02-29T08:30:00.123456789")
    assert Range("d", gte=moment) == Range("d", gte="2024-02-29T08:30:00.123456789")
    for nothing in (np.float64("nan"), np.datetime64("NaT"), float("inf")):
        with pytest.raises(ConfigurationError, match="it takes text, a bool, a date"):
            Equals("n", nothing)


@pytest.mark.parametrize(
    "own",
    [
        {"term": {"lang": "en"}},
        {"range": {"path": {"gte": 5}}},
        {"exists": {"field": "lang"}},
        {"must": []},
        {"lang": "en"},
        [],
    ],
)
def test_the_stores_own_language_is_told_apart(own: Any) -> None:
    assert not filters.is_condition(own)


@pytest.mark.parametrize(
    ("make", "sentence"),
    [
        (
            lambda: Equals("", 1),
            "a condition needs a field name, such as lang or author.name, not ''",
        ),
        (lambda: Equals("a..b", 1), "needs a field name"),
        (lambda: Equals(5, 1), "needs a field name, .* not 5"),
        (
            lambda: Exists("a*"),
            r"the field 'a\*' has '\*' in its name, .* store's own filter language",
        ),
        (lambda: Exists('a"'), "has '\"' in its name"),
        (lambda: Exists("a\n"), "has a control character in its name"),
        (lambda: Exists("a.b.c.d.e.f"), "more than 5 names deep"),
        (
            lambda: Equals("n", None),
            r"None is not a value of 'n': Not\(Exists\('n'\)\) finds docu",
        ),
        (
            lambda: Equals("n", [1]),
            r"the condition on 'n' has the value \[1\]: it takes text, a bool, a date",
        ),
        (
            lambda: Equals("n", float("nan")),
            "has the value nan: it takes .* finite number of at most 64 bits",
        ),
        (lambda: Equals("n", 2**63), "at most 64 bits"),
        (lambda: Equals("n", "\ud800"), "it takes text"),
        (lambda: AnyOf("n", "en"), r"AnyOf\('n', …\) takes a list of values, not 'en'"),
        (lambda: AnyOf("n", 5), "takes a list of values, not 5"),
        (lambda: Range("n"), r"Range\('n', …\) has no bound: give gt or gte, lt or lte"),
        (lambda: Range("n", gt=1, gte=1), r"Range\('n', …\) has both gt and gte: give only one"),
        (lambda: Range("n", gt=1, lt="2024-01-01"), "has numbers and dates"),
        (lambda: Range("n", gt=True), "takes numbers or dates, not True"),
        (
            lambda: Range("n", gt="tomorrow"),
            "'tomorrow', which is not a date: write 2024-05-17, 2024",
        ),
        (lambda: All("en"), r"All\(…\) takes conditions, such as Equals\('lang', 'en'\), not 'en'"),
        (lambda: Not(None), "takes conditions"),
        (lambda: EN & True, "takes conditions, .* not True"),
        (
            lambda: filters.from_json([]),
            "a condition must be an object with one of equals, any_of, range",
        ),
        (
            lambda: filters.from_json({"is": 1}),
            "unknown condition 'is': it must be one of equals, ",
        ),
        (lambda: filters.from_json({"all": 5}), "'all' takes a list of conditions, not 5"),
        (
            lambda: filters.from_json({"equals": {"path": "n"}}),
            "takes an object with path and value",
        ),
        (
            lambda: filters.from_json({"equals": {"lang": "en"}}),
            "an object with path and value, no",
        ),
        (
            lambda: filters.from_json({"exists": {"path": "n", "gt": 1}}),
            "'exists' has the unknown key 'gt'; known are path",
        ),
        (
            lambda: filters.from_json({"any_of": {"path": "n", "values": "x"}}),
            "takes a list of values",
        ),
        (
            lambda: filters.from_json({"equals": {"path": "n", "value": {"date": "1.1.2024"}}}),
            "which is not a date",
        ),
        (
            lambda: filters.from_json({"equals": {"path": "n", "value": {"day": "x"}}}),
            "it takes text",
        ),
    ],
)
def test_what_is_no_condition_is_refused_with_a_sentence(make: Any, sentence: str) -> None:
    with pytest.raises(ConfigurationError, match=sentence):
        make()


KEYWORD = {"type": "keyword"}
DYNAMIC = {"type": "text", "fields": {"keyword": {"type": "keyword", "ignore_above": 256}}}
MAPPING = {
    "properties": {
        "lang": KEYWORD,
        "title": {"type": "text"},
        "folded": {"type": "text", "fields": {"low": {"type": "keyword", "normalizer": "lower"}}},
        "body": DYNAMIC,
        "day": {"type": "date"},
        "nanos": {"type": "date_nanos"},
        "small": {"type": "byte"},
        "ratio": {"type": "half_float"},
        "open": {"type": "boolean"},
        "labels": {"type": "flattened"},
        "author": {"properties": {"name": DYNAMIC}},
        "people": {"type": "nested", "properties": {"age": {"type": "integer"}}},
        "raw": {"type": "object", "enabled": False},
        "closed": {"dynamic": "false", "properties": {"known": KEYWORD}},
        "dotted.name": KEYWORD,
        "renamed": {"type": "alias", "path": "lang"},
        "ip": {"type": "ip"},
        "lax": {"type": "long", "ignore_malformed": True},
    },
    "runtime": {"computed": {"type": "long"}},
}
NOTHING = {"match_none": {}}


def compiled(condition: Condition) -> Any:
    return lucene_filter(condition, Fields(MAPPING, "elasticsearch://localhost/x"))


@pytest.mark.parametrize(
    ("condition", "query"),
    [
        (EN, {"term": {"lang": "en"}}),
        (Equals("body", "x"), {"term": {"body.keyword": "x"}}),
        (Equals("renamed", "x"), {"term": {"lang": "x"}}),
        (Equals("dotted.name", "x"), {"term": {"dotted.name": "x"}}),
        (Equals("labels.color", "red"), {"term": {"labels.color": "red"}}),
        (Equals("computed", 5), {"term": {"computed": 5}}),
        (Equals("closed.known", "x"), {"term": {"closed.known": "x"}}),
        (Equals("small", 300), NOTHING),
        (Equals("small", 5.5), NOTHING),
        (Equals("ratio", 1e6), NOTHING),
        (Equals("open", 1), NOTHING),
        (Equals("lang", 5), NOTHING),
        (Equals("nowhere", 5), NOTHING),
        (Exists("nowhere"), NOTHING),
        (Range("lang", gte=5), NOTHING),
        (Range("small", gte=300), NOTHING),
        (Range("small", lt=300), {"exists": {"field": "small"}}),
        (Range("small", gt=-1, lt=300), {"range": {"small": {"gt": -1}}}),
        (Range("nanos", lt=date(1960, 1, 1)), NOTHING),
        (Range("nanos", gte=date(1960, 1, 1)), {"exists": {"field": "nanos"}}),
        (Range("day", lte=date(9999, 12, 31)), {"exists": {"field": "day"}}),
        (Range("open", gte=date(2024, 1, 1)), NOTHING),
        (AnyOf("open", [True, False]), {"terms": {"open": [True, False]}}),
        (
            Range("people.age", gte=18),
            {"nested": {"path": "people", "query": {"range": {"people.age": {"gte": 18}}}}},
        ),
        (
            Exists("lax"),
            {
                "bool": {
                    "should": [{"exists": {"field": "lax"}}, {"term": {"_ignored": "lax"}}],
                    "minimum_should_match": 1,
                }
            },
        ),
    ],
)
def test_a_mapping_decides_how_a_value_is_found(condition: Condition, query: Any) -> None:
    assert compiled(condition) == query


def test_many_values_are_asked_for_in_parts() -> None:
    query = compiled(AnyOf("lang", map(str, range(70_000))))
    assert [len(part["terms"]["lang"]) for part in query["bool"]["should"]] == [65_536, 4_464]


@pytest.mark.parametrize(
    ("condition", "sentence"),
    [
        (
            Equals("title", "x"),
            "'title' of elasticsearch://localhost/x is text without a keyword sub-field, but "
            r"texts are compared whole: map title.keyword \(\{\"type\": \"keyword\"\}\), or ",
        ),
        (Equals("folded", "x"), "text without a keyword sub-field"),
        (
            Equals("body", "x" * 257),
            r"indexed up to 256 characters \(ignore_above\), .* of 257",
        ),
        (Equals("body", "😀" * 129), "a text of 258"),
        (Equals("body.keyword", "x"), "not a field of the documents: name 'body'"),
        (Equals("day", "2024-01-01"), "a date: compare it with a date, not with text"),
        (
            Range("lang", gte=date(2024, 1, 1)),
            "keyword, which cannot be compared as dates: map it as",
        ),
        (Equals("labels.n", 5), "flattened, whose values are all text: compare it with text"),
        (Exists("author"), "an object, which exists only through its fields: name one of them"),
        (Exists("raw.x"), "kept out of the index"),
        (Exists("closed.unknown"), "kept out of the index"),
    ],
)
def test_what_an_index_cannot_tell_is_refused(condition: Condition, sentence: str) -> None:
    for wrapped in (condition, ~condition, EN & condition):
        with pytest.raises(ConfigurationError, match=sentence):
            compiled(wrapped)


def test_where_filters_need_an_index_the_indexed_path_is_taken() -> None:
    people = Equals("people.name", "Ada")
    assert filter_of(people, ["people[].name", "lang"]) == {
        "must": [{"key": "people[].name", "match": {"value": "Ada"}}]
    }
    every = [one["key"] for one in filter_of(people, ["lang"])["should"]]
    assert every == ["people.name", "people[].name", '"people.name"']
    assert qdrant_filter(people) == filter_of(people)
    assert filter_of(Equals("first name", "Ada"))["must"][0]["key"] == '"first name"'


@pytest.mark.parametrize(
    "given",
    [
        {"exists": {"field": "lang"}},
        {"range": {"year": {"gte": 2020}}},
        {"range": {"path": {"gte": 2020}}},  # a field called path
        {"nested": {"path": "author", "query": {"match_all": {}}}},
        {"match_all": {}},
        {"terms": {"lang": ["en"]}},
        {"term": {"equals": "x"}},
        {"ids": {"values": ["1"]}},
        {"bool": {"must_not": [{"term": {"lang": "en"}}]}},
        {"must": [{"key": "lang", "match": {"value": "en"}}]},
        {"must_not": [], "should": []},
        {"exist": {"field": "lang"}},
        {},
        {"lang": "en"},
        "lang:en",
        ["en"],
        5,
    ],
)
def test_what_a_store_may_take_is_left_to_it(given: object) -> None:
    assert read_filter(given) is given
    assert SearchOptions(filter=given).filter is given


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        (
            {"equal": {"path": "lang", "value": "en"}},
            "unknown condition 'equal': it must be one of",
        ),
        ({"is": {"path": "lang", "value": "en"}}, "unknown condition 'is'"),
        ({"anyof": {"path": "lang", "values": []}}, "unknown condition 'anyof'"),
        ({"anyOf": ["x"]}, "unknown condition 'anyOf'"),
        ({"Equals": {}}, "unknown condition 'Equals'"),
        ({"or": [{"exists": {"path": "a"}}]}, "unknown condition 'or'"),
        ({"must": [{"equals": {"path": "a", "value": 1}}]}, "unknown condition 'must'"),
        ({"equals": {"path": "a", "value": 1}, "range": {}}, "an object with one of equals"),
        ({"all": [{"equal": {"path": "a", "value": 1}}]}, "unknown condition 'equal'"),
        ({"equals": {"field": "a", "value": 1}}, "'equals' takes an object with path and value"),
    ],
)
def test_a_misspelled_condition_names_those_there_are(given: object, sentence: str) -> None:
    with pytest.raises(ConfigurationError, match=sentence):
        SearchOptions(filter=given)
    for leg in (SparseLeg, DenseLeg, TextLeg):
        arguments = {"vector": [1.0]} if leg is DenseLeg else {}
        with pytest.raises(ConfigurationError, match=sentence):
            leg(filter=given, **arguments)
