"""The cache of queries: what it encodes, and what it forgets."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from splade_connectors.encoders.query_cache import QueryCache
from splade_connectors.vectors import SparseBatch, SparseVector


@dataclass
class Counting:
    """Encodes a text as its length, an empty one without terms."""

    asked: list[list[str]] = field(default_factory=list)

    def __call__(self, texts: Sequence[str]) -> SparseBatch:
        self.asked.append(list(texts))
        return SparseBatch.from_vectors(_vector(text) for text in texts)


def _vector(text: str) -> SparseVector:
    terms = [len(text)] if text else []
    return SparseVector(np.array(terms, np.uint32), np.ones(len(terms), np.float32))


def lengths(batch: SparseBatch) -> list[list[int]]:
    return [vector.indices.tolist() for vector in batch]


def test_only_what_is_not_known_is_encoded_and_once() -> None:
    cache, encode = QueryCache(8), Counting()
    assert lengths(cache.encode(["aa", "b", "aa"], encode)) == [[2], [1], [2]]
    assert lengths(cache.encode(["b", "ccc", "aa"], encode)) == [[1], [3], [2]]
    assert encode.asked == [["aa", "b"], ["ccc"]]


def test_a_text_without_terms_is_remembered() -> None:
    cache, encode = QueryCache(8), Counting()
    assert lengths(cache.encode([""], encode)) == lengths(cache.encode([""], encode)) == [[]]
    assert encode.asked == [[""]]


def test_the_one_unused_for_longest_is_forgotten() -> None:
    cache, encode = QueryCache(2), Counting()
    for text in ("a", "bb", "a", "ccc", "a", "bb"):
        cache.encode([text], encode)
    assert encode.asked == [["a"], ["bb"], ["ccc"], ["bb"]]


def test_more_texts_than_it_holds_are_all_answered() -> None:
    cache, encode = QueryCache(2), Counting()
    assert lengths(cache.encode(["a", "bb", "ccc"], encode)) == [[1], [2], [3]]


def test_without_a_size_every_query_is_encoded() -> None:
    cache, encode = QueryCache(0), Counting()
    cache.encode(["a"], encode)
    cache.encode(["a"], encode)
    assert encode.asked == [["a"], ["a"]]
