"""The results of tuning, for reports. The part that is saved is `fusion.tuning.Tuning`."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from splade_connectors.errors import ConfigurationError
from splade_connectors.files.json_files import read_json_object
from splade_connectors.files.outputs import write_text
from splade_connectors.fusion.spec import Fusion
from splade_connectors.fusion.tuning import Tuning


@dataclass(frozen=True, kw_only=True, slots=True)
class Setting:
    """All settings that tuning chooses."""

    fusion: Fusion
    candidates: int
    max_query_terms: int | None


@dataclass(frozen=True, kw_only=True, slots=True)
class Result:
    """nDCG@10 of one ranking method over all queries, each held out.

    Attributes:
        name: name of the method.
        fusion: short form of the fusion, as chosen on all queries if tuned; empty for a leg.
        tuned: whether it was tuned on the other folds.
        ndcg: mean nDCG@10.
        difference: difference from the best leg.
        p: p-value of that difference; None for that leg itself.
    """

    name: str
    fusion: str
    tuned: bool
    ndcg: float
    difference: float
    p: float | None


@dataclass(frozen=True, kw_only=True, slots=True)
class Fold:
    """The setting chosen on a fold's training queries, with its quality there and held out."""

    setting: Setting
    queries: int
    trained: float
    held_out: float


@dataclass(frozen=True, kw_only=True, slots=True)
class Curve:
    """Quality by weight of a leg: (weight, nDCG@10 on all queries)."""

    name: str
    points: tuple[tuple[float, float], ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class Speed:
    """Quality and latency of one setting. Quality is on all queries, not held out."""

    name: str
    kind: str
    ndcg: float
    p50_ms: float
    p95_ms: float


@dataclass(frozen=True, kw_only=True, slots=True)
class Share:
    """One leg's contribution to the top 10 of the tuned fusion.

    Attributes:
        name: name of the leg.
        share: fraction of the summed scores of the top 10 hits, over all queries.
        found: number of relevant documents in the top 10 that its window contains.
        alone: how many of those no other leg's window contains.
    """

    name: str
    share: float
    found: int
    alone: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Study:
    """A tuning with all data for its report.

    Attributes:
        tuning: the chosen tuning.
        best_leg: name of the leg that `results` are compared with.
        results: legs, untuned fusions, tuned families, and finally the overall choice.
        folds: the choice of each fold.
        curves: quality by weight.
        curve_leg: leg whose weight the curves vary; "" if each curve has its own.
        speeds: quality and latency.
        shares: contributions, one per leg.
        relevant: number of relevant documents in the top 10 of the tuned fusion, over all queries.
        unknown_queries: number of query ids that have judgements but no text.
        missing_documents: number of relevant documents (grade above 0) not in the store.
        warnings: caveats, in sentences.
    """

    tuning: Tuning
    best_leg: str
    results: tuple[Result, ...]
    folds: tuple[Fold, ...]
    curves: tuple[Curve, ...]
    curve_leg: str
    speeds: tuple[Speed, ...]
    shares: tuple[Share, ...]
    relevant: int
    unknown_queries: int
    missing_documents: int
    warnings: tuple[str, ...]


def write_tuning(tuning: Tuning, path: Path) -> None:
    """Write a tuning to a JSON file.

    Raises:
        ConfigurationError: if the file cannot be written.
    """
    write_text(path, json.dumps(tuning.to_json(), indent=2, ensure_ascii=False) + "\n")


def read_tuning(path: Path) -> Tuning:
    """Read a tuning from a JSON file.

    Raises:
        ConfigurationError: if the file cannot be read or is not a tuning.
    """
    try:
        return Tuning.from_json(read_json_object(path))
    except ConfigurationError as error:
        raise ConfigurationError(f"{path}: {error}") from error
