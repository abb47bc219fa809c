"""Cutting a stream into portions and portions into chunks."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import islice
from typing import TypeVar

T = TypeVar("T")


def portions(items: Iterable[T], size: int) -> Iterator[list[T]]:
    """Consecutive lists of `size` items, the last one shorter; the stream is read as needed."""
    iterator = iter(items)
    while portion := list(islice(iterator, size)):
        yield portion


def chunks(
    items: Sequence[T], *, max_items: int, max_bytes: int, size: Callable[[T], int]
) -> Iterator[list[T]]:
    """Consecutive chunks of at most `max_items` items and `max_bytes` bytes.

    An item larger than `max_bytes` stands alone: the store decides about it.
    """
    chunk: list[T] = []
    total = 0
    for item in items:
        weight = size(item)
        if chunk and (len(chunk) == max_items or total + weight > max_bytes):
            yield chunk
            chunk, total = [], 0
        chunk.append(item)
        total += weight
    if chunk:
        yield chunk
