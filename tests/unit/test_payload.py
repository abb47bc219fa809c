"""Payloads that no store could keep are turned away, one by one, with the reason."""

from __future__ import annotations

import json
import math
from datetime import date, datetime, timedelta
from decimal import Decimal
from enum import Enum, IntEnum
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from splade_connectors import Document
from splade_connectors.errors import ConfigurationError, InvalidDocument
from splade_connectors.testing import HashEncoder, MemoryStore
from splade_connectors.values import DEEPEST, Unreadable, stored_payload


class Color(Enum):
    RED = "red"


def nested(levels: int) -> Any:
    value: Any = 1
    for _ in range(levels):
        value = {"d": value}
    return value


@pytest.mark.parametrize("payload", [{}, {"a": [1, {"b": None}]}, nested(DEEPEST)])
def test_json_is_fine(payload: dict[str, Any]) -> None:
    assert stored_payload(payload) == payload


@pytest.mark.parametrize(
    ("payload", "reason"),
    [
        (nested(DEEPEST + 1), "more than 100 levels deep"),
        (nested(5000), "more than 100 levels deep"),
        ({"a": -math.inf}, "the payload's field 'a' is infinite, which JSON cannot represent"),
        ({"a": [{"b": {1, 2}}]}, "the payload's field 'a.b' has type set, which cannot be stored"),
        ({"a": 1j}, "field 'a' has type complex"),
        ({"a": Color.RED}, r"field 'a' has type .*\.Color"),
        ({"a": np.timedelta64(1, "Y")}, r"field 'a' has type numpy\.timedelta64\[Y\]"),
        ({"a": Unreadable("is not a date")}, "the payload's field 'a' is not a date"),
        ({"a": Decimal("-Infinity")}, "field 'a' is infinite"),
        ({"a": "\ud800"}, "field 'a' is not valid Unicode"),
        ({"a": {"\ud800": 1}}, "is not valid Unicode"),
        ({"a": {1: 2}}, "field 'a' has the key 1; keys must be strings"),
    ],
)
def test_what_is_no_json_is_named(payload: dict[str, Any], reason: str) -> None:
    with pytest.raises(InvalidDocument, match=reason):
        stored_payload(payload)


class NAType:
    """pandas' NA, by its name."""

    def __ne__(self, other: object) -> bool:
        raise TypeError("boolean value of NA is ambiguous")

    __hash__ = None  # type: ignore[assignment]


class Timestamp(datetime):
    """pandas' own: it counts nanoseconds."""

    def isoformat(self, *_: Any) -> str:
        return f"{super().isoformat()}.000000007"


class Nanoseconds(timedelta):
    nanoseconds = 7


class Level(IntEnum):
    HIGH = 3


@pytest.mark.parametrize(
    ("value", "stored"),
    [
        (NAType(), "absent"),
        (Decimal("sNaN"), "absent"),
        (np.float16("nan"), "absent"),
        ([NAType(), 1], [None, 1]),
        (Timestamp(2024, 1, 2), "2024-01-02T00:00:00.000000007"),
        (Nanoseconds(seconds=-1), "PT-0.999999993S"),
        (timedelta(microseconds=1), "PT0.000001S"),
        (timedelta(days=1000), "PT86400000S"),
        (np.datetime64("2024-01-02T03", "h"), "2024-01-02T03:00:00"),
        (np.datetime64("2024-01-02T03:04:05.5", "ns"), "2024-01-02T03:04:05.500000"),
        (np.datetime64("2024-01", "M"), "2024-01"),
        (np.longdouble(1.5), 1.5),
        (np.str_("x"), "x"),
        (np.array(3), 3),
        (np.array([date(2024, 1, 2)], object), ["2024-01-02"]),
        (Level.HIGH, 3),
        (Decimal("1E+25"), "10000000000000000000000000"),
        (Decimal("1E+999999"), "1E+999999"),
        (Decimal("1E-999999"), "1E-999999"),
        (Decimal("0.10"), 0.1),
        (-(2**63) - 1, "-9223372036854775809"),
        (bytearray(b"a"), "YQ=="),
        (memoryview(b"a"), "YQ=="),
    ],
)
def test_what_a_value_becomes(value: Any, stored: Any) -> None:
    found = stored_payload({"x": value}).get("x", "absent")
    assert found == stored
    assert type(found) is type(stored)


@given(st.decimals(allow_nan=False, allow_infinity=False))
def test_a_decimal_is_the_same_number(value: Decimal) -> None:
    found = json.loads(json.dumps(stored_payload({"x": value})["x"]), parse_float=Decimal)
    assert Decimal(found) == value


NAMES = st.text().filter(str.strip)
VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_infinity=False)
    | st.text()
    | st.binary()
    | st.datetimes()
    | st.timedeltas()
    | st.uuids(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=3),
    max_leaves=10,
)


@given(st.dictionaries(NAMES, VALUES, max_size=4))
def test_what_is_stored_is_json_and_stays_as_it_is(payload: dict[str, Any]) -> None:
    kept = stored_payload(payload)
    json.dumps(kept, allow_nan=False, ensure_ascii=False).encode()
    assert stored_payload(kept) == kept


def test_update_refuses_it_too() -> None:
    store = MemoryStore(HashEncoder())
    store.index([Document(id=1, text="one")])
    with pytest.raises(InvalidDocument, match="levels deep"):
        store.update(1, payload=nested(200))
    with pytest.raises(InvalidDocument, match="must be a mapping, not list"):
        store.update(1, payload=[1])  # type: ignore[arg-type]
    assert store.get([1])[0].payload == {"text": "one"}


@pytest.mark.parametrize("rows", [["text"], [{"id": "a", "text": "b"}], [None], "abc"])
def test_only_documents_are_indexed(rows: Any) -> None:
    store = MemoryStore(HashEncoder())
    with pytest.raises(ConfigurationError, match="index expects Document objects, not"):
        store.index(rows)


def test_one_document_is_no_list() -> None:
    with pytest.raises(ConfigurationError, match=r"not Document; pass \[document\]"):
        MemoryStore(HashEncoder()).index(Document(id=1, text="x"))  # type: ignore[arg-type]
