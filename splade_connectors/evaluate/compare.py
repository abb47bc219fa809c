"""Comparing each leg alone and each fusion: quality, latency and significance."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from splade_connectors.documents import DocumentId
from splade_connectors.evaluate.data import Judged
from splade_connectors.evaluate.metrics import as_run, measure_each
from splade_connectors.evaluate.run import DEPTH, missing_documents, percentile_95
from splade_connectors.evaluate.significance import TEST, randomization_test
from splade_connectors.evaluate.windows import LegRun, collect
from splade_connectors.fusion.legs import Leg
from splade_connectors.fusion.reference import fuse
from splade_connectors.fusion.spec import Fusion, WeightedSum, format_fusion, weights_of
from splade_connectors.fusion.tuning import Tuning, with_window
from splade_connectors.options import OnProgress, Progress
from splade_connectors.store import Store

MAIN = "nDCG@10"

Ranked = Mapping[str, Sequence[tuple[DocumentId, float]]]
Call = tuple[Sequence[Leg], Fusion]


@dataclass(frozen=True, kw_only=True, slots=True)
class Row:
    """One leg or fusion.

    Attributes:
        name: name of the leg, or short form of the fusion.
        is_leg: whether it is a leg alone.
        measures: "nDCG@10", "recall@100", "MRR@10" -> mean over the queries.
        p50_ms: median latency of a search for 10 hits in milliseconds, including encoding.
        p95_ms: 95th percentile of the latency.
        difference: nDCG@10 minus the best leg's; 0 for that leg itself.
        p: p-value of that difference (`randomization_test`); None for that leg itself.
        tuned_on: whether the fusion was chosen on these queries, so that its quality is optimistic.
    """

    name: str
    is_leg: bool
    measures: Mapping[str, float]
    p50_ms: float
    p95_ms: float
    difference: float
    p: float | None
    tuned_on: bool = False

    def to_json(self) -> dict[str, Any]:
        """Return a JSON object."""
        return {
            "name": self.name,
            "is_leg": self.is_leg,
            **{name: round(value, 4) for name, value in self.measures.items()},
            "p50_ms": round(self.p50_ms, 2),
            "p95_ms": round(self.p95_ms, 2),
            "difference": round(self.difference, 4),
            "p": None if self.p is None else round(self.p, 5),
            "tuned_on_these_queries": self.tuned_on,
        }


@dataclass(frozen=True, kw_only=True, slots=True)
class Comparison:
    """The comparison of all rows on the same queries.

    Attributes:
        rows: the legs, then the fusions.
        best_leg: name of the leg that differences are relative to.
        queries: number of judged queries.
        unknown_queries: number of query ids that have judgements but no text.
        missing_documents: number of relevant documents (grade above 0) not in the store.
        each: row name -> query id -> nDCG@10.
        runs: row name -> query id -> best 100 documents with their scores.
    """

    rows: tuple[Row, ...]
    best_leg: str
    queries: int
    unknown_queries: int
    missing_documents: int
    each: Mapping[str, Mapping[str, float]] = field(repr=False)
    runs: Mapping[str, Ranked] = field(repr=False)

    def to_json(self) -> dict[str, Any]:
        """Return a JSON object, without the runs."""
        return {
            "rows": [row.to_json() for row in self.rows],
            "best_leg": self.best_leg,
            "test": TEST,
            "queries": self.queries,
            "unknown_queries": self.unknown_queries,
            "missing_documents": self.missing_documents,
        }


def compare(
    store: Store,
    judged: Judged,
    legs: Sequence[Leg],
    fusions: Sequence[Fusion],
    on_progress: OnProgress | None = None,
    *,
    tuning: Tuning | None = None,
    kept: Tuning | None = None,
) -> Comparison:
    """Measure each leg alone and each fusion.

    Rankings are fused here, exactly, from windows that are searched once; latencies are those of
    real searches, on the path that the store takes.

    Args:
        store: store to search.
        judged: queries and judgements.
        legs: legs, in the order of the fusions' weights.
        fusions: fusions of all legs.
        on_progress: called after each query, in both rounds.
        tuning: adds a row for this tuning, with its own window size and number of query terms.
        kept: saved tuning; a fusion equal to its own is marked if it was tuned on these queries.

    Raises:
        ConfigurationError: if a fusion's weights do not fit the legs.
        MissingDependency: if ir-measures is not installed.
    """
    for fusion in fusions:
        weights_of(fusion, len(legs))
    total = 2 * len(judged.queries)
    windows = collect(store, judged, legs, on_progress=_part(on_progress, 0, total))
    runs: dict[str, Ranked] = {leg.name: ranked(WeightedSum(), windows, leg.name) for leg in legs}
    runs |= {format_fusion(fusion): ranked(fusion, windows) for fusion in fusions}
    searches = {leg.name: ((leg,), WeightedSum()) for leg in legs}
    calls: dict[str, Call] = {
        **searches,
        **{format_fusion(fusion): (tuple(legs), fusion) for fusion in fusions},
    }
    limits: dict[str, int] = {}
    if tuning:
        name, fusion = f"tuning: {tuning.summary()}", tuning.to_fusion()
        chosen = with_window(legs, tuning.candidates)
        limit = tuning.max_query_terms
        runs[name] = ranked(fusion, collect(store, judged, chosen, max_query_terms=limit))
        calls[name] = (chosen, fusion)
        limits |= {name: limit} if limit else {}
    shown = _part(on_progress, len(judged.queries), total)
    texts = list(judged.queries.values())
    times = time_searches(store, texts, calls, max_query_terms=limits, on_progress=shown)
    measures = {name: measure_ranked(judged, run) for name, run in runs.items()}
    seen = {
        name
        for known in (tuning, kept)
        if known is not None and known.chosen_on == judged.fingerprint()
        for name in (f"tuning: {known.summary()}", format_fusion(known.to_fusion()))
    }
    best = max(searches, key=lambda name: statistics.fmean(measures[name][MAIN].values()))
    return Comparison(
        rows=tuple(
            replace(
                _row(name, name in searches, best, measures, times[name]), tuned_on=name in seen
            )
            for name in measures
        ),
        best_leg=best,
        queries=len(judged.queries),
        unknown_queries=len(judged.unknown_queries),
        missing_documents=missing_documents(store, judged),
        each={name: values[MAIN] for name, values in measures.items()},
        runs=runs,
    )


def ranked(fusion: Fusion, windows: LegRun, leg: str | None = None) -> Ranked:
    """Return the best 100 documents of every query, by the definition of the fusion.

    Args:
        fusion: fusion of all legs, or of the one.
        windows: candidate windows of the legs.
        leg: use only this leg.
    """
    chosen = windows if leg is None else windows.only(leg)
    return {
        id: [(hit.id, hit.score) for hit in fuse(fusion, found, limit=DEPTH)]
        for id, found in chosen.windows.items()
    }


def measure_ranked(judged: Judged, run: Ranked) -> dict[str, dict[str, float]]:
    """Return the metrics of every query in the run, in its order."""
    ids = {query: [id for id, _ in hits] for query, hits in run.items()}
    return measure_each({query: judged.qrels[query] for query in run}, as_run(ids))


def time_searches(
    store: Store,
    texts: Sequence[str],
    calls: Mapping[str, Call],
    *,
    max_query_terms: Mapping[str, int] | None = None,
    on_progress: OnProgress | None = None,
) -> dict[str, list[float]]:
    """Return latencies in milliseconds of searches for 10 hits, including encoding, one per text.

    All calls are made for one text before the next, so that load spikes affect all of them alike.

    Args:
        store: store to search.
        texts: queries; the first is searched once beforehand, untimed.
        calls: name -> legs and fusion.
        max_query_terms: name -> maximum number of terms of a sparse query, if limited.
        on_progress: called after each text.
    """
    limits = max_query_terms or {}
    times: dict[str, list[float]] = {name: [] for name in calls}

    def search(name: str, text: str) -> None:
        legs, fusion = calls[name]
        store.search(text, legs=legs, fusion=fusion, max_query_terms=limits.get(name))

    for name in calls:
        search(name, texts[0])
    for done, text in enumerate(texts, start=1):
        for name in calls:
            began = time.perf_counter()
            search(name, text)
            times[name].append((time.perf_counter() - began) * 1000)
        if on_progress:
            on_progress(Progress(done=done, total=len(texts)))
    return times


def _row(
    name: str,
    is_leg: bool,
    best: str,
    measures: Mapping[str, Mapping[str, Mapping[str, float]]],
    times: Sequence[float],
) -> Row:
    mine, theirs = (list(measures[of][MAIN].values()) for of in (name, best))
    return Row(
        name=name,
        is_leg=is_leg,
        measures={of: statistics.fmean(each.values()) for of, each in measures[name].items()},
        p50_ms=statistics.median(times),
        p95_ms=percentile_95(times),
        difference=statistics.fmean(mine) - statistics.fmean(theirs),
        p=None if name == best else randomization_test(mine, theirs),
    )


def _part(on_progress: OnProgress | None, before: int, total: int) -> OnProgress | None:
    """Map the progress of one round to that of all rounds."""
    if on_progress is None:
        return None
    tell: Callable[[Progress], None] = on_progress
    return lambda step: tell(Progress(done=before + step.done, total=total))
