"""A hybrid search with everything resolved: what a backend compiles."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from splade_connectors.fusion.spec import Fusion
from splade_connectors.vectors import SparseVector

LegKind = Literal["sparse", "dense", "text"]

# Who fuses: whoever does it best, or the server in one request, or the client.
FusionPath = Literal["auto", "server", "client"]

# What may be done where the server was asked for and cannot.
ELSE_THE_CLIENT = (
    "Without path='server' (--path server) the client fuses, to the same ranking, where every leg "
    "has a window"
)


# Made for one search and kept by nobody, so not frozen: that would take three times as long.
@dataclass(kw_only=True, slots=True)
class ResolvedLeg:
    """One leg, with its query encoded and its filters collected.

    Attributes:
        name: as the caller named it.
        kind: what it searches.
        sparse: the query's sparse vector, for a sparse leg.
        dense: the query's dense vector, for a dense leg.
        text: the words, for a text leg.
        field: the dense field; None for the target's.
        place: of a sparse leg, what the backend's `sparse_place` said; None for the target's.
        fields: the text fields.
        candidates: window; None for every matching document.
        filters: the search's and the leg's own.
        exact: search a dense field without its graph.
        breadth: neighbours that the graph search keeps.
    """

    name: str
    kind: LegKind
    sparse: SparseVector | None = None
    dense: Sequence[float] | None = None
    text: str = ""
    field: str | None = None
    place: Any = None
    fields: tuple[str, ...] = ()
    candidates: int | None = None
    filters: tuple[Any, ...] = ()
    exact: bool = False
    breadth: int | None = None


@dataclass(kw_only=True, slots=True)
class HybridQuery:
    """What a hybrid search asks for.

    Attributes:
        fusion: how the legs become one ranking.
        legs: in the order of the fusion's weights; those without a query are left out.
        limit: most hits.
        offset: hits to skip.
        with_payload: return stored fields.
    """

    fusion: Fusion
    legs: tuple[ResolvedLeg, ...]
    limit: int = 10
    offset: int = 0
    with_payload: bool = True
