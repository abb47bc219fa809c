"""What tuning found, as values to report. What is kept of it is `fusion.tuning.Tuning`."""

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
    """Everything that tuning may choose."""

    fusion: Fusion
    candidates: int
    max_query_terms: int | None


@dataclass(frozen=True, kw_only=True, slots=True)
class Result:
    """nDCG@10 of one way to rank, over all queries, each of them held out.

    Attributes:
        name: what it is.
        fusion: short form; of a tuned one, as chosen on all queries. Empty for a leg.
        tuned: whether it was tuned on the other folds.
        ndcg: the mean.
        difference: to the best leg's.
        p: of that difference; None for that leg itself.
    """

    name: str
    fusion: str
    tuned: bool
    ndcg: float
    difference: float
    p: float | None


@dataclass(frozen=True, kw_only=True, slots=True)
class Fold:
    """What one fold's training queries chose, and how it did on the others."""

    setting: Setting
    queries: int
    trained: float
    held_out: float


@dataclass(frozen=True, kw_only=True, slots=True)
class Curve:
    """Quality against the weight of a leg: (weight, nDCG@10 on all queries)."""

    name: str
    points: tuple[tuple[float, float], ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class Speed:
    """Quality against latency of one setting. Quality is on all queries, not held out."""

    name: str
    kind: str
    ndcg: float
    p50_ms: float
    p95_ms: float


@dataclass(frozen=True, kw_only=True, slots=True)
class Share:
    """What one leg brings to the first 10 of the tuned fusion.

    Attributes:
        name: of the leg.
        share: of the scores of the first 10 hits, in sum over all queries.
        found: relevant documents in the first 10 that its window has.
        alone: those of them that no other leg's window has.
    """

    name: str
    share: float
    found: int
    alone: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Study:
    """A tuning with everything that its report shows.

    Attributes:
        tuning: what was chosen.
        best_leg: what `results` are compared with.
        results: legs, untuned fusions, tuned families, and the whole choice, last.
        folds: what each fold chose.
        curves: quality against weight.
        curve_leg: the leg whose weight that is; "" where each curve has its own.
        speeds: quality against latency.
        shares: one per leg.
        relevant: relevant documents in the first 10 of the tuned fusion, over all queries.
        unknown_queries: query ids in the judgements that are not queries.
        missing_documents: judged documents (grade above 0) that are not in the store.
        warnings: what to keep in mind.
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
    """Write a tuning as a JSON file.

    Raises:
        ConfigurationError: when the file cannot be written.
    """
    write_text(path, json.dumps(tuning.to_json(), indent=2, ensure_ascii=False) + "\n")


def read_tuning(path: Path) -> Tuning:
    """Read a tuning from a JSON file.

    Raises:
        ConfigurationError: when the file cannot be read or holds no tuning.
    """
    try:
        return Tuning.from_json(read_json_object(path))
    except ConfigurationError as error:
        raise ConfigurationError(f"{path}: {error}") from error
