"""Batches: texts of similar length together, under a budget of tokens, padding included."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

Tokens = NDArray[np.int64]


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
