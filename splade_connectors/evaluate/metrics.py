"""Ranking metrics, computed by ir-measures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from splade_connectors.extras import require

MEASURES = ("nDCG@10", "R@100", "RR@10")
LABELS = {"nDCG@10": "nDCG@10", "R@100": "recall@100", "RR@10": "MRR@10"}


def measure(
    qrels: Mapping[str, Mapping[str, int]], run: Mapping[str, Mapping[str, float]]
) -> dict[str, float]:
    """Return the mean metrics over all judged queries; a query without hits counts as zero.

    nDCG@10 is trec_eval's: gain = grade, discount = log2(rank + 1), ideal over all judgements
    (Järvelin and Kekäläinen, "Cumulated gain-based evaluation of IR techniques", 2002).

    Args:
        qrels: query -> document -> grade.
        run: query -> document -> score.

    Returns:
        "nDCG@10", "recall@100" and "MRR@10" -> mean.

    Raises:
        MissingDependency: if ir-measures is not installed.
    """
    library = require("ir_measures", "evaluate", "evaluation")
    measures = [library.parse_measure(name) for name in MEASURES]
    graded = {query: dict(grades) for query, grades in qrels.items()}
    found = library.calc_aggregate(
        measures, graded, {query: dict(scores) for query, scores in run.items()}
    )
    values = {str(measure): float(value) for measure, value in found.items()}
    return {LABELS[name]: values[name] for name in MEASURES}


def measure_each(
    qrels: Mapping[str, Mapping[str, int]], run: Mapping[str, Mapping[str, float]]
) -> dict[str, dict[str, float]]:
    """Return each judged query's metrics; a query without hits counts as zero.

    Returns:
        "nDCG@10", "recall@100" and "MRR@10" -> query -> value.

    Raises:
        MissingDependency: if ir-measures is not installed.
    """
    library = require("ir_measures", "evaluate", "evaluation")
    measures = [library.parse_measure(name) for name in MEASURES]
    graded = {query: dict(grades) for query, grades in qrels.items()}
    values = {LABELS[name]: dict.fromkeys(graded, 0.0) for name in MEASURES}
    for found in library.iter_calc(
        measures, graded, {query: dict(scores) for query, scores in run.items()}
    ):
        values[LABELS[str(found.measure)]][found.query_id] = float(found.value)
    return values


def as_run(rankings: Mapping[str, Sequence[object]]) -> dict[str, dict[str, float]]:
    """Return rankings with descending scores, so that ties stay broken as they are."""
    return {
        query: {str(id): float(len(ids) - at) for at, id in enumerate(ids)}
        for query, ids in rankings.items()
    }
