"""Every fusion at a place against its definition: numpy, over what the place holds.

Used by the tests and by benchmarks/hybrid_equality.py.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from splade_connectors import Document, SparseBatch, SparseEncoder
from splade_connectors.fusion import DenseLeg, Fusion, SparseLeg, TextLeg, format_fusion, fuse
from splade_connectors.fusion.legs import Leg
from splade_connectors.testing import assert_same_fusion, exact_window
from splade_connectors.testing.fusion import ExactWindow
from splade_connectors.testing.oracle import stored_batch
from tests import kept
from tests.integration.hybrid_places import WEIGHTS, Place, fusions, sums

SAMPLE = Path(__file__).parents[2] / "splade_connectors/sample/corpus.jsonl"
WINDOW = 200
DEPTH = 100


@dataclass(frozen=True, kw_only=True)
class Collection:
    """Documents with both vectors, and queries with dense ones.

    Attributes:
        documents: ready to be indexed.
        sparse: of the documents, as encoded.
        dense: float32[documents, dimensions].
        query_vectors: a query's text -> its dense vector.
    """

    documents: list[Document]
    sparse: SparseBatch
    dense: NDArray[np.float32]
    query_vectors: dict[str, list[float]]

    @classmethod
    def encoded(
        cls,
        corpus: Path,
        encoder: SparseEncoder,
        queries: Sequence[str],
        *,
        most: int | None = None,
        repeated: int = 0,
        times: int = 2,
        dimensions: int = 16,
    ) -> Collection:
        """The first documents of a corpus in BEIR layout; their dense vectors are random.

        Args:
            corpus: its `corpus.jsonl`.
            encoder: of the sparse vectors.
            queries: texts.
            most: how many documents.
            repeated: how many of them are there under several ids, tied in every leg.
            times: how often these are there.
            dimensions: of dense vectors.
        """
        with corpus.open(encoding="utf-8") as lines:
            rows = [json.loads(line) for line in lines][:most]
        texts = [f"{row['title']} {row['text']}" for row in rows]
        random = np.random.default_rng(7)
        dense = _unit(random.normal(size=(len(rows), dimensions)))
        sparse = kept.encoded(encoder, "collection", texts)
        # Spread over the collection, not the first few rows of it.
        again = random.permutation(len(rows))[:repeated].tolist()
        order = [*range(len(rows)), *again * (times - 1)]
        return cls(
            documents=[
                Document(
                    id=rows[at]["_id"] if row < len(rows) else f"{rows[at]['_id']}-{row}",
                    text=texts[at],
                    payload={"part": "odd" if row % 2 else "even"},
                    vector=sparse[at],
                    dense=dense[at].tolist(),
                )
                for row, at in enumerate(order)
            ],
            sparse=SparseBatch.from_vectors(sparse[at] for at in order),
            dense=dense[order],
            query_vectors={
                text: vector.tolist()
                for text, vector in zip(
                    queries, _unit(random.normal(size=(len(queries), dimensions))), strict=True
                )
            },
        )

    def fill(self, place: Place) -> None:
        """Index the documents, with the vectors that the place has fields for."""
        documents = self.documents
        if not place.has_dense:
            documents = [replace(document, dense=None) for document in documents]
        report = place.store.index(documents)
        assert report.rejected_count == 0


def _unit(vectors: NDArray[np.float64]) -> NDArray[np.float32]:
    found: NDArray[np.float32] = (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(
        np.float32
    )
    return found


class Exact:
    """The windows of a place's legs, by numpy.

    Args:
        collection: what is stored there.
        encoder: of queries.
        place: whose rounding is taken; and whose BM25, which has no other definition.
        kept: rows of the documents that a filter leaves; None for all.
    """

    def __init__(
        self,
        collection: Collection,
        encoder: SparseEncoder,
        place: Place,
        kept: Sequence[int] | None = None,
    ) -> None:
        self._rows = np.arange(len(collection.documents)) if kept is None else np.array(kept)
        self._ids = [collection.documents[row].id for row in self._rows.tolist()]
        self._batch = stored_batch(collection.sparse, place.rounding)
        self._encoder = encoder
        dense = collection.dense.astype(np.float64)
        self._unit = dense / np.linalg.norm(dense, axis=1, keepdims=True)
        self._query_vectors = collection.query_vectors
        self._store = place.store

    def sparse(self, text: str, candidates: int | None = WINDOW) -> ExactWindow:
        """From the weights that the store holds."""
        scores = self._batch.dot(self._encoder.encode_queries([text])[0])
        return exact_window("sparse", self._ids, scores[self._rows], candidates)

    def dense(self, text: str, candidates: int | None = WINDOW) -> ExactWindow:
        """From all vectors."""
        return exact_window("dense", self._ids, self.similarities(text), candidates)

    def similarities(self, text: str) -> NDArray[np.float64]:
        """float64[documents]: (1 + cosine) / 2."""
        query = np.array(self._query_vectors[text])
        unit = self._unit[self._rows]
        found: NDArray[np.float64] = (1 + unit @ (query / np.linalg.norm(query))) / 2
        return found

    def text(self, text: str, candidates: int | None = WINDOW) -> ExactWindow:
        """The server's own BM25 of all documents; the window is cut here."""
        (found,) = self._store.windows(text, legs=[TextLeg(candidates=len(self._ids))])
        return exact_window("text", list(found.ids), found.scores, candidates)

    def found(self, text: str, leg: DenseLeg) -> ExactWindow:
        """What an approximate search finds, whose scores must be exact."""
        (window,) = self._store.windows(text, legs=[leg])
        exact = dict(zip(self._ids, self.similarities(text).tolist(), strict=True))
        scores = np.array([exact[id] for id in window.ids])
        assert np.abs(scores - window.scores).max() <= 1e-5
        return exact_window("dense", list(window.ids), scores, leg.candidates)


