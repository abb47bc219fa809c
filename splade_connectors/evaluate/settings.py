"""Choosing among all settings of a fusion, over candidate windows that are searched once."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from splade_connectors.errors import ConfigurationError
from splade_connectors.evaluate.data import Judged
from splade_connectors.evaluate.grid import Grid, Values
from splade_connectors.evaluate.study import Curve, Setting
from splade_connectors.evaluate.windows import LegRun, collect
from splade_connectors.fusion.legs import Leg, SparseLeg
from splade_connectors.fusion.spec import DistributionBased, Fusion, Rrf, WeightedSum, Weights
from splade_connectors.options import OnProgress, Progress
from splade_connectors.store import Store

LEAST_QUERIES = 20

CANDIDATES = (50, 100, 200)
QUERY_TERMS = (8, 16, 32, None)
RRF_K = (10.0, 60.0, 100.0)

# Settings closer than this count as tied, and the first wins: rounding must not decide.
_CLOSE = 1e-12


def calibrate(run: LegRun) -> Weights:
    """Return a scale for every leg: the mean of its best score per query.

    Divided by it, the best hit of a typical query scores about 1 in every leg. Needs only queries,
    no judgements. Queries for which a leg finds nothing are ignored; a leg that never finds
    anything gets 1. Rounded to 4 significant digits.
    """
    scales = []
    for at in range(len(run.names)):
        best = [float(found[at].scores[0]) for found in run.windows.values() if found[at].ids]
        scale = statistics.fmean(best) if best else 1.0
        scales.append(float(f"{scale:.4g}") if scale > 0 else 1.0)
    return tuple(scales)


def split_folds(queries: Sequence[str], folds: int, seed: int) -> list[list[str]]:
    """Split queries into folds of nearly equal size, reproducibly for a given random seed.

    Raises:
        ConfigurationError: if there are fewer than 20 queries, or `folds` is out of range.
    """
    if len(queries) < LEAST_QUERIES:
        raise ConfigurationError(
            f"tuning needs at least {LEAST_QUERIES} judged queries, but there are only "
            f"{len(queries)}; a choice made on so few does not generalize"
        )
    if not 2 <= folds <= len(queries):
        raise ConfigurationError(f"folds must be between 2 and {len(queries)}, not {folds}")
    order = np.random.default_rng(seed).permutation(len(queries))
    shuffled = [sorted(queries)[at] for at in order]
    return [shuffled[first::folds] for first in range(folds)]


def families(scale: Weights) -> dict[str, tuple[Fusion, ...]]:
    """Return the fusions to choose from, without weights, by family."""
    return {
        "rrf": tuple(Rrf(k=k) for k in RRF_K),
        "sum, calibrated": (WeightedSum(scale=scale),),
        "sum, minmax": (WeightedSum(normalize="minmax"),),
        "sum, theoretical-minmax": (WeightedSum(normalize="theoretical-minmax"),),
        "dbsf": (DistributionBased(),),
    }


@dataclass(frozen=True, kw_only=True, slots=True)
class Scored:
    """A setting and its quality on the queries it was chosen on."""

    setting: Setting
    ndcg: float


class Search:
    """Evaluates all settings over searched windows, caching their quality.

    Args:
        judged: queries and judgements.
        runs: maximum number of query terms -> the largest windows of all legs.
        weights: weight settings.
    """

    def __init__(
        self, judged: Judged, runs: Mapping[int | None, LegRun], weights: list[Weights]
    ) -> None:
        self.judged = judged
        self.full = runs[None]
        self._runs = runs
        self._weights = weights
        self._row = {id: at for at, id in enumerate(self.full.windows)}
        self._grids: dict[tuple[int, int | None], Grid] = {}
        self._known: dict[tuple[Fusion, int, int | None], Values] = {}

    def windows(self, setting: Setting) -> LegRun:
        """Return the candidate windows of a setting."""
        return self._runs[setting.max_query_terms].cut(setting.candidates)

    def choose(self, queries: Sequence[str], family: str | None = None) -> Setting:
        """Return the best setting on these queries, optionally within one family."""
        return self.best(queries, family).setting

    def best(self, queries: Sequence[str], family: str | None = None) -> Scored:
        """Return the best setting on these queries with its quality."""
        rows = [self._row[id] for id in queries]
        best: Scored | None = None
        for terms, run in self._runs.items():
            known = families(calibrate(run.of(queries)))
            chosen = known if family is None else {family: known[family]}
            for fusion in (fusion for of in chosen.values() for fusion in of):
                for candidates in CANDIDATES:
                    means = self._quality(fusion, candidates, terms)[rows].mean(axis=0)
                    at = int(np.argmax(means >= means.max() - _CLOSE))
                    if best is None or means[at] > best.ndcg + _CLOSE:
                        weighted = replace(fusion, weights=self._weights[at])
                        setting = Setting(
                            fusion=weighted, candidates=candidates, max_query_terms=terms
                        )
                        best = Scored(setting=setting, ndcg=float(means[at]))
        assert best is not None
        return best

    def curves(self, chosen: Setting) -> tuple[Curve, ...]:
        """Return quality by weight at the chosen window size, on all queries.

        For two legs: one curve per family, by the first leg's weight. For three: the chosen
        fusion, one curve per leg, with the best weights of the other legs.
        """
        place = (chosen.candidates, chosen.max_query_terms)
        if len(self.full.names) > 2:
            means = self._quality(replace(chosen.fusion, weights=None), *place).mean(axis=0)
            return tuple(
                Curve(name=name, points=self._profile(means, at))
                for at, name in enumerate(self.full.names)
            )
        found = []
        scale = calibrate(self._runs[chosen.max_query_terms])
        for name, fusions in families(scale).items():
            means = max(
                (self._quality(fusion, *place).mean(axis=0) for fusion in fusions),
                key=lambda values: float(values.max()),
            )
            found.append(Curve(name=name, points=self._profile(means, 0)))
        return tuple(found)

    def _profile(self, means: Values, leg: int) -> tuple[tuple[float, float], ...]:
        """The best quality at each weight of a leg."""
        best: dict[float, float] = {}
        for weights, value in zip(self._weights, means.tolist(), strict=True):
            best[weights[leg]] = max(value, best.get(weights[leg], 0.0))
        return tuple(sorted(best.items()))

    def _quality(self, fusion: Fusion, candidates: int, terms: int | None) -> Values:
        key = (fusion, candidates, terms)
        if key not in self._known:
            self._known[key] = self._grid(candidates, terms).quality(fusion)
        return self._known[key]

    def _grid(self, candidates: int, terms: int | None) -> Grid:
        key = (candidates, terms)
        if key not in self._grids:
            run = self._runs[terms].cut(candidates)
            self._grids[key] = Grid(run, self.judged.qrels, self._weights)
        return self._grids[key]


def collect_all(
    store: Store, judged: Judged, legs: Sequence[Leg], on_progress: OnProgress | None
) -> dict[int | None, LegRun]:
    """Return the windows for each limit of query terms, searching only sparse legs again."""
    sparse = [leg for leg in legs if isinstance(leg, SparseLeg)]
    limits = QUERY_TERMS if sparse else (None,)
    count = len(judged.queries)
    done = 0

    def show(step: Progress) -> None:
        nonlocal done
        done += 1
        if on_progress:
            on_progress(Progress(done=done, total=count * len(limits)))

    full = collect(store, judged, legs, on_progress=show)
    runs: dict[int | None, LegRun] = {}
    for limit in limits:
        run = full
        if limit is not None:
            pruned = collect(store, judged, sparse, max_query_terms=limit, on_progress=show)
            for leg in sparse:
                run = run.with_leg(leg.name, pruned.only(leg.name))
        runs[limit] = run
    return runs
