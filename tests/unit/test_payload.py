"""Payloads that no store could keep are turned away, one by one, with the reason."""

from __future__ import annotations

import math
from typing import Any

import pytest

from splade_connectors import Document
from splade_connectors.errors import ConfigurationError, InvalidDocument
from splade_connectors.payloads import DEEPEST, payload_reason
from splade_connectors.testing import HashEncoder, MemoryStore


def nested(levels: int) -> Any:
    value: Any = 1
    for _ in range(levels):
        value = {"d": value}
    return value


@pytest.mark.parametrize("payload", [{}, {"a": [1, {"b": None}]}, nested(DEEPEST)])
def test_json_is_fine(payload: dict[str, Any]) -> None:
    assert payload_reason(payload) is None


@pytest.mark.parametrize(
    ("payload", "reason"),
    [
        (nested(DEEPEST + 1), "more than 100 levels deep"),
        (nested(5000), "more than 100 levels deep"),
        ({"a": math.nan}, "not JSON"),
        ({"a": {1, 2}}, "not JSON"),
        ({"a": "\ud800"}, "not JSON"),
    ],
    ids=["deep", "very deep", "NaN", "set", "half a surrogate"],
)
def test_what_is_no_json_is_named(payload: dict[str, Any], reason: str) -> None:
    found = payload_reason(payload)
    assert found is not None
    assert reason in found


def test_update_refuses_it_too() -> None:
    store = MemoryStore(HashEncoder())
    store.index([Document(id=1, text="one")])
    with pytest.raises(InvalidDocument, match="levels deep"):
        store.update(1, payload=nested(200))
    with pytest.raises(InvalidDocument, match="list, not a mapping"):
        store.update(1, payload=[1])  # type: ignore[arg-type]
    assert store.get([1])[0].payload == {"text": "one"}


@pytest.mark.parametrize("rows", [["text"], [{"id": "a", "text": "b"}], [None], "abc"])
def test_only_documents_are_indexed(rows: Any) -> None:
    store = MemoryStore(HashEncoder())
    with pytest.raises(ConfigurationError, match="index takes Document objects, not"):
        store.index(rows)


def test_one_document_is_no_list() -> None:
    with pytest.raises(ConfigurationError, match=r"not one Document: pass \[document\]"):
        MemoryStore(HashEncoder()).index(Document(id=1, text="x"))  # type: ignore[arg-type]
