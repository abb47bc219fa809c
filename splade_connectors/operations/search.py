"""The `search` and `plan` verbs of a sparse query."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from splade_connectors.backends.protocol import Capabilities, Plan
from splade_connectors.documents import Hit
from splade_connectors.fusion.legs import Leg
from splade_connectors.fusion.spec import Fusion
from splade_connectors.options import PruneOptions, SearchOptions
from splade_connectors.vectors import SparseVector

Query = str | SparseVector


class Hits(tuple[Hit, ...]):
    """The hits of a search, best first, with the plan that found them as `plan`."""

    plan: Plan

    @classmethod
    def of(cls, hits: Sequence[Hit], plan: Plan) -> Hits:
        """Hits with their plan."""
        made = cls(hits)
        made.plan = plan
        return made


def search_options(
    limit: int, offset: int, filter: Any, with_payload: bool, max_query_terms: int | None
) -> SearchOptions:
    """The options of a search."""
    return SearchOptions(
        limit=limit,
        offset=offset,
        filter=filter,
        with_payload=with_payload,
        max_query_terms=max_query_terms,
    )


def is_hybrid(dense: Any, legs: Sequence[Leg] | None, fusion: Fusion | None) -> bool:
    """Whether the arguments ask for more than the sparse leg."""
    return dense is not None or legs is not None or fusion is not None


def cap_terms(vector: SparseVector, limit: int | None) -> tuple[SparseVector, int]:
    """The heaviest `limit` terms and the number of the others."""
    if limit is None or len(vector) <= limit:
        return vector, 0
    return vector.prune(PruneOptions(top_k=limit)), len(vector) - limit


def _fields(found: Capabilities) -> str:
    names = found.details.get("sparse_fields") or []
    return f"it has: {', '.join(names)}" if names else "it has none at all"


def _no_terms(warnings: tuple[str, ...]) -> Plan:
    reason = "the query has no terms: nothing is sent, nothing is found"
    return Plan(
        path="none", reason=reason, method="", url_path="", body={}, warnings=(*warnings, reason)
    )
