"""A cache of query vectors."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Sequence
from threading import Lock

from splade_connectors.forks import repair_in_children
from splade_connectors.vectors import SparseBatch, SparseVector


class QueryCache:
    """A thread-safe least-recently-used cache of query vectors.

    Args:
        size: maximum number of queries; 0 disables the cache.
    """

    def __init__(self, size: int) -> None:
        self.size = size
        self._known: OrderedDict[str, SparseVector] = OrderedDict()
        self._lock = Lock()
        repair_in_children(self)

    def after_fork(self) -> None:
        """Renew the lock, which another thread of the parent may have held."""
        self._lock = Lock()

    def encode(
        self, texts: Sequence[str], encode: Callable[[Sequence[str]], SparseBatch]
    ) -> SparseBatch:
        """One row per text; texts that are not cached are encoded in one call."""
        if not self.size:
            return encode(texts)
        asked = dict.fromkeys(texts)
        found = {text: vector for text in asked if (vector := self._get(text)) is not None}
        new = [text for text in asked if text not in found]
        if new:
            found.update(zip(new, encode(new), strict=True))
            for text in new:
                self._put(text, found[text])
        return SparseBatch.from_vectors([found[text] for text in texts])

    def _get(self, text: str) -> SparseVector | None:
        with self._lock:
            if text in self._known:
                self._known.move_to_end(text)
            return self._known.get(text)

    def _put(self, text: str, vector: SparseVector) -> None:
        with self._lock:
            self._known[text] = vector
            self._known.move_to_end(text)
            while len(self._known) > self.size:
                self._known.popitem(last=False)
