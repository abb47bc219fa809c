"""One array of objects is read as lines are: item by item, bounded, and none breaks another."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from splade_connectors.documents import Rejected
from splade_connectors.errors import ConfigurationError
from splade_connectors.files import json_rows as module
from splade_connectors.files import limits
from splade_connectors.files.json_rows import json_rows
from splade_connectors.files.readers import FileReader

TEXT = st.text(st.characters(exclude_categories=("Cs",)) | st.sampled_from('"\\[]{},\n'))
OBJECTS = st.lists(
    st.dictionaries(
        TEXT,
        st.recursive(
            st.none() | st.integers() | TEXT,
            lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
            max_leaves=6,
        ),
        max_size=3,
    ),
    max_size=5,
)


def rows_of(data: bytes) -> list[Any]:
    return [row for _, row in json_rows(io.BufferedReader(io.BytesIO(data)), "x.json")]


@settings(max_examples=300)
@given(OBJECTS, st.sampled_from([None, 0, 2]), st.booleans(), st.integers(1, 40))
def test_what_is_written_is_read(
    rows: list[Any], indent: int | None, narrow: bool, chunk: int
) -> None:
    data = json.dumps(rows, indent=indent, ensure_ascii=narrow).encode()
    whole = module._CHUNK
    module._CHUNK = chunk  # so that a chunk ends at every place
    try:
        assert rows_of(b" \n" + data + b"\n") == rows
    finally:
        module._CHUNK = whole


def test_broken_items_are_named_with_their_lines() -> None:
    data = (
        b'\n[\n {"id": 1},\n\n {"id" 2}, 5,\n ["x"],\n {"id": 3}\n {"id": 4}, , {"a": 1, "a": 2},'
    )
    rows = rows_of(data + b"\n]")
    reasons = [row.reason for row in rows if isinstance(row, Rejected)]
    assert [reason.split(":")[0] for reason in reasons] == [
        "line 5 is not JSON",
        "line 5 is a number, not a JSON object",
        "line 6 is a list, not a JSON object",
        "line 7 is not JSON",
        "line 8 is not JSON",
        "line 8 has the field 'a' twice",
    ]


def test_an_item_that_is_too_long_is_passed_over(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "LONGEST_LINE", 1000)
    rows = [{"id": 1}, {"text": "]" * 300_000}, {"id": 2}]
    first, second, last = rows_of(json.dumps(rows).encode())
    assert (first, last) == ({"id": 1}, {"id": 2})
    assert second.reason == "line 1 is longer than 1,000 bytes"


@pytest.mark.parametrize(
    ("data", "sentence"),
    [
        (b'[{"id": 1, "text": "a"}', "is truncated: its JSON array is not closed"),
        (b'[{"id": 1, "text": "a"}] [{"id": 2}]', "has more data after its JSON array"),
        (b'[{"id": 1, "text": "a"}]\n{"id": 2}', "has more data after its JSON array"),
        (b"[]", "has no readable row: it is empty"),
        (b"[ \n ]", "has no readable row: it is empty"),
        (b"[" * 1000, "its JSON array is not closed"),
    ],
)
def test_arrays_that_are_none(tmp_path: Path, data: bytes, sentence: str) -> None:
    (tmp_path / "x.json").write_bytes(data)
    with pytest.raises(ConfigurationError, match=sentence), FileReader(tmp_path / "x.json") as rows:
        list(rows)


def test_a_trailing_comma_is_no_item() -> None:
    assert rows_of(b'[{"id": 1},]') == [{"id": 1}]
    assert rows_of(b'[{"id": 1}, \n]\n') == [{"id": 1}]
