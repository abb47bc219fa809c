"""Batches: texts of similar length together, under a budget of tokens, padding included."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

Tokens = NDArray[np.int64]
_In = TypeVar("_In")
_Out = TypeVar("_Out")


def plan_batches(lengths: Sequence[int], *, max_tokens: int, max_texts: int) -> list[list[int]]:
    """Group rows so that each batch has at most `max_tokens` tokens after padding.

    Rows are sorted by length, so that little padding is needed; a row longer than the budget
    stands alone.

    Args:
        lengths: tokens of each row.
        max_tokens: most rows x longest row of a batch.
        max_texts: most rows of a batch.

    Returns:
        Positions in `lengths`, batch by batch; every position once.
    """
    batches: list[list[int]] = []
    current: list[int] = []
    # Ascending: the row being added is the longest of its batch.
    for position in np.argsort(lengths, kind="stable").tolist():
        too_many = len(current) == max_texts
        if current and (too_many or (len(current) + 1) * lengths[position] > max_tokens):
            batches.append(current)
            current = []
        current.append(position)
    return [*batches, current] if current else batches


def pad(rows: Sequence[Tokens], padding_id: int) -> tuple[Tokens, Tokens]:
    """Rows of one batch as arrays.

    Returns:
        Token ids and attention mask, both int64[rows, longest row]; the mask is 1 on tokens.
    """
    longest = max(len(row) for row in rows)
    ids = np.full((len(rows), longest), padding_id, np.int64)
    mask = np.zeros((len(rows), longest), np.int64)
    for at, row in enumerate(rows):
        ids[at, : len(row)] = row
        mask[at, : len(row)] = 1
    return ids, mask


def slices_by_size(sizes: Sequence[int], budget: int) -> Iterator[slice]:
    """Consecutive slices whose sizes add up to at most `budget`; a larger item stands alone."""
    start, total = 0, 0
    for position, size in enumerate(sizes):
        if position > start and total + size > budget:
            yield slice(start, position)
            start, total = position, 0
        total += size
    if start < len(sizes):
        yield slice(start, len(sizes))


def consecutive(lengths: Sequence[int], *, max_tokens: int, max_texts: int) -> list[list[int]]:
    """Group rows, in their order, for an engine that needs no padding.

    Args:
        lengths: tokens of each row.
        max_tokens: most tokens of a batch; a longer row stands alone.
        max_texts: most rows of a batch.

    Returns:
        Positions in `lengths`, batch by batch; every position once.
    """
    # A row takes at least its share of the budget: so there are never too many.
    share = -(-max_tokens // max_texts)
    sizes = [max(length, share) for length in lengths]
    return [list(range(part.start, part.stop)) for part in slices_by_size(sizes, max_tokens)]


def concatenated(rows: Sequence[Tokens]) -> tuple[NDArray[np.uint32], NDArray[np.int64]]:
    """Rows one after another.

    Returns:
        Token ids, uint32[total], and offsets, int64[rows + 1]: row i is
        ids[offsets[i] : offsets[i + 1]].
    """
    offsets = np.zeros(len(rows) + 1, np.int64)
    np.cumsum([len(row) for row in rows], out=offsets[1:])
    return np.concatenate(rows).astype(np.uint32), offsets


def ahead(function: Callable[[_In], _Out], items: Iterable[_In]) -> Iterator[_Out]:
    """The function of each item, in order; the next one is computed in a thread meanwhile."""
    given = list(items)
    if len(given) < 2:
        yield from map(function, given)
        return
    with ThreadPoolExecutor(1, "splade-ahead") as thread:
        coming = thread.submit(function, given[0])
        for item in given[1:]:
            ready = coming.result()
            coming = thread.submit(function, item)
            yield ready
        yield coming.result()
