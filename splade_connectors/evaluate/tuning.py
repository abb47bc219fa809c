"""What tuning found, as values: `Tuning` is kept, `Study` is reported."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from splade_connectors.errors import ConfigurationError
from splade_connectors.fusion.spec import Fusion, parse_fusion, weights_of
from splade_connectors.pipeline.manifest_file import read_json_object

FORMAT = 1


@dataclass(frozen=True, kw_only=True, slots=True)
class Against:
    """The tuned fusion against one leg alone, on held-out queries.

    Attributes:
        ndcg: nDCG@10 of the leg.
        difference: nDCG@10 of the tuned fusion less that.
        p: of the difference, by the two-sided paired randomization test.
    """

    ndcg: float
    difference: float
    p: float


@dataclass(frozen=True, kw_only=True, slots=True)
class Tuning:
    """The fusion that tuning chose, and what it may be expected to be worth.

    Attributes:
        fusion: short form, as `parse_fusion` reads it; chosen on all queries.
        legs: names, in the order of its weights.
        candidates: window of every leg.
        max_query_terms: most terms of a sparse query, None for all.
        held_out: nDCG@10 on held-out queries, each ranked with what the other folds chose.
        against: leg -> how that compares.
        model: the sparse model's name.
        dataset: where queries and judgements came from.
        queries: how many.
        folds: how many the queries were dealt into.
        seed: of the dealing.
        format: version of this record.
    """

    fusion: str
    legs: tuple[str, ...]
    candidates: int
    max_query_terms: int | None
    held_out: float
    against: Mapping[str, Against]
    model: str
    dataset: str
    queries: int
    folds: int
    seed: int
    format: int = FORMAT

    def to_fusion(self) -> Fusion:
        """The fusion as a value."""
        return parse_fusion(self.fusion)

    def to_json(self) -> dict[str, Any]:
        """A JSON object; the inverse of `from_json`."""
        return asdict(self) | {"legs": list(self.legs)}

    @classmethod
    def from_json(cls, raw: Mapping[str, Any]) -> Tuning:
        """The tuning in a JSON object; unknown entries of later minor versions are ignored.

        Raises:
            ConfigurationError: when it is none, or one of a later format.
        """
        if raw.get("format", FORMAT) != FORMAT:
            raise ConfigurationError(
                f"the tuning has the format {raw['format']!r}, this version reads format {FORMAT}: "
                "pip install -U splade-connectors"
            )
        known = {field.name for field in fields(cls)}
        try:
            legs = tuple(map(str, raw["legs"]))
            against = {name: Against(**values) for name, values in raw["against"].items()}
            values = {name: value for name, value in raw.items() if name in known}
            made = cls(**values | {"legs": legs, "against": against})
            weights_of(made.to_fusion(), len(legs))
        except (KeyError, TypeError, AttributeError) as error:
            raise ConfigurationError(f"this is no tuning: {error}") from error
        return made

    def write(self, path: Path) -> None:
        """Write it as a JSON file.

        Raises:
            ConfigurationError: when the file cannot be written.
        """
        write_text(path, json.dumps(self.to_json(), indent=2, ensure_ascii=False) + "\n")

    @classmethod
    def read(cls, path: Path) -> Tuning:
        """Read it from a JSON file.

        Raises:
            ConfigurationError: when the file cannot be read or holds no tuning.
        """
        try:
            return cls.from_json(read_json_object(path))
        except ConfigurationError as error:
            raise ConfigurationError(f"{path}: {error}") from error


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
        unknown_queries: query ids in the judgements that are no queries.
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


def write_text(path: Path, text: str) -> None:
    """Write a text file.

    Raises:
        ConfigurationError: when it cannot be written.
    """
    try:
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        reason = error.strerror or type(error).__name__
        raise ConfigurationError(f"cannot write {path}: {reason}") from error
