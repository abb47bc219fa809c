"""Splitting a stream into portions, and portions into chunks."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import islice
from typing import TypeVar

T = TypeVar("T")

# Size of the first portion: even a slow model encodes it within seconds.
_FIRST = 16
# Target seconds per portion, so that even a slow run shows progress and saves it.
_QUICK_S, _LONG_S = 2.5, 10.0


class PortionSize:
    """The number of documents read and encoded together: small at first, growing while fast.

    Args:
        most: maximum size of a portion.

    Attributes:
        now: size of the next portion.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self.now = min(_FIRST, most)

    def took(self, seconds: float) -> None:
        """Record how long encoding a whole portion took, and adapt."""
        if seconds < _QUICK_S:
            self.now = min(self._most, self.now * (4 if seconds < _QUICK_S / 4 else 2))
        elif seconds > _LONG_S:
            self.now = max(min(_FIRST, self._most), self.now // 2)


def portions(items: Iterable[T], size: int | PortionSize) -> Iterator[list[T]]:
    """Yield consecutive lists of `size` items, the last one shorter, reading lazily."""
    iterator = iter(items)
    while portion := list(islice(iterator, size if isinstance(size, int) else size.now)):
        yield portion


def chunks(
    items: Sequence[T], *, max_items: int, max_bytes: int, size: Callable[[T], int]
) -> Iterator[list[T]]:
    """Yield consecutive chunks of at most `max_items` items and `max_bytes` bytes.

    An item larger than `max_bytes` gets a chunk of its own; the store decides whether to accept it.
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
