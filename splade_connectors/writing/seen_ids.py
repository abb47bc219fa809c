"""A memory-efficient set of the ids that a run has seen."""

from __future__ import annotations

import hashlib

import numpy as np
from numpy.typing import NDArray

from splade_connectors.documents import DocumentId

# Recent digests are kept in a set until they move to an array, which takes an eighth of the memory.
_RECENT = 65_536


class SeenIds:
    """A set of ids that needs 8 bytes per id: 80 MB for ten million.

    Stores 64-bit digests in sorted arrays, each at least twice as large as the next, so that there
    are few to search and each digest is rarely moved. The probability that any two of ten million
    ids share a digest is 3e-6.
    """

    def __init__(self) -> None:
        self._recent: set[int] = set()
        self._sorted: list[NDArray[np.uint64]] = []

    def __contains__(self, id: DocumentId) -> bool:
        return self._holds(_digest(id))

    def add(self, id: DocumentId) -> bool:
        """Add an id; return whether it is new."""
        digest = _digest(id)
        if self._holds(digest):
            return False
        self._recent.add(digest)
        if len(self._recent) >= _RECENT:
            self._move()
        return True

    def _holds(self, digest: int) -> bool:
        return digest in self._recent or any(_holds(known, digest) for known in self._sorted)

    def _move(self) -> None:
        moved = np.sort(np.fromiter(self._recent, np.uint64, len(self._recent)))
        self._recent.clear()
        while self._sorted and len(self._sorted[-1]) <= len(moved):
            moved = np.sort(np.concatenate([self._sorted.pop(), moved]))
        self._sorted.append(moved)


def _holds(known: NDArray[np.uint64], digest: int) -> bool:
    at = int(np.searchsorted(known, np.uint64(digest)))
    return at < len(known) and int(known[at]) == digest


def _digest(id: DocumentId) -> int:
    # Python's own hash collides too easily: hash(7) == hash(2**64 - 1).
    return int.from_bytes(hashlib.blake2b(repr(id).encode(), digest_size=8).digest())