@dataclass(frozen=True, kw_only=True)
class Search:
    """Legs as they are searched, and what each must find.

    Attributes:
        legs: of a query.
        windows: of a query, exact.
        fusions: to compare, of one weight setting.
    """

    legs: Callable[[str], list[Leg]]
    windows: Callable[[str], list[ExactWindow]]
    fusions: Callable[[Any], list[Fusion]]


def split(place: Place, exact: Exact, collection: Collection, candidates: int = WINDOW) -> Search:
    """Both legs with a window: sparse, and dense or text, whichever the place has."""

    def second(text: str) -> Leg:
        if not place.has_dense:
            return TextLeg(candidates=candidates)
        vector = collection.query_vectors[text]
        return DenseLeg(vector=vector, exact=place.exact, candidates=candidates)

    other = exact.dense if place.has_dense else exact.text
    return Search(
        legs=lambda text: [SparseLeg(candidates=candidates), second(text)],
        windows=lambda text: [exact.sparse(text, candidates), other(text, candidates)],
        fusions=fusions,
    )


def summed(place: Place, exact: Exact, collection: Collection) -> Search:
    """A sparse leg without a window, and a second one: text without a window, or dense with one."""

    def second(text: str) -> Leg:
        # A sum has an approximate dense leg: where that has a graph, the definition is over the
        # window that it finds.
        if place.has_dense:
            return DenseLeg(vector=collection.query_vectors[text], candidates=WINDOW)
        return TextLeg(candidates=None)

    def other(text: str) -> ExactWindow:
        leg = second(text)
        if not isinstance(leg, DenseLeg):
            return exact.text(text, None)
        return exact.found(text, leg) if place.exact else exact.dense(text)

    return Search(
        legs=lambda text: [SparseLeg(candidates=None), second(text)],
        windows=lambda text: [exact.sparse(text, None), other(text)],
        fusions=sums,
    )


def searches(place: Place, exact: Exact, collection: Collection) -> list[Search]:
    """Everything that the place can do."""
    both = [split(place, exact, collection)]
    return [*both, summed(place, exact, collection)] if place.sums else both


@dataclass(kw_only=True)
class Result:
    """What was compared at one place.

    Attributes:
        place: its name.
        rankings: compared ones.
        by_server: those of them that the server fused.
        rows: hits compared.
        tied: those whose exact score ties leave open.
        largest: largest difference of the others.
        wrong: rankings that differ, each in a sentence.
        seconds: taken, without indexing.
    """

    place: str
    rankings: int = 0
    by_server: int = 0
    rows: int = 0
    tied: int = 0
    largest: float = 0.0
    wrong: list[str] = field(default_factory=list)
    seconds: float = 0.0

    def add(
        self,
        found: Sequence[tuple[Any, float]],
        fusion: Fusion,
        windows: Sequence[ExactWindow],
        text: str,
        by_server: bool,
    ) -> None:
        """Compare one ranking."""
        self.rankings += 1
        self.by_server += by_server
        try:
            agreement = assert_same_fusion(found, fusion, windows, DEPTH)
        except AssertionError as error:
            self.wrong.append(f"{format_fusion(fusion)}, {text!r}: {error}")
            return
        self.rows += agreement.rows
        self.tied += agreement.tied
        self.largest = max(self.largest, agreement.largest)


def compare(
    place: Place,
    searches: Sequence[Search],
    texts: Sequence[str],
    *,
    sent_whole: int,
    path: Literal["auto", "client"] = "auto",
) -> Result:
    """Every query, fusion and weight setting, against the definition.

    Args:
        place: filled.
        searches: what is searched.
        texts: queries.
        sent_whole: for how many queries a search is sent where the client fuses; for the others
            the windows are searched once, and fused as the client does it.
        path: of the searches.
    """
    result = Result(place=place.name)
    begun = time.perf_counter()
    for search in searches:
        whole = [fusion for weights in WEIGHTS for fusion in search.fusions(weights)]
        for at, text in enumerate(texts):
            legs, windows = search.legs(text), search.windows(text)
            if at == 0:
                plans = [
                    place.store.plan(text, legs=legs, fusion=fusion, path=path) for fusion in whole
                ]
            rankings = None
            for fusion, plan in zip(whole, plans, strict=True):
                on_server = plan.fused_by == "server"
                if on_server or at < sent_whole:
                    hits = place.store.search(
                        text, legs=legs, fusion=fusion, limit=DEPTH, with_payload=False, path=path
                    )
                    assert hits.plan.fused_by == plan.fused_by
                    found = [(hit.id, hit.score) for hit in hits]
                else:
                    rankings = rankings or place.store.windows(text, legs=legs)
                    found = [(hit.id, hit.score) for hit in fuse(fusion, rankings)[:DEPTH]]
                result.add(found, fusion, windows, text, on_server)
    result.seconds = time.perf_counter() - begun
    return result
