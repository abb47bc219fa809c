"""Fusion of several rankings of the same documents, with the same definition on every store."""

from splade_connectors.documents import LegScore
from splade_connectors.fusion.legs import DenseLeg, SparseLeg, TextLeg
from splade_connectors.fusion.reference import FusedHit, LegRanking, fuse
from splade_connectors.fusion.spec import (
    DistributionBased,
    Fusion,
    Rrf,
    WeightedSum,
    format_fusion,
    parse_fusion,
)
from splade_connectors.fusion.tuning import Tuning

__all__ = [
    "DenseLeg",
    "DistributionBased",
    "FusedHit",
    "Fusion",
    "LegRanking",
    "LegScore",
    "Rrf",
    "SparseLeg",
    "TextLeg",
    "Tuning",
    "WeightedSum",
    "format_fusion",
    "fuse",
    "parse_fusion",
]
