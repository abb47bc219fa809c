"""Tuning a fusion for a collection on judged queries.

Weights, scales, window size, fusion family and number of query terms are chosen together by nDCG@10
on the training folds, and measured on the held-out queries. The final fusion is chosen on all
queries by the same procedure; its expected quality is the held-out one, which measures the
procedure.
"""

from __future__ import annotations

import statistics
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

from splade_connectors.evaluate.compare import MAIN, measure_ranked, ranked, time_searches
from splade_connectors.evaluate.data import Judged
from splade_connectors.evaluate.grid import weight_grid
from splade_connectors.evaluate.run import missing_documents, percentile_95
from splade_connectors.evaluate.settings import (
    CANDIDATES,
    QUERY_TERMS,
    Search,
    collect_all,
    families,
    split_folds,
)
from splade_connectors.evaluate.significance import randomization_test
from splade_connectors.evaluate.study import Fold, Result, Setting, Share, Speed, Study
from splade_connectors.evaluate.windows import LegRun
from splade_connectors.fusion.legs import Leg, SparseLeg
from splade_connectors.fusion.reference import contributions, fuse
from splade_connectors.fusion.spec import (
    DistributionBased,
    Fusion,
    Rrf,
    WeightedSum,
    format_fusion,
)
from splade_connectors.fusion.tuning import Against, Tuning, no_manifest
from splade_connectors.options import OnProgress
from splade_connectors.store import Store

FEW_QUERIES = 50

_TIMED_QUERIES = 50

Each = Mapping[str, float]


def tune(
    store: Store,
    judged: Judged,
    legs: Sequence[Leg],
    *,
    folds: int = 2,
    seed: int = 0,
    dataset: str = "",
    save: bool = False,
    on_progress: OnProgress | None = None,
) -> Study:
    """Choose a fusion of the legs, and measure it on held-out queries.

    Args:
        store: store to search.
        judged: at least 20 queries, with judgements.
        legs: two or three legs; their window size is tuned.
        folds: number of folds, each held out once.
        seed: random seed for the fold split.
        dataset: name of the dataset, for the record.
        save: save the tuning in the index (`Store.save_tuning`) if it beats every single leg on
            held-out queries (`Tuning.is_better`).
        on_progress: called after each query, in all rounds.

    Raises:
        ConfigurationError: if there are fewer than 20 judged queries, or folds or legs are invalid.
        MissingDependency: if ir-measures is not installed.
    """
    grid = weight_grid(len(legs))
    parts = split_folds(list(judged.queries), folds, seed)
    model = _model(store, save)
    legs = [replace(leg, candidates=max(CANDIDATES)) for leg in legs]
    runs = collect_all(store, judged, legs, on_progress)
    search = Search(judged, runs, grid)
    final = search.choose(list(judged.queries))
    held = [_held_out(search, part, parts) for part in parts]
    tuned = _merged(judged, (each for _, each in held))
    alone = {
        leg.name: _values(judged, ranked(WeightedSum(), search.full, leg.name)) for leg in legs
    }
    best = max(alone, key=lambda name: statistics.fmean(alone[name].values()))
    tuning = Tuning(
        fusion=format_fusion(final.fusion),
        legs=tuple(alone),
        candidates=final.candidates,
        max_query_terms=final.max_query_terms,
        held_out=round(_mean(tuned), 6),
        against={name: _against(tuned, each) for name, each in alone.items()},
        model=model,
        dataset=dataset,
        queries=len(judged.queries),
        folds=folds,
        seed=seed,
        chosen_on=judged.fingerprint(),
    )
    if save and tuning.is_better:
        store.save_tuning(tuning)
    results = _results(search, parts, alone, best, tuned, final)
    return Study(
        tuning=tuning,
        best_leg=best,
        results=results,
        folds=tuple(fold for fold, _ in held),
        curves=search.curves(final),
        curve_leg=legs[0].name if len(legs) == 2 else "",
        speeds=_speeds(store, judged, search, legs, alone, final),
        shares=_shares(judged, search.windows(final), final.fusion),
        relevant=_relevant(judged, search.windows(final), final.fusion),
        unknown_queries=len(judged.unknown_queries),
        missing_documents=missing_documents(store, judged),
        warnings=(*_warnings(len(judged.queries)), *_not_better(tuning, best, results)),
    )


