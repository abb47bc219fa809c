"""The reference for fused rankings, with exactly the freedom that ties leave to a store.

Hits of a leg with equal scores may come in any order, and any of them may take the last places of a
window: fusion then gives some of them the better ranks, or omits some. So a fused score is exact
except for ties; with a tie, it is one of the sums given by the places of the tie, each of which
belongs to one document.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from splade_connectors.documents import DocumentId
from splade_connectors.fusion.reference import LegRanking, contributions, leg_ranking
from splade_connectors.fusion.spec import Fusion, Rrf
from splade_connectors.testing.oracle import TOLERANCE

# Scores this close count as equal: stores sum 32-bit floats in their own order.
TIE = 1e-6

Values = NDArray[np.float64]
Allowed = NDArray[np.bool_]


@dataclass(frozen=True, kw_only=True, slots=True)
class ExactWindow:
    """The exact candidate window of a leg.

    Attributes:
        ranking: best first; extends beyond the window's end by the hits tied with its last one.
        first: int[n]; the best rank that each hit may have.
        last: int[n]; the worst rank that each hit may have.
        size: number of hits in the window.
    """

    ranking: LegRanking
    first: NDArray[np.int64]
    last: NDArray[np.int64]
    size: int

    def cut(self) -> LegRanking:
        """The window with ties in their defined order, as input for `fuse`."""
        found = self.ranking
        return LegRanking(
            name=found.name, ids=found.ids[: self.size], scores=found.scores[: self.size]
        )

    @property
    def is_free(self) -> NDArray[np.bool_]:
        """bool[n]: hits that may be outside the window because of a tie at its end."""
        return self.last > self.size


@dataclass(frozen=True, kw_only=True, slots=True)
class Agreement:
    """How closely a ranking agrees with the reference.

    Attributes:
        rows: number of hits compared.
        tied: number of hits whose exact score depends on a tie.
        largest: largest difference of the others, relative to scores above 1.
    """

    rows: int
    tied: int
    largest: float


def exact_window(
    name: str, ids: Sequence[DocumentId], scores: Values, candidates: int | None
) -> ExactWindow:
    """The exact candidate window of a leg.

    Args:
        name: of the leg.
        ids: of all documents.
        scores: float64[n], their exact scores; only documents above 0 are found.
        candidates: size of the window; None for all.
    """
    kept = np.flatnonzero(scores > 0)
    whole = leg_ranking(name, [ids[at] for at in kept.tolist()], scores[kept].tolist())
    falls = -np.diff(whole.scores) > TIE * np.maximum(1.0, np.abs(whole.scores[1:]))
    group = np.concatenate([[0], np.cumsum(falls)]) if len(whole.ids) else np.zeros(0, np.int64)
    first = np.searchsorted(group, group, "left") + 1
    last = np.searchsorted(group, group, "right")
    size = len(whole.ids) if candidates is None else min(candidates, len(whole.ids))
    reach = int(last[size - 1]) if size else 0
    return ExactWindow(
        ranking=LegRanking(name=name, ids=whole.ids[:reach], scores=whole.scores[:reach]),
        first=first[:reach],
        last=last[:reach],
        size=size,
    )


def assert_same_fusion(
    found: Sequence[tuple[DocumentId, float]],
    fusion: Fusion,
    windows: Sequence[ExactWindow],
    limit: int,
    tolerance: float = TOLERANCE,
) -> Agreement:
    """Check fused hits against the definition, on every row.

    Each score must be within `tolerance` of an exact one (relative above 1, and always for
    reciprocal ranks, which are small), the order must be that of the exact scores except for ties,
    no missing document may belong above the last hit, and in each leg every document of a tie must
    have its own place.

    Args:
        found: (id, score) of each hit, best first.
        fusion: of all legs.
        windows: the exact windows of the legs.
        limit: number of hits requested.
        tolerance: of scores.

    Raises:
        AssertionError: if not; names the first wrong row.
    """
    assert len(found) <= limit, f"{len(found)} hits, but at most {limit} were requested"
    ids = {id for id, _ in found}
    assert len(ids) == len(found), "a document was found twice"
    expected = _Expected(fusion, windows)
    lowest, largest = math.inf, 0.0
    for rank, (id, score) in enumerate(found, start=1):
        assert id in expected.documents, f"row {rank}: {id!r} is in no window"
        exact = expected.matching(id, score, tolerance)
        assert exact, f"row {rank}: {id!r} {score} is not {expected.text(id)}"
        above = min(exact) - lowest > TIE * expected.unit(lowest)
        assert not above, f"row {rank}: {id!r} {min(exact)} is below {lowest}"
        lowest = min(lowest, max(exact))
        if not expected.is_open(id):
            largest = max(largest, abs(score - exact[0]) / expected.unit(exact[0]))
    least = lowest + TIE * expected.unit(lowest) if len(found) == limit else -math.inf
    for id in expected.documents - ids:
        assert expected.may_be_missing(id, least), f"{id!r} is missing: {expected.text(id)}"
    expected.check_places()
    tied = sum(expected.is_open(id) for id in ids)
    return Agreement(rows=len(found), tied=tied, largest=largest)


@dataclass(frozen=True, kw_only=True, slots=True)
class _Tie:
    """Documents of a leg with equal scores, and the places that they share.

    Attributes:
        name: of the leg, with the ranks, for messages.
        room: number of documents for each kind of place.
        leaves_out: whether the last kind of place is beyond the window's end.
        axes: document -> this tie's axis among all ties that leave its score open.
    """

    name: str
    room: list[int]
    leaves_out: bool
    axes: dict[DocumentId, int] = field(default_factory=dict)

    def fits(self, allowed: Mapping[DocumentId, Allowed]) -> bool:
        """Whether all documents can have one of their allowed places."""
        options = []
        for id, axis in self.axes.items():
            others = tuple(other for other in range(allowed[id].ndim) if other != axis)
            options.append(np.flatnonzero(allowed[id].any(axis=others)).tolist())
        return _fit(options, self.room)


class _Expected:
    """The possible exact scores of all documents that may be found, given the ties."""

    def __init__(self, fusion: Fusion, windows: Sequence[ExactWindow]) -> None:
        self._ranked = isinstance(fusion, Rrf)
        self._floor = 1e-9 if self._ranked else 1.0
        # The certain part of each document's score, and per tie the parts that its places give.
        self._certain: dict[DocumentId, float] = {}
        self._open: dict[DocumentId, list[tuple[_Tie, Values]]] = {}
        self._ties: list[_Tie] = []
        # bool[kinds of places, …]: places compatible with a document's score, one axis per tie.
        self._allowed: dict[DocumentId, Allowed] = {}
        parts = contributions(fusion, [window.cut() for window in windows])
        for window, values in zip(windows, parts, strict=True):
            self._add(window, values)
        self.documents = self._certain.keys() | self._open.keys()

    def is_open(self, id: DocumentId) -> bool:
        """Whether a tie leaves the score open."""
        return id in self._open

    def unit(self, score: float) -> float:
        """The factor for tolerances of this score."""
        return max(self._floor, abs(score))

    def text(self, id: DocumentId) -> str:
        """All possible scores of the document, as text."""
        return " or ".join(map(str, np.unique(self._sums(id)).tolist()))

    def matching(self, id: DocumentId, score: float, tolerance: float) -> list[float]:
        """The possible exact scores of a document that match the score found."""
        if not self.is_open(id):
            exact = self._certain[id]
            return [exact] if abs(score - exact) <= tolerance * self.unit(exact) else []
        sums = self._sums(id)
        right = np.abs(sums - score) <= tolerance * np.maximum(self._floor, np.abs(sums))
        self._allowed[id] = self._with_nowhere(id, right, False)
        return sorted(sums[right].tolist())

    def may_be_missing(self, id: DocumentId, least: float) -> bool:
        """Whether a missing document may score at most this much, or be outside all windows."""
        if not self.is_open(id):
            return self._certain[id] <= least
        below = self._with_nowhere(id, self._sums(id) <= least, True)
        self._allowed[id] = below
        return bool(below.any())

    def check_places(self) -> None:
        """Check that a single order of all tied documents gives all their scores."""
        for ties in _connected(self._ties):
            allowed = {id: self._allowed[id] for tie in ties for id in tie.axes}
            names = ", ".join(tie.name for tie in ties)
            assert _is_one_order(ties, allowed), f"no one order gives these scores: {names}"

    def _sums(self, id: DocumentId) -> Values:
        """float64[kinds of places, …]: all possible scores of the document, one axis per tie."""
        sums: Values = np.array(self._certain.get(id, 0.0))
        for _, values in self._open.get(id, ()):
            sums = np.add.outer(sums, values)
        return sums

    def _with_nowhere(self, id: DocumentId, allowed: Allowed, value: bool) -> Allowed:
        """Set, in `allowed`, the case that ties keep the document out of every window."""
        ties = [tie for tie, _ in self._open[id]]
        if id not in self._certain and all(tie.leaves_out for tie in ties):
            allowed[(-1,) * len(ties)] = value
        return allowed

    def _add(self, window: ExactWindow, values: Values) -> None:
        ties: dict[int, _Tie] = {}
        ranks = zip(window.first.tolist(), window.last.tolist(), strict=True)
        for at, (id, (first, last)) in enumerate(zip(window.ranking.ids, ranks, strict=True)):
            if last <= window.size and (first == last or not self._ranked):
                self._certain[id] = self._certain.get(id, 0.0) + float(values[at])
                continue
            if first not in ties:
                ties[first] = self._tie(window, first, last)
            inside = slice(first - 1, window.size) if self._ranked else [min(at, window.size - 1)]
            share = values[inside][: last - first + 1]
            beyond = [0.0] if ties[first].leaves_out else []
            shares = self._open.setdefault(id, [])
            ties[first].axes[id] = len(shares)
            shares.append((ties[first], np.concatenate([share, beyond])))
        self._ties += ties.values()

    def _tie(self, window: ExactWindow, first: int, last: int) -> _Tie:
        inside = min(last, window.size) - first + 1
        beyond = [last - window.size] if last > window.size else []
        # Each rank takes one document; with scores, all places inside the window are equal.
        return _Tie(
            name=f"ranks {first} to {last} of the leg {window.ranking.name}",
            room=([1] * inside if self._ranked else [inside]) + beyond,
            leaves_out=bool(beyond),
        )


def _connected(ties: Sequence[_Tie]) -> list[list[_Tie]]:
    """The ties, grouped if they have documents in common."""
    groups: list[list[_Tie]] = []
    for tie in ties:
        joined = [group for group in groups if any(tie.axes.keys() & other.axes for other in group)]
        groups = [group for group in groups if group not in joined]
        groups.append([tie, *(other for group in joined for other in group)])
    return groups


def _is_one_order(ties: Sequence[_Tie], allowed: Mapping[DocumentId, Allowed]) -> bool:
    """Whether every document can have its own allowed place in each tie."""
    if not all(tie.fits(allowed) for tie in ties):
        return False
    for id, places in allowed.items():
        if places.ndim > 1 and places.sum() > 1:
            # Places in several ties depend on each other: try one choice after the other.
            choices = (_only(places, *chosen) for chosen in np.argwhere(places).tolist())
            return any(_is_one_order(ties, {**allowed, id: choice}) for choice in choices)
    return True


def _fit(options: Sequence[Sequence[int]], room: Sequence[int]) -> bool:
    """Whether each can get one of its options within the room of each option (Kuhn's matching)."""
    placed: list[list[int]] = [[] for _ in room]

    def place(at: int, tried: set[int]) -> bool:
        for option in options[at]:
            if option in tried:
                continue
            tried.add(option)
            if len(placed[option]) < room[option]:
                placed[option].append(at)
                return True
            for other in placed[option]:
                if place(other, tried):
                    placed[option][placed[option].index(other)] = at
                    return True
        return False

    # Those with the fewest options first: then hardly any has to move.
    return all(
        place(at, set()) for at in sorted(range(len(options)), key=lambda at: len(options[at]))
    )


def _only(places: Allowed, *chosen: int) -> Allowed:
    only = np.zeros_like(places)
    only[chosen] = True
    return only
