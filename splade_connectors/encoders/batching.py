"""Batches: texts of similar length together, within a token budget that includes padding."""

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

    Rows are sorted by length to keep padding small; a row longer than the budget gets its own
    batch.

    Args:
        lengths: number of tokens of each row.
        max_tokens: maximum of rows x longest row per batch.
        max_texts: maximum number of rows per batch.

    Returns:
        Positions in `lengths`, batch by batch; every position once.
    """
    batches: list[list[int]] = []
    current: list[int] = []
    # Ascending, so the added row is the longest of its batch.
    for position in np.argsort(lengths, kind="stable").tolist():
        too_many = len(current) == max_texts
        if current and (too_many or (len(current) + 1) * lengths[position] > max_tokens):
            batches.append(current)
            current = []
        current.append(position)
    return [*batches, current] if current else batches


def pad(rows: Sequence[Tokens], padding_id: int) -> tuple[Tokens, Tokens]:
    """The rows of a batch as padded arrays.

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
    """Consecutive slices whose sizes sum to at most `budget`; a larger item gets its own slice."""
    start, total = 0, 0
    for position, size in enumerate(sizes):
        if position > start and total + size > budget:
            yield slice(start, position)
            start, total = position, 0
        total += size
    if start < len(sizes):
        yield slice(start, len(sizes))


def consecutive(lengths: Sequence[int], *, max_tokens: int, max_texts: int) -> list[list[int]]:
    """Group rows in their order, for an engine that needs no padding.

    Args:
        lengths: number of tokens of each row.
        max_tokens: maximum number of tokens per batch; a longer row gets its own batch.
        max_texts: maximum number of rows per batch.

    Returns:
        Positions in `lengths`, batch by batch; every position once.
    """
    # Each row uses at least its share of the budget, which bounds the number of rows.
    share = -(-max_tokens // max_texts)
    sizes = [max(length, share) for length in lengths]
    return [list(range(part.start, part.stop)) for part in slices_by_size(sizes, max_tokens)]


def concatenated(rows: Sequence[Tokens]) -> tuple[NDArray[np.uint32], NDArray[np.int64]]:
    """Concatenate rows.

    Returns:
        Token ids, uint32[total], and offsets, int64[rows + 1]: row i is
        ids[offsets[i] : offsets[i + 1]].
    """
    offsets = np.zeros(len(rows) + 1, np.int64)
    np.cumsum([len(row) for row in rows], out=offsets[1:])
    return np.concatenate(rows).astype(np.uint32), offsets


def ahead(function: Callable[[_In], _Out], items: Iterable[_In]) -> Iterator[_Out]:
    """Map a function over items in order, computing the next result in a thread meanwhile."""
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