def _held_out(
    search: Search, part: Sequence[str], parts: Sequence[Sequence[str]]
) -> tuple[Fold, Each]:
    """Choose a setting on the other folds, and measure it on this one."""
    found = search.best(_others(part, parts))
    each = _measured(search, found.setting, part)
    fold = Fold(setting=found.setting, queries=len(part), trained=found.ndcg, held_out=_mean(each))
    return fold, each


def _results(
    search: Search,
    parts: Sequence[Sequence[str]],
    alone: Mapping[str, Each],
    best: str,
    tuned: Each,
    final: Setting,
) -> tuple[Result, ...]:
    judged = search.judged
    rows = [(name, "", False, each) for name, each in alone.items()]
    for name, fusion in (("rrf", Rrf()), ("dbsf", DistributionBased())):
        rows.append(
            (name, format_fusion(fusion), False, _values(judged, ranked(fusion, search.full)))
        )
    everything = list(judged.queries)
    for family in families((1.0,) * len(alone)):
        chosen = search.choose(everything, family)
        measured = (
            _measured(search, search.choose(_others(part, parts), family), part) for part in parts
        )
        rows.append((family, format_fusion(chosen.fusion), True, _merged(judged, measured)))
    rows.append(("all families", format_fusion(final.fusion), True, tuned))
    return tuple(
        _result(*row, baseline=alone[best], is_baseline=row[3] is alone[best]) for row in rows
    )


def _result(
    name: str, fusion: str, tuned: bool, each: Each, *, baseline: Each, is_baseline: bool
) -> Result:
    mine, theirs = list(each.values()), list(baseline.values())
    return Result(
        name=name,
        fusion=fusion,
        tuned=tuned,
        ndcg=_mean(each),
        difference=_mean(each) - _mean(baseline),
        p=None if is_baseline else randomization_test(mine, theirs),
    )


def _against(tuned: Each, leg: Each) -> Against:
    return Against(
        ndcg=round(_mean(leg), 6),
        difference=round(_mean(tuned) - _mean(leg), 6),
        p=round(randomization_test(list(tuned.values()), list(leg.values())), 6),
    )


def _speeds(
    store: Store,
    judged: Judged,
    search: Search,
    legs: Sequence[Leg],
    alone: Mapping[str, Each],
    final: Setting,
) -> tuple[Speed, ...]:
    """Quality and latency of each leg, and of the chosen fusion for all windows and term limits."""
    settings = {_label(final, "tuned"): ("tuned", final)}
    for candidates in CANDIDATES:
        other = replace(final, candidates=candidates)
        settings.setdefault(_label(other, "tuned"), ("window", other))
    for terms in QUERY_TERMS if any(isinstance(leg, SparseLeg) for leg in legs) else ():
        other = replace(final, max_query_terms=terms)
        settings.setdefault(_label(other, "tuned"), ("terms", other))
    calls: dict[str, tuple[Sequence[Leg], Fusion]] = {
        leg.name: ((leg,), WeightedSum()) for leg in legs
    }
    limits = {}
    for name, (_, setting) in settings.items():
        window = [replace(leg, candidates=setting.candidates) for leg in legs]
        calls[name] = (window, setting.fusion)
        if setting.max_query_terms is not None:
            limits[name] = setting.max_query_terms
    texts = list(judged.queries.values())[:_TIMED_QUERIES]
    times = time_searches(store, texts, calls, max_query_terms=limits)
    quality = {name: ("leg", _mean(each)) for name, each in alone.items()}
    for name, (kind, setting) in settings.items():
        quality[name] = (kind, _mean(_measured(search, setting, list(judged.queries))))
    return tuple(
        Speed(
            name=name,
            kind=kind,
            ndcg=ndcg,
            p50_ms=statistics.median(times[name]),
            p95_ms=percentile_95(times[name]),
        )
        for name, (kind, ndcg) in quality.items()
    )


