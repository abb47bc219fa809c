"""The exact definition of every fusion, in numpy: stores are tested against it, clients use it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from splade_connectors.documents import DocumentId, LegScore
from splade_connectors.errors import ConfigurationError
from splade_connectors.fusion.spec import (
    DistributionBased,
    Fusion,
    Rrf,
    WeightedSum,
    scales_of,
    weights_of,
)

Values = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True, slots=True)
class LegRanking:
    """The candidate window of one leg.

    Attributes:
        name: of the leg, such as "sparse", "dense" or "text".
        ids: best first; ties by id as text.
        scores: float64[n], in the same order. Dense similarities range from 0 to 1.
    """

    name: str
    ids: Sequence[DocumentId]
    scores: Values


@dataclass(frozen=True, kw_only=True, slots=True)
class FusedHit:
    """A document after fusion, with its rank and score in each leg that found it."""

    id: DocumentId
    score: float
    legs: Mapping[str, LegScore] = field(default_factory=dict)


def leg_ranking(name: str, ids: Sequence[DocumentId], scores: Sequence[float]) -> LegRanking:
    """Make a leg's ranking in the defined order: by score, ties by id as text."""
    order = sorted(range(len(ids)), key=lambda at: (-scores[at], str(ids[at])))
    values = np.array([scores[at] for at in order], np.float64)
    return LegRanking(name=name, ids=[ids[at] for at in order], scores=values)


def fuse(
    fusion: Fusion, legs: Sequence[LegRanking], *, offset: int = 0, limit: int | None = None
) -> list[FusedHit]:
    """Fuse the rankings: documents best first, ties by id as text.

    Args:
        fusion: of the legs.
        legs: in the order of the fusion's weights.
        offset: number of documents to skip.
        limit: maximum number of documents; None for all.

    Raises:
        ConfigurationError: if the numbers of weights and legs differ.
    """
    totals: dict[DocumentId, float] = {}
    for leg, values in zip(legs, contributions(fusion, legs), strict=True):
        for id, value in zip(leg.ids, values.tolist(), strict=True):
            totals[id] = totals.get(id, 0.0) + value
    order = sorted(totals, key=lambda id: (-totals[id], str(id)))
    page = order[offset : None if limit is None else offset + limit]
    places = _places(legs, set(page))
    return [FusedHit(id=id, score=totals[id], legs=places[id]) for id in page]


def _places(
    legs: Sequence[LegRanking], ids: set[DocumentId]
) -> dict[DocumentId, dict[str, LegScore]]:
    """Rank and score of each document in each leg that found it."""
    places: dict[DocumentId, dict[str, LegScore]] = {id: {} for id in ids}
    for leg in legs:
        for at, id in enumerate(leg.ids):
            if id in ids:
                places[id][leg.name] = LegScore(rank=at + 1, score=float(leg.scores[at]))
    return places


def contributions(fusion: Fusion, legs: Sequence[LegRanking]) -> list[NDArray[Any]]:
    """The scores that each leg adds to its candidates: float64[n] per leg, in the leg's order."""
    if not legs:
        raise ConfigurationError("a fusion needs at least one leg")
    weights = weights_of(fusion, len(legs))
    match fusion:
        case Rrf():
            return [
                weight / (fusion.k + np.arange(1.0, len(leg.ids) + 1.0))
                for weight, leg in zip(weights, legs, strict=True)
            ]
        case WeightedSum():
            scales = scales_of(fusion, len(legs))
            return [
                weight * _normalized(fusion, leg.scores) / scale
                for weight, scale, leg in zip(weights, scales, legs, strict=True)
            ]
        case DistributionBased():
            return [
                weight * _distribution(leg.scores)
                for weight, leg in zip(weights, legs, strict=True)
            ]


def _normalized(fusion: WeightedSum, scores: Values) -> Values:
    if fusion.normalize is None or not scores.size:
        return scores
    # The least possible score is 0 for every kind of leg: dense similarities range from 0 to 1.
    least = scores.min() if fusion.normalize == "minmax" else 0.0
    span = scores.max() - least
    return (scores - least) / span if span > 0 else np.ones_like(scores)


def _distribution(scores: Values) -> Values:
    if scores.size < 2:
        return np.full_like(scores, 0.5)
    mean, deviation = scores.mean(), scores.std(ddof=1)
    if deviation == 0:
        return np.full_like(scores, 0.5)
    values: Values = (scores - (mean - 3 * deviation)) / (6 * deviation)
    return values
