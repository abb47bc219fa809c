"""Which ids a run has met before, in little memory."""

from __future__ import annotations

import hashlib

import numpy as np
from numpy.typing import NDArray

from splade_connectors.documents import DocumentId

# Digests that wait in a set; then they move into an array, at an eighth of the room.
_RECENT = 65_536


class SeenIds:
    """A set of ids that holds 8 bytes for each: 80 MB for ten million.

    Kept are 64-bit digests, in sorted arrays whose sizes at least double from one to the next, so
    that there are few to search and each digest is moved seldom. Two ids of ten million share a
    digest with a probability of 3e-6.
    """

    def __init__(self) -> None:
        self._recent: set[int] = set()
        self._sorted: list[NDArray[np.uint64]] = []

    def __contains__(self, id: DocumentId) -> bool:
        digest = _digest(id)
        return digest in self._recent or any(_holds(known, digest) for known in self._sorted)

    def add(self, id: DocumentId) -> bool:
        """Remember an id; whether it is new."""
        if id in self:
            return False
        digest = _digest(id)
        self._recent.add(digest)
        if len(self._recent) >= _RECENT:
            self._move()
        return True

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
    # Python's own hash is not enough: hash(7) == hash(2**64 - 1).
    return int.from_bytes(hashlib.blake2b(repr(id).encode(), digest_size=8).digest())
