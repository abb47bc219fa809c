"""The fusion chosen by tuning: a record kept in a file or in an index's manifest.

A search that names no fusion takes it from the index (`tuned`) if it has the same legs.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields, replace
from typing import Any

from splade_connectors.errors import ConfigurationError
from splade_connectors.fusion.legs import DEFAULT_CANDIDATES, Leg
from splade_connectors.fusion.spec import Fusion, Rrf, format_fusion, parse_fusion, weights_of
from splade_connectors.manifest import schema_problems
from splade_connectors.shown import quoted

FORMAT = 1


@dataclass(frozen=True, kw_only=True, slots=True)
class Against:
    """The tuned fusion compared with one leg alone, on held-out queries.

    Attributes:
        ndcg: nDCG@10 of the leg.
        difference: nDCG@10 of the tuned fusion minus that.
        p: p-value of the difference, by the two-sided paired randomization test.
    """

    ndcg: float
    difference: float
    p: float


@dataclass(frozen=True, kw_only=True, slots=True)
class Tuning:
    """The fusion chosen by tuning, and its expected quality.

    Attributes:
        fusion: short form, as for `parse_fusion`; chosen on all queries.
        legs: their names, in the order of the fusion's weights.
        candidates: candidate window of every leg.
        max_query_terms: maximum number of terms of a sparse query; None for all.
        held_out: nDCG@10 on held-out queries, each ranked with the setting chosen on other folds.
        against: leg -> comparison with that leg alone.
        model: name of the sparse model.
        dataset: source of queries and judgements.
        queries: number of queries.
        folds: number of folds of the cross-validation.
        seed: random seed for the fold split.
        chosen_on: fingerprint of the queries; "" in records of earlier versions.
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
    chosen_on: str = ""
    format: int = FORMAT

    @property
    def is_better(self) -> bool:
        """Whether the fusion beats every single leg on held-out queries; only then recommended."""
        return all(self.held_out > leg.ndcg for leg in self.against.values())

    def to_fusion(self) -> Fusion:
        """The fusion as a value."""
        return parse_fusion(self.fusion)

    def summary(self) -> str:
        """One line with the fusion, the window, and the limit on query terms, if any."""
        terms = self.max_query_terms
        limit = "" if terms is None else f", at most {terms} query terms"
        return f"{self.fusion}, window {self.candidates}{limit}"

    def to_json(self) -> dict[str, Any]:
        """The tuning as a JSON object; the inverse of `from_json`."""
        return asdict(self) | {"legs": list(self.legs)}

    @classmethod
    def from_json(cls, raw: Mapping[str, Any]) -> Tuning:
        """The tuning in a JSON object; unknown entries, from later minor versions, are ignored.

        Raises:
            ConfigurationError: if it is not a tuning, or has a later format.
        """
        if not isinstance(raw, Mapping):
            raise ConfigurationError(f"not a tuning: {quoted(raw)}")
        if raw.get("format", FORMAT) != FORMAT:
            raise ConfigurationError(
                f"the tuning has format {quoted(raw['format'])}, but this version reads format "
                f"{FORMAT}: pip install -U splade-connectors"
            )
        wrong = schema_problems(cls, raw) or _wrong_legs(raw["against"])
        if wrong:
            raise ConfigurationError(f"not a tuning: {'; '.join(wrong)}")
        known = {field.name for field in fields(cls)}
        values = {name: value for name, value in raw.items() if name in known}
        legs = tuple(raw["legs"])
        against = {name: _against(values) for name, values in raw["against"].items()}
        made = cls(**values | {"legs": legs, "against": against})
        if made.candidates < 1 or (made.max_query_terms or 1) < 1:
            raise ConfigurationError(
                "not a tuning: candidates and max_query_terms must be at least 1"
            )
        weights_of(made.to_fusion(), len(legs))
        return made


def _against(raw: Mapping[str, Any]) -> Against:
    return Against(**{field.name: raw[field.name] for field in fields(Against)})


def _wrong_legs(against: Mapping[str, Any]) -> list[str]:
    return [
        f"{quoted(name)} is {quoted(values)}"
        for name, values in against.items()
        if not isinstance(values, Mapping) or schema_problems(Against, values)
    ]


@dataclass(kw_only=True, slots=True)
class Settings:
    """The settings of a hybrid search.

    Attributes:
        fusion: of the legs.
        legs: in the order of the fusion's weights.
        max_query_terms: maximum number of terms of a sparse query; None for all.
        note: source of the fusion if the caller did not give it; for the plan.
        warnings: why the index's tuning, if it has one, is not used.
    """

    fusion: Fusion
    legs: tuple[Leg, ...]
    max_query_terms: int | None = None
    note: str = ""
    warnings: tuple[str, ...] = ()


def tuned(
    tuning: Tuning | None, legs: tuple[Leg, ...], max_query_terms: int | None = None
) -> Settings:
    """The settings of a search that names no fusion.

    They come from the tuning if it was made for legs with these names in this order; else `Rrf()`.
    The caller's choices stay: windows other than the default, and `max_query_terms`.
    """
    if tuning is None:
        return Settings(fusion=Rrf(), legs=legs, max_query_terms=max_query_terms)
    other = misfit(tuning, [leg.name for leg in legs])
    if other is not None:
        warnings = (f"{other}: {format_fusion(Rrf())} instead",)
        return Settings(fusion=Rrf(), legs=legs, max_query_terms=max_query_terms, warnings=warnings)
    return Settings(
        fusion=tuning.to_fusion(),
        legs=with_window(legs, tuning.candidates),
        max_query_terms=max_query_terms or tuning.max_query_terms,
        note=f"fusion from the index's tuning: {tuning.summary()}",
    )


def no_manifest(location: str) -> ConfigurationError:
    """The error for an index that cannot store a tuning."""
    return ConfigurationError(
        f"{location} has no manifest to store a tuning in; write it to a file instead: "
        "write_tuning(tuning, path) (tune --output FILE)"
    )


def misfit(tuning: Tuning, legs: Sequence[str]) -> str | None:
    """Why the tuning does not apply to legs with these names; None if it does."""
    if tuple(legs) == tuning.legs:
        return None
    return f"the index's tuning is for the legs {', '.join(tuning.legs)}, not for {', '.join(legs)}"


def with_window(legs: Sequence[Leg], candidates: int) -> tuple[Leg, ...]:
    """The legs with this window in place of the default one."""
    return tuple(
        replace(leg, candidates=candidates) if leg.candidates is DEFAULT_CANDIDATES else leg
        for leg in legs
    )
