"""Fusion: several rankings of the same documents into one, with one meaning on every store."""

from splade_connectors.fusion.reference import FusedHit, LegRanking, LegScore, fuse
from splade_connectors.fusion.spec import (
    DistributionBased,
    Fusion,
    Rrf,
    WeightedSum,
    parse_fusion,
)

__all__ = [
    "DistributionBased",
    "FusedHit",
    "Fusion",
    "LegRanking",
    "LegScore",
    "Rrf",
    "WeightedSum",
    "fuse",
    "parse_fusion",
]
