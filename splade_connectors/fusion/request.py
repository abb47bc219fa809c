"""A fully resolved hybrid search, ready for a backend to compile."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from splade_connectors.fusion.spec import Fusion
from splade_connectors.vectors import SparseVector

LegKind = Literal["sparse", "dense", "text"]

# Who fuses: the server in one request if it can do so exactly, always the server, or the client.
FusionPath = Literal["auto", "server", "client"]

# The advice if path="server" was requested but the server cannot fuse.
ELSE_THE_CLIENT = (
    "Without path='server' (--path server) the client fuses, with the same ranking, if every leg "
    "has a window"
)


# Made for one search and not kept, so not frozen: freezing would take three times as long.
@dataclass(kw_only=True, slots=True)
class ResolvedLeg:
    """One leg, with its query encoded and its filters collected.

    Attributes:
        name: as given by the caller.
        kind: what it searches.
        sparse: the query's sparse vector, for a sparse leg.
        dense: the query's dense vector, for a dense leg.
        text: the words, for a text leg.
        field: the dense field; None for the target's.
        place: for a sparse leg, the result of the backend's `sparse_place`; None for the target's.
        fields: the text fields.
        candidates: the window; None for every matching document.
        filters: the search's and the leg's own.
        exact: whether to search a dense field without its graph.
        breadth: number of neighbours that the graph search keeps.
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
    """A hybrid search, resolved.

    Attributes:
        fusion: of the legs.
        legs: in the order of the fusion's weights, without those that have no query.
        limit: maximum number of hits.
        offset: number of hits to skip.
        with_payload: whether to return stored fields.
    """

    fusion: Fusion
    legs: tuple[ResolvedLeg, ...]
    limit: int = 10
    offset: int = 0
    with_payload: bool = True
