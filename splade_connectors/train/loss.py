"""Measuring the quality loss of query weights relative to the model's own queries."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from splade_connectors.encoders.base import SparseEncoder
from splade_connectors.evaluate.data import Judged
from splade_connectors.evaluate.metrics import as_run, measure_each
from splade_connectors.evaluate.run import DEPTH
from splade_connectors.evaluate.significance import TEST, randomization_test
from splade_connectors.extras import require
from splade_connectors.store import Store
from splade_connectors.vectors import SparseBatch

MEASURE = "nDCG@10"

Run = Mapping[str, Mapping[str, float]]
Searched = Callable[[SparseEncoder], Run]


@dataclass(frozen=True, kw_only=True, slots=True)
class Loss:
    """nDCG@10 with query weights and with the model's own queries, on the same documents.

    Attributes:
        dataset: name of the judged dataset.
        queries: number of judged queries.
        own: mean with the model's own queries.
        made: mean with the weights.
        loss: own minus made; negative if the weights are better.
        p: p-value of that difference, by `test`.
        test: name of the significance test.
    """

    dataset: str
    queries: int
    own: float
    made: float
    loss: float
    p: float
    test: str = TEST

    def to_json(self) -> dict[str, Any]:
        """Return a JSON object."""
        rounded = {name: round(getattr(self, name), 4) for name in ("own", "made", "loss")}
        return asdict(self) | rounded | {"p": round(self.p, 5)}


def measured(
    judged: Judged, dataset: str, own: SparseEncoder, made: SparseEncoder, search: Searched
) -> Loss:
    """Search with both query sides, and compare.

    Args:
        judged: queries and judgements.
        dataset: name of the dataset.
        own: the model.
        made: encoder with the weights.
        search: returns the rankings of all judged queries.

    Raises:
        MissingDependency: if ir-measures is not installed.
    """
    mine, theirs = (each_of(judged, search(encoder)) for encoder in (made, own))
    means = statistics.fmean(theirs), statistics.fmean(mine)
    return Loss(
        dataset=dataset,
        queries=len(mine),
        own=means[0],
        made=means[1],
        loss=means[0] - means[1],
        p=randomization_test(mine, theirs),
    )


def each_of(judged: Judged, run: Run) -> list[float]:
    """Return nDCG@10 of each judged query, in order."""
    values = measure_each(judged.qrels, run)[MEASURE]
    return [values[query] for query in judged.queries]


def exact_search(judged: Judged, ids: Sequence[str], vectors: SparseBatch, terms: int) -> Searched:
    """Return a search by exact dot products over encoded documents.

    Args:
        judged: judged queries.
        ids: document ids.
        vectors: document vectors, in the order of `ids`.
        terms: vocabulary size.

    Raises:
        MissingDependency: if scipy is not installed.
    """
    require("scipy", "evaluate", "measuring query weights")
    documents = vectors.to_scipy(terms)

    def search(encoder: SparseEncoder) -> Run:
        queries = encoder.encode_queries(list(judged.queries.values())).to_scipy(terms)
        rankings = {}
        for query, row in zip(judged.queries, queries, strict=True):
            scores = (documents @ row.T).toarray().ravel()
            # Ties keep the order of the documents.
            best = np.argsort(-scores, kind="stable")[:DEPTH]
            rankings[query] = [ids[at] for at in best if scores[at] > 0]
        return as_run(rankings)

    return search


def store_search(judged: Judged, store: Store) -> Searched:
    """Return a search in a collection or index that the model wrote.

    Args:
        judged: judged queries.
        store: store to search; its own encoder is not used.
    """

    def search(encoder: SparseEncoder) -> Run:
        vectors = encoder.encode_queries(list(judged.queries.values()))
        rankings = {}
        for query, vector in zip(judged.queries, vectors, strict=True):
            hits = store.search(vector, limit=DEPTH, with_payload=False)
            rankings[query] = [hit.id for hit in hits]
        return as_run(rankings)

    return search
