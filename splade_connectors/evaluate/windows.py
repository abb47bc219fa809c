"""What every leg finds for every judged query, searched once; fusions are compared over that."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from splade_connectors.errors import ConfigurationError
from splade_connectors.evaluate.data import Judged
from splade_connectors.fusion.legs import Leg
from splade_connectors.fusion.reference import LegRanking
from splade_connectors.options import OnProgress, Progress
from splade_connectors.store import Store

Windows = tuple[LegRanking, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class LegRun:
    """The windows of all legs for all queries.

    Attributes:
        names: of the legs, in the order of a fusion's weights.
        windows: query id -> one ranking per leg.
    """

    names: tuple[str, ...]
    windows: Mapping[str, Windows]

    def cut(self, candidates: int) -> LegRun:
        """The same with smaller windows.

        What a search with a window of that size finds, where the legs are searched exactly.
        """
        return self._changed(lambda leg: _cut(leg, candidates))

    def only(self, name: str) -> LegRun:
        """One leg alone."""
        at = self.names.index(name)
        return LegRun(names=(name,), windows={id: (w[at],) for id, w in self.windows.items()})

    def of(self, queries: Sequence[str]) -> LegRun:
        """The same of some queries."""
        return replace(self, windows={id: self.windows[id] for id in queries})

    def with_leg(self, name: str, other: LegRun) -> LegRun:
        """The same with one leg's rankings from another run, in which that leg stands alone."""
        at = self.names.index(name)
        windows = {
            id: (*found[:at], other.windows[id][0], *found[at + 1 :])
            for id, found in self.windows.items()
        }
        return replace(self, windows=windows)

    def _changed(self, change: Callable[[LegRanking], LegRanking]) -> LegRun:
        return replace(
            self, windows={id: tuple(map(change, found)) for id, found in self.windows.items()}
        )


def collect(
    store: Store,
    judged: Judged,
    legs: Sequence[Leg],
    *,
    max_query_terms: int | None = None,
    on_progress: OnProgress | None = None,
) -> LegRun:
    """Search every leg's window for every judged query.

    Args:
        store: to search.
        judged: the queries.
        legs: in the order of a fusion's weights.
        max_query_terms: most terms of a sparse query, the heaviest.
        on_progress: called after each query.
    """
    windows: dict[str, Windows] = {}
    for done, (id, text) in enumerate(judged.queries.items(), start=1):
        windows[id] = tuple(store.windows(text, legs=legs, max_query_terms=max_query_terms))
        if on_progress:
            on_progress(Progress(done=done, total=len(judged.queries)))
    return LegRun(names=tuple(leg.name for leg in legs), windows=windows)


class QueryVectors:
    """Dense vectors of queries that were made elsewhere; a source for a `DenseLeg`.

    Args:
        path: an .npz file with the arrays `ids` (text) and `vectors` (one row each).
        judged: the queries, whose texts the vectors belong to.

    Raises:
        ConfigurationError: when the file cannot be read, or lacks a judged query.
    """

    def __init__(self, path: Path, judged: Judged) -> None:
        vectors = dict(_rows(path))
        missing = [id for id in judged.queries if id not in vectors]
        if missing:
            raise ConfigurationError(
                f"{path} has no vector for {len(missing)} of {len(judged.queries)} judged queries, "
                f"for example {missing[0]!r}"
            )
        self._vectors = {text: vectors[id] for id, text in judged.queries.items()}

    def __call__(self, text: str) -> Sequence[float]:
        """The vector of a judged query's text."""
        return self._vectors[text]


def _rows(path: Path) -> Iterator[tuple[str, Sequence[float]]]:
    try:
        with np.load(path, allow_pickle=False) as arrays:
            ids, vectors = arrays["ids"], arrays["vectors"]
    except (OSError, ValueError, KeyError, EOFError) as error:
        raise ConfigurationError(
            f"cannot read {path} as .npz with the arrays ids and vectors: {error}"
        ) from error
    if vectors.ndim != 2 or ids.shape != vectors.shape[:1]:
        raise ConfigurationError(
            f"{path}: ids has the shape {ids.shape} and vectors {vectors.shape}; it takes one row "
            "of vectors for each id"
        )
    if not np.isfinite(vectors).all():
        bad = ids[~np.isfinite(vectors).all(axis=1)].tolist()
        raise ConfigurationError(
            f"{path}: {len(bad)} of {len(ids)} vectors hold NaN or infinity, for example that of "
            f"{str(bad[0])!r}: make them again"
        )
    rows: Any = vectors.tolist()
    yield from zip(map(str, ids.tolist()), rows, strict=True)


def _cut(leg: LegRanking, candidates: int) -> LegRanking:
    return replace(leg, ids=leg.ids[:candidates], scores=leg.scores[:candidates])
