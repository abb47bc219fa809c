"""The comparison itself: what counts as a difference, and what does not."""

from __future__ import annotations

from typing import Any

import pytest

from tests.faults.documents import rows
from tests.faults.snapshot import assert_untouched, differences


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (1, True),
        (0, False),
        (1, "1"),
        (None, ""),
        ([], {}),
        ([1, 2], [2, 1]),
        ([1], [1, 2]),
        ({"a": None}, {}),
        (2**53 + 1, float(2**53)),
        (0.1, 0.1000000001),
        ({"a": [{"b": 1}]}, {"a": [{"b": 2}]}),
    ],
)
def test_differences(old: Any, new: Any) -> None:
    assert list(differences(old, new, "field"))
    assert list(differences(new, old, "field"))


@pytest.mark.parametrize(
    ("old", "new"), [(1, 1.0), (1.10, 1.1), (150, 1.5e2), ({"a": [None]}, {"a": [None]})]
)
def test_what_is_the_same(old: Any, new: Any) -> None:
    assert not list(differences(old, new, "field"))


def test_documents_and_fields() -> None:
    before = {"a": {"x": 1, "dense": [0.5]}, "b": {"x": 2, "dense": [0.25]}}
    after = {"a": {"x": 1, "dense": [0.5 + 1e-7], "ours": 3}, "b": {"x": 2, "dense": [0.25]}}
    assert_untouched(before, after, {"ours"}, {"dense": 3e-7})
    with pytest.raises(AssertionError, match=r"1 values differ.*dense\[0\] is 0.5000001, not 0.5"):
        assert_untouched(before, after, {"ours"})
    with pytest.raises(AssertionError, match="ours has come"):
        assert_untouched(before, after, (), {"dense": 3e-7})
    with pytest.raises(AssertionError, match="lost: \\['b'\\]"):
        assert_untouched(before, {"a": before["a"]})
    with pytest.raises(AssertionError, match="appeared: \\['b'\\]"):
        assert_untouched({"a": before["a"]}, before)


def test_documents_are_the_same_in_every_process() -> None:
    assert rows(50) == rows(50)
    assert [
        row.id for row in rows(2000, conflict_every=1000) if isinstance(row.payload["year"], str)
    ] == [
        "row-500",
        "row-1500",
    ]
