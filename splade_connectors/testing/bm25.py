"""BM25 in numpy as each engine computes it, over the engine's own tokens, given by the caller.

    score(d) = Σ idf(t) · f · (k1 + 1) / (f + k1 · (1 - b + b · |d| / mean))
    idf(t)   = ln(1 + (N - n + 0.5) / (n + 0.5))

over the terms t of the query; f is the frequency of t in d, |d| the number of tokens of d, N the
number of documents with tokens, n of those with t, and mean the mean of |d| over the N. k1 is 1.2
and b 0.75. Servers count N, n and the mean per shard, regardless of filters; Lucene includes
deleted documents until their segments are merged. `Engine` holds the differences between engines.
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
    """The length as Qdrant stores it, the leading 13 bits: exact below 8,192 tokens."""
    lost = max(length.bit_length() - 13, 0)
    return length >> lost << lost


def lucene_length(length: int) -> int:
    """The length as Lucene stores it in a byte: exact up to 39, then 4 leading bits above 24."""
    above = length - 24
    lost = max(above.bit_length() - 4, 0)
    return length if above < 0 else 24 + (above >> lost << lost)


@dataclass(frozen=True, kw_only=True, slots=True)
class Engine:
    """How an engine deviates from the formula.

    Attributes:
        length: maps a number of tokens to the stored one.
        rounds_mean: whether the mean is over stored lengths; else over exact ones.
        repeats: whether a term repeated in the query counts each time; else once.
        factor: multiplies all scores.
    """

    length: Callable[[int], int]
    rounds_mean: bool
    repeats: bool
    factor: float = 1.0


QDRANT = Engine(length=qdrant_length, rounds_mean=True, repeats=False)
ELASTICSEARCH = Engine(length=lucene_length, rounds_mean=False, repeats=True)
# From 3.0 on without the factor k1 + 1, which does not affect the ranking.
OPENSEARCH = Engine(length=lucene_length, rounds_mean=False, repeats=True, factor=1 / (K1 + 1))


def bm25_scores(
    documents: Sequence[Sequence[Hashable]], query: Sequence[Hashable], engine: Engine = QDRANT
) -> NDArray[np.float64]:
    """float64[n]: the score of every document; 0 for those that share no term with the query.

    Args:
        documents: the tokens of each; () for a document without words, which is not counted.
        query: the tokens of the query.
        engine: the engine whose scores to compute.
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
