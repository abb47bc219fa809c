"""Compile conditions to queries, by the type of each field. Pure.

The mapping decides how a value can be found: text in a keyword field, numbers within the limits of
their type, dates as moments. A condition that the index cannot answer is refused, never guessed.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NoReturn

from splade_connectors.errors import ConfigurationError
from splade_connectors.filters import All, AnyOf, Condition, Equals, Exists, Not, Range
from splade_connectors.filters import Any as AtLeastOne
from splade_connectors.filters.conditions import Number, values_of
from splade_connectors.filters.dates import EARLIEST_MS, LATEST_MS, written
from splade_lucene.address import IndexAddress
from splade_lucene.fields import (
    DATES,
    DIFFERS,
    FLAT,
    FLOATS,
    INTEGERS,
    KEYWORDS,
    TEXTS,
    Field,
    field_at,
)

Query = dict[str, Any]

_NOTHING: Query = {"match_none": {}}
_OWN = "filter in its own language instead"
# The range of 64-bit nanoseconds: from 1970 to 2262.
_NANOS = (0, 9_223_372_036_854)
_MOST_TERMS = 65_536  # `index.max_terms_count`


@dataclass(frozen=True, slots=True)
class Fields:
    """The fields of an index, for conditions.

    Attributes:
        mapping: of the index.
        location: of the index, for messages.
        lists_long: as `Dialect.lists_long`.
    """

    mapping: Mapping[str, Any]
    location: str
    lists_long: bool = True

    @classmethod
    def of(cls, mapping: Mapping[str, Any], address: IndexAddress) -> Fields:
        """The fields of the index at an address."""
        return cls(mapping, address.location, address.dialect.lists_long)

    def knows(self, path: str) -> bool:
        """Whether the field is mapped; the server maps fields of new documents as they arrive."""
        found = field_at(self.mapping, path)
        return found.state != "unmapped" or bool(found.beside)

    def grouped(self, path: str) -> str:
        """The field to collapse hits by.

        Raises:
            ConfigurationError: if the index cannot distinguish the values of this field.
        """
        found = field_at(self.mapping, path)
        whole = found.whole if found.type in TEXTS | {"keyword"} else None
        if found.nested is None and whole and whole[1]["type"] == "keyword":
            return whole[0]
        if found.nested or found.type not in INTEGERS:
            what = "nested" if found.nested else found.type or "not mapped"
            self._refuse(found, f"{what}: group_by needs a keyword field or whole numbers")
        return found.path

    def ungrouped(self, path: str) -> Query | None:
        """The documents whose value is too long to be indexed and grouped by; None if unknown."""
        found = field_at(self.mapping, path)
        name, entry = found.whole or (path, found.entry)
        if "ignore_above" not in entry:
            return None
        if name != found.path:  # a subfield of text, which is indexed whatever its length
            beside = {"exists": {"field": found.path}}
            return {"bool": {"filter": [beside], "must_not": [{"exists": {"field": name}}]}}
        return {"term": {"_ignored": name}} if self.lists_long else None

    def query(self, condition: Condition) -> Query:
        """The query for the documents that meet a condition.

        Raises:
            ConfigurationError: if the index cannot answer it; says what it would need.
        """
        match condition:
            case All(conditions=inner):
                return {"bool": {"filter": [self.query(one) for one in inner]}}
            case AtLeastOne(conditions=inner):
                return _one_of([self.query(one) for one in inner])
            case Not(condition=one):
                return {"bool": {"must_not": [self.query(one)]}}
            case Equals() | AnyOf() | Range() | Exists():
                return self._leaf(condition)
        raise AssertionError(f"unknown condition: {condition!r}")

    def _leaf(self, condition: Equals | AnyOf | Range | Exists) -> Query:
        found = field_at(self.mapping, condition.path)
        if found.state == "unseen":
            self._refuse(found, "kept out of the index (dynamic or enabled: false): map it")
        if found.beside:
            self._refuse(found, f"not a field of the documents: name {found.beside!r}")
        if found.type == DIFFERS:
            self._refuse(found, f"{DIFFERS}: search one of them, or {_OWN}")
        if found.state == "unmapped":
            return _NOTHING  # no document has it
        self._check_values(found, condition)
        match condition:
            case Exists():
                query = self._exists(found)
            case Range():
                query = self._range(found, condition)
            case _:
                query = self._equals(found, condition)
        if found.nested is None or query == _NOTHING:
            return query
        return {"nested": {"path": found.nested, "query": query}}

    def _check_values(self, found: Field, condition: Equals | AnyOf | Range | Exists) -> None:
        """Refuse fields whose index does not have the values that documents have."""
        if found.entry.get("index") is False and found.entry.get("doc_values") is False:
            self._refuse(found, f"not searchable (index and doc_values: false): map it, or {_OWN}")
        null = found.entry.get("null_value")
        if null is None:
            return
        texts: Sequence[Any] = (null,)
        if isinstance(condition, Equals | AnyOf) and found.type in KEYWORDS:
            texts = values_of(condition).texts
        if null in texts:
            self._refuse(
                found, f"indexed as {null!r} if it is null (null_value), like that value: {_OWN}"
            )

    def _exists(self, found: Field) -> Query:
        if found.state == "object":
            self._refuse(found, "an object, which exists only through its fields: name one of them")
        exists = {"exists": {"field": found.path}}
        if "ignore_above" in found.entry and not self.lists_long:
            self._refuse(
                found,
                f"indexed up to {found.entry['ignore_above']} characters (ignore_above), and this "
                "server does not say which documents have a longer text: map it as text too",
            )
        if {"ignore_above", "ignore_malformed"} & set(found.entry):
            # A value that the index ignored exists too.
            return _one_of([exists, {"term": {"_ignored": found.path}}])
        return exists

    def _equals(self, found: Field, condition: Equals | AnyOf) -> Query:
        values = values_of(condition)
        queries = [
            *(self._texts(found, values.texts) if values.texts else ()),
            *(self._numbers(found, values.numbers) if values.numbers else ()),
            *(self._booleans(found, values.booleans) if values.booleans else ()),
            *(self._between(found, span.start, span.end) for span in values.spans),
        ]
        return _one_of([query for query in queries if query != _NOTHING])

    def _texts(self, found: Field, texts: Sequence[str]) -> list[Query]:
        if found.type in DATES:
            self._refuse(found, "a date: compare it with a date, not with text")
        if found.state == "object" or found.type in (*INTEGERS, *FLOATS, "boolean"):
            return []
        name, entry = found.path, found.entry
        if found.type in TEXTS | KEYWORDS:
            whole = found.whole
            if whole is None:
                what = f"{found.type} with a normalizer" if found.type in KEYWORDS else found.type
                self._refuse(
                    found,
                    f"{what} without a keyword sub-field, but texts are compared whole: map "
                    f'{found.path}.keyword ({{"type": "keyword"}}), or {_OWN}',
                )
            name, entry = whole
        elif found.type not in FLAT:
            self._refuse(found, f"{found.type}, which conditions do not compare: {_OWN}")
        self._check_length(found, texts, entry.get("ignore_above"))
        return _terms(name, texts)

    def _check_length(self, found: Field, texts: Sequence[str], most: Any) -> None:
        # Java counts UTF-16 code units.
        longest = max(len(text.encode("utf-16-le")) // 2 for text in texts)
        if most is not None and longest > int(most):
            self._refuse(
                found,
                f"indexed up to {most} characters (ignore_above), but the condition has a text of "
                f"{longest}: map it with a larger ignore_above, or {_OWN}",
            )

    def _numbers(self, found: Field, numbers: Sequence[Number]) -> list[Query]:
        self._check_flat(found)
        if found.type in INTEGERS:
            least, most = INTEGERS[found.type]
            whole = [int(n) for n in numbers if n == int(n) and least <= n <= most]
            return _terms(found.path, whole)
        if found.type in FLOATS:
            fitting = [n for n in numbers if abs(n) <= FLOATS[found.type]]
            zeros = [_range_query(found.path, {"gte": -0.0, "lte": 0.0})] if 0 in fitting else []
            return [*_terms(found.path, [n for n in fitting if n != 0]), *zeros]
        return []

    def _booleans(self, found: Field, booleans: Sequence[bool]) -> list[Query]:
        self._check_flat(found)
        return _terms(found.path, booleans) if found.type == "boolean" else []

    def _range(self, found: Field, condition: Range) -> Query:
        if condition.is_of_dates:
            return self._between(found, *condition.moments)
        self._check_flat(found)
        bounds: dict[str, Any] = dict(condition.given)
        if found.type in INTEGERS:
            return _within(found.path, bounds, *INTEGERS[found.type])
        if found.type in FLOATS:
            most = FLOATS[found.type]
            return _within(found.path, _signed(bounds), -most, most)
        return _NOTHING

    def _between(self, found: Field, first: int | None, behind: int | None) -> Query:
        """A range of dates, from the first millisecond inside to the first one after it."""
        self._check_flat(found)
        if found.type in TEXTS | KEYWORDS:
            self._refuse(
                found, f"{found.type}, which cannot be compared as dates: map it as date, or {_OWN}"
            )
        if found.type not in DATES:
            return _NOTHING
        least, most = _NANOS if found.type == "date_nanos" else (EARLIEST_MS, LATEST_MS)
        if (first is not None and first > most) or (behind is not None and behind <= least):
            return _NOTHING
        bounds = {
            **({"gte": written(first)} if first is not None and first > least else {}),
            **({"lt": written(behind)} if behind is not None and behind <= most else {}),
        }
        if not bounds:
            return {"exists": {"field": found.path}}
        return _range_query(found.path, {**bounds, "format": "strict_date_optional_time"})

    def _check_flat(self, found: Field) -> None:
        if found.type in FLAT:
            self._refuse(found, f"{found.type}, whose values are all text: compare it with text")

    def _refuse(self, found: Field, what: str) -> NoReturn:
        raise ConfigurationError(f"{found.path!r} of {self.location} is {what}")


def _one_of(queries: Sequence[Query]) -> Query:
    if len(queries) == 1:
        return queries[0]
    if not queries:
        return _NOTHING
    return {"bool": {"should": list(queries), "minimum_should_match": 1}}


def _terms(name: str, values: Sequence[Any]) -> list[Query]:
    if len(values) == 1:
        return [{"term": {name: values[0]}}]
    return [
        {"terms": {name: list(values[at : at + _MOST_TERMS])}}
        for at in range(0, len(values), _MOST_TERMS)
    ]


def _range_query(name: str, bounds: Mapping[str, Any]) -> Query:
    return {"range": {name: dict(bounds)}}


def _within(name: str, bounds: Mapping[str, Any], least: float, most: float) -> Query:
    """A range within the limits of a type: the server refuses bounds beyond them."""
    inside: dict[str, Any] = {}
    for side, bound in bounds.items():
        is_lower = side.startswith("g")
        if (is_lower and bound > most) or (not is_lower and bound < least):
            return _NOTHING
        if least <= bound <= most:
            inside[side] = bound
    return _range_query(name, inside) if inside else {"exists": {"field": name}}


def _signed(bounds: Mapping[str, Any]) -> dict[str, Any]:
    """Bounds of floats: Lucene orders -0.0 before 0.0, although they are equal."""
    zeros = {"gt": 0.0, "gte": -0.0, "lt": -0.0, "lte": 0.0}
    return {side: zeros[side] if bound == 0 else bound for side, bound in bounds.items()}