def _label(setting: Setting, what: str) -> str:
    terms = setting.max_query_terms
    return f"{what}, window {setting.candidates}, {terms or 'all'} terms"


def _shares(judged: Judged, run: LegRun, fusion: Fusion) -> tuple[Share, ...]:
    legs = len(run.names)
    sums, found, alone = [0.0] * legs, [0] * legs, [0] * legs
    for query, windows in run.windows.items():
        parts = [
            dict(zip(leg.ids, values.tolist(), strict=True))
            for leg, values in zip(windows, contributions(fusion, windows), strict=True)
        ]
        for hit in fuse(fusion, windows, limit=10):
            within = [at for at in range(legs) if hit.id in parts[at]]
            relevant = judged.qrels[query].get(str(hit.id), 0) > 0
            for at in within:
                sums[at] += max(parts[at][hit.id], 0.0)
                found[at] += relevant
                alone[at] += relevant and len(within) == 1
    total = sum(sums) or 1.0
    return tuple(
        Share(name=name, share=sums[at] / total, found=found[at], alone=alone[at])
        for at, name in enumerate(run.names)
    )


def _relevant(judged: Judged, run: LegRun, fusion: Fusion) -> int:
    return sum(
        judged.qrels[query].get(str(hit.id), 0) > 0
        for query, windows in run.windows.items()
        for hit in fuse(fusion, windows, limit=10)
    )


def _measured(search: Search, setting: Setting, queries: Sequence[str]) -> Each:
    return _values(search.judged, ranked(setting.fusion, search.windows(setting).of(queries)))


def _values(judged: Judged, run: Mapping[str, Sequence[tuple[str | int, float]]]) -> Each:
    return measure_ranked(judged, run)[MAIN]


def _merged(judged: Judged, parts: Iterator[Each]) -> Each:
    """Merge the values of all folds, in the order of the queries."""
    found = {id: value for part in parts for id, value in part.items()}
    return {id: found[id] for id in judged.queries}


def _others(part: Sequence[str], parts: Sequence[Sequence[str]]) -> list[str]:
    return [id for other in parts if other is not part for id in other]


def _mean(each: Each) -> float:
    return statistics.fmean(each.values())


def _model(store: Store, save: bool) -> str:
    """The index's model; "" without a manifest, which raises up front if saving needs one."""
    found = store.inspect()
    if found.capabilities.exists and found.manifest is None and save:
        raise no_manifest(found.location)
    return found.manifest.model if found.manifest else ""


def _not_better(tuning: Tuning, best: str, results: Sequence[Result]) -> tuple[str, ...]:
    """A warning with advice if no tuned fusion beats the best leg."""
    if tuning.is_better:
        return ()
    leg = tuning.against[best].ndcg
    untuned = [row for row in results if row.fusion and not row.tuned and row.ndcg > leg]
    instead = f"search with {best} alone"
    if untuned:
        row = max(untuned, key=lambda row: row.ndcg)
        instead = f"untuned {row.fusion} reaches {row.ndcg:.4f}"
    return (
        f"no tuned fusion beats {best} alone on held-out queries ({tuning.held_out:.4f} vs. "
        f"{leg:.4f}), so none is recommended or saved; {instead}",
    )


def _warnings(queries: int) -> tuple[str, ...]:
    if queries >= FEW_QUERIES:
        return ()
    return (
        f"only {queries} judged queries: with fewer than {FEW_QUERIES}, the choice depends "
        "strongly on which queries they are",
    )
