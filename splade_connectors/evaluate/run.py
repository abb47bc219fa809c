"""Evaluating a store: search every judged query and measure the rankings."""

from __future__ import annotations

import statistics
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from splade_connectors.documents import DocumentId
from splade_connectors.evaluate.data import Judged
from splade_connectors.evaluate.metrics import measure
from splade_connectors.options import OnProgress, Progress
from splade_connectors.store import Store

DEPTH = 100


@dataclass(frozen=True, kw_only=True, slots=True)
class Evaluation:
    """Quality and latency of a store's rankings.

    Attributes:
        measures: "nDCG@10", "recall@100", "MRR@10" -> mean over the queries.
        queries: number of judged queries.
        p50_ms: median latency of a search in milliseconds, including encoding.
        p95_ms: 95th percentile of the latency.
        unknown_queries: number of query ids that have judgements but no text.
        missing_documents: number of relevant documents (grade above 0) not in the store.
    """

    measures: dict[str, float]
    queries: int
    p50_ms: float
    p95_ms: float
    unknown_queries: int
    missing_documents: int

    def to_json(self) -> dict[str, Any]:
        """Return a JSON object."""
        return {
            **{name: round(value, 4) for name, value in self.measures.items()},
            "queries": self.queries,
            "p50_ms": round(self.p50_ms, 2),
            "p95_ms": round(self.p95_ms, 2),
            "unknown_queries": self.unknown_queries,
            "missing_documents": self.missing_documents,
        }


def evaluate(
    store: Store,
    judged: Judged,
    on_progress: OnProgress | None = None,
    *,
    run: dict[str, dict[str, float]] | None = None,
) -> Evaluation:
    """Search for the best 100 documents for every judged query, and measure the rankings.

    Args:
        store: store to search.
        judged: queries and judgements.
        on_progress: called after each query.
        run: filled with the rankings: query -> document -> score, best first.

    Raises:
        MissingDependency: if ir-measures is not installed.
    """
    run = {} if run is None else run
    times: list[float] = []
    for done, (id, text) in enumerate(judged.queries.items(), start=1):
        began = time.perf_counter()
        hits = store.search(text, limit=DEPTH, with_payload=False)
        times.append((time.perf_counter() - began) * 1000)
        run[id] = {str(hit.id): hit.score for hit in hits}
        if on_progress:
            on_progress(Progress(done=done, total=len(judged.queries)))
    return Evaluation(
        measures=measure(judged.qrels, run),
        queries=len(run),
        p50_ms=statistics.median(times),
        p95_ms=percentile_95(times),
        unknown_queries=len(judged.unknown_queries),
        missing_documents=missing_documents(store, judged),
    )


def percentile_95(times: Sequence[float]) -> float:
    """Return the 95th percentile of at least one value."""
    return statistics.quantiles(times, n=20)[-1] if len(times) > 1 else times[0]


def missing_documents(store: Store, judged: Judged) -> int:
    """Return the number of relevant documents not in the store, which reveals a wrong file."""
    wanted = {
        document for grades in judged.qrels.values() for document, grade in grades.items() if grade
    }
    # In judgements, integer ids look like strings.
    numbers = [int(id) for id in wanted if id.removeprefix("-").isdecimal() and len(id) < 20]
    ids: list[DocumentId] = [*sorted(wanted), *sorted(numbers)]
    return len(wanted - {str(id) for id in store.known(ids)})
