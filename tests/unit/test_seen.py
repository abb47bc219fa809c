"""Which ids a run has met: as a set, in less memory."""

from __future__ import annotations

import tracemalloc

import pytest
from hypothesis import given
from hypothesis import strategies as st

from splade_connectors.writing import seen_ids as seen
from splade_connectors.writing.seen_ids import SeenIds

IDS = st.one_of(
    st.integers(0, 20), st.sampled_from(["5", "x", "doc-1", "\ud800"]), st.integers(0, 2**64 - 1)
)


@pytest.mark.parametrize("recent", [1, 2, 3, 65_536])
@given(ids=st.lists(IDS, max_size=80))
def test_as_a_set(recent: int, ids: list[int | str]) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(seen, "_RECENT", recent)
        met, expected = SeenIds(), set()
        for id in ids:
            key = (type(id), id)  # the number 5 and the string "5" are two ids
            assert met.add(id) == (key not in expected)
            expected.add(key)


def test_numbers_of_one_hash_are_two_ids() -> None:
    met = SeenIds()
    assert hash(7) == hash(7 + 2**61 - 1)
    assert met.add(7)
    assert met.add(7 + 2**61 - 1)


def test_many_ids_take_little_room(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(seen, "_RECENT", seen._RECENT // 8)
    tracemalloc.start()
    try:
        met = SeenIds()
        assert all(met.add(f"doc-{number}") for number in range(50_000))
        current, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert not met.add("doc-0")
    assert not met.add("doc-49999")
    # A set of 50,000 numbers takes 3.7 MB; the newest 8,192 digests are still in one.
    assert current < 1_500_000
