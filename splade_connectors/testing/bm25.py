"""BM25 in numpy, as the engines score it: over their own tokens, which the caller brings.

    score(d) = Σ idf(t) · f · (k1 + 1) / (f + k1 · (1 - b + b · |d| / mean))
    idf(t)   = ln(1 + (N - n + 0.5) / (n + 0.5))

over the terms t of the query; f is how often d has t, |d| its number of tokens, N the documents
that have any, n those that have t, and mean the mean of |d| over the N. k1 is 1.2 and b 0.75.
Servers count N, n and the mean in each shard, whatever a filter leaves; Lucene's count deleted
documents until their segments are merged. Where the engines differ is said by `Engine`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

K1 = 1.2
B = 0.75


def qdrant_length(length: int) -> int:
    """Its leading 13 bits: exact below 8,192 tokens."""
    lost = max(length.bit_length() - 13, 0)
    return length >> lost << lost


def lucene_length(length: int) -> int:
    """One byte: exact up to 39 tokens, then four leading bits of what is above 24."""
    above = length - 24
    lost = max(above.bit_length() - 4, 0)
    return length if above < 0 else 24 + (above >> lost << lost)


@dataclass(frozen=True, kw_only=True, slots=True)
class Engine:
    """What an engine makes of the formula.

    Attributes:
        length: what it keeps of a number of tokens.
        rounds_mean: whether the mean is over that; else over the numbers themselves.
        repeats: whether a term that the query has twice counts twice; else once.
        factor: that its scores are multiplied by.
    """

    length: Callable[[int], int]
    rounds_mean: bool
    repeats: bool
    factor: float = 1.0


QDRANT = Engine(length=qdrant_length, rounds_mean=True, repeats=False)
ELASTICSEARCH = Engine(length=lucene_length, rounds_mean=False, repeats=True)
# From 3.0 on without the factor k1 + 1, which ranks no document before another.
OPENSEARCH = Engine(length=lucene_length, rounds_mean=False, repeats=True, factor=1 / (K1 + 1))


def bm25_scores(
    documents: Sequence[Sequence[Hashable]], query: Sequence[Hashable], engine: Engine = QDRANT
) -> NDArray[np.float64]:
    """The score of every document; 0 for those that share no term with the query.

    Args:
        documents: the tokens of each; () for one without words, which counts nowhere.
        query: its tokens.
        engine: that scores.
    """
    counts = [Counter(tokens) for tokens in documents]
    exact = np.array([len(tokens) for tokens in documents], np.float64)
    kept = np.array([engine.length(len(tokens)) for tokens in documents], np.float64)
    present = exact > 0
    scores = np.zeros(len(documents))
    if not present.any():
        return scores
    mean = (kept if engine.rounds_mean else exact)[present].mean()
    norm = K1 * (1 - B + B * kept / mean)
    for term, times in Counter(query).items():
        found = np.array([count[term] for count in counts], np.float64)
        having = np.count_nonzero(found)
        idf = np.log1p((present.sum() - having + 0.5) / (having + 0.5))
        weight = idf * (times if engine.repeats else 1)
        scores += weight * found * (K1 + 1) / (found + norm)
    return engine.factor * scores
