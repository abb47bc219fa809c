"""Cutting a stream into portions and portions into chunks."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import islice
from typing import TypeVar

T = TypeVar("T")

# Of the first portion: even a slow model is through with so many texts in seconds.
_FIRST = 16
# Seconds that a portion may take, so that a slow run shows and keeps what it has done.
_QUICK_S, _LONG_S = 2.5, 10.0


class PortionSize:
    """How many documents are read and encoded together: few at first, more while that is quick.

    Args:
        most: of a portion.

    Attributes:
        now: of the next one.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self.now = min(_FIRST, most)

    def took(self, seconds: float) -> None:
        """Learn how long the encoding of a whole portion took."""
        if seconds < _QUICK_S:
            self.now = min(self._most, self.now * (4 if seconds < _QUICK_S / 4 else 2))
        elif seconds > _LONG_S:
            self.now = max(min(_FIRST, self._most), self.now // 2)


def portions(items: Iterable[T], size: int | PortionSize) -> Iterator[list[T]]:
    """Consecutive lists of `size` items, the last one shorter; the stream is read as needed."""
    iterator = iter(items)
    while portion := list(islice(iterator, size if isinstance(size, int) else size.now)):
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
