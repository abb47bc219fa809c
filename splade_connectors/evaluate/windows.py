"""Each leg's candidates for every judged query, searched once to compare fusions over them."""

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
from splade_connectors.shown import counted, reason_of
from splade_connectors.store import Store

Windows = tuple[LegRanking, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class LegRun:
    """The candidate windows of all legs for all queries.

    Attributes:
        names: names of the legs, in the order of a fusion's weights.
        windows: query id -> one ranking per leg.
    """

    names: tuple[str, ...]
    windows: Mapping[str, Windows]

    def cut(self, candidates: int) -> LegRun:
        """Return the run with smaller windows.

        Equals a search with that window size, provided that the legs are searched exactly.
        """
        return self._changed(lambda leg: _cut(leg, candidates))

    def only(self, name: str) -> LegRun:
        """Return one leg alone."""
        at = self.names.index(name)
        return LegRun(names=(name,), windows={id: (w[at],) for id, w in self.windows.items()})

    def of(self, queries: Sequence[str]) -> LegRun:
        """Return the run restricted to some queries."""
        return replace(self, windows={id: self.windows[id] for id in queries})

    def with_leg(self, name: str, other: LegRun) -> LegRun:
        """Return the run with one leg replaced by that of another run, which has only that leg."""
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
    """Search every leg's candidate window for every judged query.

    Args:
        store: store to search.
        judged: judged queries.
        legs: legs, in the order of a fusion's weights.
        max_query_terms: maximum number of terms of a sparse query, keeping the heaviest.
        on_progress: called after each query.
    """
    windows: dict[str, Windows] = {}
    for done, (id, text) in enumerate(judged.queries.items(), start=1):
        windows[id] = tuple(store.windows(text, legs=legs, max_query_terms=max_query_terms))
        if on_progress:
            on_progress(Progress(done=done, total=len(judged.queries)))
    return LegRun(names=tuple(leg.name for leg in legs), windows=windows)


class QueryVectors:
    """Precomputed dense query vectors from a file; a source for a `DenseLeg`.

    Args:
        path: .npz file with the arrays `ids` (text) and `vectors` (float, one row per id).
        judged: queries that the vectors belong to.

    Raises:
        ConfigurationError: if the file cannot be read, or lacks a judged query.
    """

    def __init__(self, path: Path, judged: Judged) -> None:
        vectors = dict(_rows(path))
        missing = [id for id in judged.queries if id not in vectors]
        if missing:
            raise ConfigurationError(
                f"{path} has no vector for {len(missing):,} of "
                f"{counted(len(judged.queries), 'judged query', 'judged queries')}, "
                f"for example {missing[0]!r}"
            )
        self._vectors = {text: vectors[id] for id, text in judged.queries.items()}

    def __call__(self, text: str) -> Sequence[float]:
        """Return the vector of a judged query's text."""
        return self._vectors[text]


def _rows(path: Path) -> Iterator[tuple[str, Sequence[float]]]:
    try:
        with np.load(path, allow_pickle=False) as arrays:
            ids, vectors = arrays["ids"], arrays["vectors"]
    except (OSError, ValueError, KeyError, EOFError) as error:
        raise ConfigurationError(
            f"cannot read {path} as .npz with the arrays ids and vectors: {reason_of(error)}"
        ) from error
    if vectors.ndim != 2 or ids.shape != vectors.shape[:1]:
        raise ConfigurationError(
            f"{path}: ids has shape {ids.shape} and vectors {vectors.shape}, but vectors must have "
            "one row per id"
        )
    if not np.isfinite(vectors).all():
        bad = ids[~np.isfinite(vectors).all(axis=1)].tolist()
        raise ConfigurationError(
            f"{path}: {len(bad):,} of {counted(len(ids), 'vector')} contain NaN or infinity, for "
            f"example that of {str(bad[0])!r}; encode them again"
        )
    rows: Any = vectors.tolist()
    yield from zip(map(str, ids.tolist()), rows, strict=True)


def _cut(leg: LegRanking, candidates: int) -> LegRanking:
    return replace(leg, ids=leg.ids[:candidates], scores=leg.scores[:candidates])
