"""Hybrid search: resolve the legs, plan, and fuse here if the server cannot."""

from __future__ import annotations

import logging
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from splade_connectors.backends.grouping import Best, best_of_each, value_in
from splade_connectors.backends.protocol import Description, HybridBackend, Plan
from splade_connectors.documents import DocumentId, Explanation, Hit, HybridExplanation, Total
from splade_connectors.errors import (
    AccessDenied,
    ConfigurationError,
    NotSupported,
    RequestRejected,
)
from splade_connectors.fusion.legs import (
    DenseLeg,
    Leg,
    SparseLeg,
    check_page,
)
from splade_connectors.fusion.reference import (
    FusedHit,
    LegRanking,
    contributions,
    fuse,
    leg_ranking,
)
from splade_connectors.fusion.request import ELSE_THE_CLIENT, FusionPath, HybridQuery, ResolvedLeg
from splade_connectors.fusion.spec import Fusion, Rrf, parse_fusion, weights_of
from splade_connectors.fusion.tuning import Settings, tuned
from splade_connectors.operations.edit import get
from splade_connectors.operations.explain import explain, leg_contribution
from splade_connectors.operations.found import Hits, completed
from splade_connectors.operations.legs import (
    LegResolver,
    hybrid_backend,
    query_of,
    session_of,
)
from splade_connectors.operations.search import Query, asked_of, plan, search, unknown_fields
from splade_connectors.operations.session import Session, check_exists
from splade_connectors.operations.tuning import tuning_in
from splade_connectors.options import SearchOptions
from splade_connectors.runtime.effects import Steps
from splade_connectors.vectors import SparseVector

log = logging.getLogger(__name__)

_OTHER_TIES = (
    "the server orders equal scores within a leg differently, so these hits were fused from the "
    "legs' windows, with ties broken by id: ranks and scores agree"
)


def resolve_legs(legs: Sequence[Leg] | None, dense: Any) -> tuple[Leg, ...]:
    """Return the legs of a search: those given, or sparse, plus dense if there is a vector.

    Raises:
        ConfigurationError: if both are given, a leg is invalid or there is none, or names clash.
    """
    if legs is None:
        return (SparseLeg(),) if dense is None else (SparseLeg(), DenseLeg(vector=dense))
    if dense is not None:
        raise ConfigurationError("pass either dense=… or legs=[…], not both")
    if not legs:
        raise ConfigurationError("legs must not be empty; omit it for a sparse-only search")
    for leg in legs:
        if not isinstance(leg, Leg):
            raise ConfigurationError(
                f"a leg must be a SparseLeg, DenseLeg or TextLeg, not {type(leg).__name__}"
            )
    names = [leg.name for leg in legs]
    if len(set(names)) < len(names):
        repeated = sorted({name for name in names if names.count(name) > 1})
        raise ConfigurationError(f"two legs are named {repeated[0]!r}; set name= on one of them")
    return tuple(legs)


def as_fusion(given: Fusion | str) -> Fusion:
    """Return a fusion, parsing its short form.

    Raises:
        ConfigurationError: if it is neither a fusion nor its short form.
    """
    if isinstance(given, str):
        return parse_fusion(given)
    if not isinstance(given, Fusion):
        kind = type(given).__name__
        raise ConfigurationError(
            f"fusion must be Rrf(…), WeightedSum(…) or DistributionBased(), not {kind}"
        )
    return given


@dataclass(kw_only=True, slots=True)
class _Resolved:
    """A query to compile for a description, with remarks for the plan."""

    seen: Description
    query: HybridQuery
    warnings: tuple[str, ...]
    note: str
    max_query_terms: int | None


class Hybrid:
    """A hybrid search.

    Args:
        session: session of the store.
        legs: legs, in the order of the fusion's weights.
        fusion: None means the index's tuning if it fits the legs, otherwise `Rrf()`.
        options: page and filter of the search.
        path: where to fuse.
        with_legs: return every leg's rank and score even if the server fuses.
    """

    def __init__(
        self,
        session: Session,
        legs: tuple[Leg, ...],
        fusion: Fusion | None,
        options: SearchOptions,
        path: FusionPath = "auto",
        with_legs: bool = False,
    ) -> None:
        if path not in ("auto", "server", "client"):
            raise ConfigurationError(f"path must be 'auto', 'server' or 'client', not {path!r}")
        # No server can answer these in one request.
        whole = "group_by" if options.group_by else "with_total" if options.with_total else ""
        if whole and path == "server":
            raise NotSupported(
                f"{whole} with several legs needs the whole fused ranking, which no server returns "
                f"in one request. {ELSE_THE_CLIENT}"
            )
        self._session = session
        self._legs = legs
        self._given: Settings | None = None
        if fusion is not None:
            given = as_fusion(fusion)
            weights_of(given, len(legs))
            check_page(legs, options.limit, options.offset)
            self._given = Settings(fusion=given, legs=legs, max_query_terms=options.max_query_terms)
        self._options = options
        self._path: FusionPath = "client" if whole else path
        self._with_legs = with_legs

    def plan(self, query: Query) -> Steps[Plan]:
        """Return the request that the search would send."""
        return (yield from self._planned((yield from self._resolve(query))))

    def search(self, query: Query) -> Steps[Hits]:
        """Return the best documents after fusion."""
        resolved = yield from self._resolve(query)
        plan = yield from self._planned(resolved)
        if not resolved.query.legs:
            return Hits.of((), plan, total=Total(value=0) if self._options.with_total else None)
        try:
            return (yield from self._executed(resolved, plan))
        except (AccessDenied, RequestRejected) as error:
            # An expired licence or an older node: use the next path from now on, retrying once.
            if self._path == "server" or not self._backend.refused(plan):
                raise
            log.info("the server refused %s (%s); using another path", plan.path, error)
        return (yield from self._executed(resolved, (yield from self._planned(resolved))))

    def _executed(self, resolved: _Resolved, plan: Plan) -> Steps[Hits]:
        seen, query = resolved.seen, resolved.query
        # Matched terms refer to the first sparse leg.
        first = next((leg for leg in query.legs if leg.kind == "sparse"), None)
        sparse, name = (first.sparse, first.name) if first is not None else (None, None)
        if plan.fused_by == "client":
            rankings = yield from self._backend.search_legs(seen, query)
            hits, total = yield from self._fused_here(resolved, rankings)
            return Hits.of(hits, plan, query=sparse, total=total, leg=name)
        hits = yield from self._backend.search_fused(seen, plan, query)
        if self._with_legs:
            rankings = yield from self._backend.search_legs(seen, query)
            fused = {hit.id: hit for hit in fuse(query.fusion, rankings)}
            if self._path != "server" and not _agree(hits, fused):
                hits, _ = yield from self._fused_here(resolved, rankings)
                plan = replace(plan, warnings=(*plan.warnings, _OTHER_TIES))
            hits = [
                replace(hit, legs=fused[hit.id].legs if hit.id in fused else {}) for hit in hits
            ]
        return Hits.of(hits, plan, query=sparse, leg=name)

    def windows(self, query: Query) -> Steps[list[LegRanking]]:
        """Return each leg's candidates, in order; none for a leg without a query."""
        # Ignore a saved tuning: measuring and tuning must not depend on it.
        settings = Settings(
            fusion=Rrf(), legs=self._legs, max_query_terms=self._options.max_query_terms
        )
        resolved = yield from self._resolve(query, settings)
        found: dict[str, LegRanking] = {}
        if resolved.query.legs:
            # Raises for what cannot be searched, as a search would.
            yield from self._backend.plan(resolved.seen, resolved.query, "client")
            rankings = yield from self._backend.search_legs(resolved.seen, resolved.query)
            found = {ranking.name: ranking for ranking in rankings}
        return [found.get(leg.name) or leg_ranking(leg.name, (), ()) for leg in self._legs]

    def explain(self, query: Query, id: DocumentId) -> Steps[HybridExplanation]:
        """Return each leg's contribution to a document's score, and the sparse legs' terms."""
        resolved = yield from self._resolve(query)
        compiled = resolved.query
        rankings: list[LegRanking] = []
        if compiled.legs:
            # Raises for what cannot be searched, as a search would.
            yield from self._backend.plan(resolved.seen, compiled, "client")
            rankings = yield from self._backend.search_legs(resolved.seen, compiled)
        parts = contributions(compiled.fusion, rankings) if rankings else []
        legs = tuple(
            leg_contribution(ranking, values.tolist(), id)
            for ranking, values in zip(rankings, parts, strict=True)
        )
        terms: dict[str, Explanation] = {}
        for leg in self._legs:
            if isinstance(leg, SparseLeg):
                session, own = session_of(self._session, leg), query_of(leg, query)
                explaining = explain(session, own, id, resolved.max_query_terms)
                terms[leg.name] = yield from explaining
        if not terms:
            yield from get(self._session, [id], with_vectors=False)  # raises if it does not exist
        return HybridExplanation(
            id=id,
            query="" if isinstance(query, SparseVector) else query,
            score=sum(leg.contribution for leg in legs),
            legs=legs,
            sparse=next(iter(terms.values()), None),
            terms=terms,
        )

    def _tuned(self, seen: Description) -> Settings:
        """The caller's settings without a fusion, completed by the index's tuning."""
        options = self._options
        tuning = tuning_in(seen, self._session.backend.location) if len(self._legs) > 1 else None
        settings = tuned(tuning, self._legs, options.max_query_terms)
        weights_of(settings.fusion, len(settings.legs))
        check_page(settings.legs, options.limit, options.offset, settings.note)
        return settings

    def _resolve(self, query: Query, settings: Settings | None = None) -> Steps[_Resolved]:
        """Resolve every leg; those without a query are omitted, together with their weights."""
        filters = [self._options.filter, *(leg.filter for leg in self._legs)]
        seen = yield from self._session.look_for([*asked_of(self._options), *filters])
        check_exists(self._session, seen)
        settings = settings or self._given or self._tuned(seen)
        resolved: list[ResolvedLeg | None] = []
        warnings = (*settings.warnings, *unknown_fields(self._session, seen, filters))
        options = self._options
        if options.max_query_terms != settings.max_query_terms:
            options = replace(options, max_query_terms=settings.max_query_terms)
        resolver = LegResolver(self._session, seen, query, options)
        for leg in settings.legs:
            found, more = yield from resolver.resolved(leg)
            resolved.append(found)
            warnings += more
        kept = tuple(leg for leg in resolved if leg is not None)
        fusion = settings.fusion
        if len(kept) < len(resolved):
            places = [at for at, leg in enumerate(resolved) if leg is not None]
            fusion = without_legs(fusion, places, len(resolved))
        compiled = HybridQuery(
            fusion=fusion,
            legs=kept,
            limit=options.limit,
            offset=options.offset,
            with_payload=options.with_payload,
        )
        return _Resolved(
            seen=seen,
            query=compiled,
            warnings=warnings,
            note=settings.note,
            max_query_terms=options.max_query_terms,
        )

    def _planned(self, resolved: _Resolved) -> Steps[Plan]:
        warnings = resolved.warnings
        if not resolved.query.legs:
            return Plan(
                path="none",
                reason="no leg has a query, so nothing is sent",
                method="",
                url_path="",
                body={},
                warnings=warnings,
            )
        plan = yield from self._backend.plan(resolved.seen, resolved.query, self._path)
        reason = f"{plan.reason}; {resolved.note}" if resolved.note else plan.reason
        if self._options.group_by:
            reason += f"; then the best of each {self._options.group_by!r} in the whole ranking"
        graphs = tuple(
            leg.name for leg in resolved.query.legs if leg.kind == "dense" and not leg.exact
        )
        warnings += plan.warnings
        return replace(plan, reason=reason, warnings=warnings, approximate=graphs)

    def _fused_here(
        self, resolved: _Resolved, rankings: Sequence[LegRanking]
    ) -> Steps[tuple[list[Hit], Total | None]]:
        query = resolved.query
        if self._options.group_by:
            fused = fuse(query.fusion, rankings)
            best = yield from self._grouped(resolved.seen, fused, self._options.group_by)
            page = best[query.offset : query.offset + query.limit]
        else:
            fused = fuse(query.fusion, rankings, offset=query.offset, limit=query.limit)
            page = [Best(hit.id, hit.score, None) for hit in fused]
        payloads: dict[DocumentId, Any] = {}
        if query.with_payload and page:
            payloads = yield from self._payloads(resolved.seen, [hit.id for hit in page])
        places = {hit.id: hit.legs for hit in fused}
        hits = [
            Hit(
                id=hit.id,
                score=hit.score,
                payload=payloads.get(hit.id, {}),
                legs=places[hit.id],
                group=hit.value,
                more=hit.more,
            )
            for hit in page
        ]
        return hits, _total(query, rankings) if self._options.with_total else None

    def _grouped(
        self, seen: Description, fused: Sequence[FusedHit], path: str
    ) -> Steps[list[Best]]:
        """The best document of each value, among all documents in the legs' windows."""
        payloads = yield from self._payloads(seen, [hit.id for hit in fused], [path])
        values = {id: value_in(payload, path, id) for id, payload in payloads.items()}
        return best_of_each([(hit.id, hit.score) for hit in fused], values)

    def _payloads(
        self, seen: Description, ids: Sequence[DocumentId], fields: Sequence[str] | None = None
    ) -> Steps[dict[DocumentId, Mapping[str, Any]]]:
        """Payloads by the given ids, without documents deleted since the search."""
        backend = self._session.backend
        given = {str(id): id for id in ids}
        found = yield from backend.fetch(seen, ids, with_vectors=False, fields=fields)
        return {given[str(document.id)]: document.payload for document in found}

    @property
    def _backend(self) -> HybridBackend:
        return hybrid_backend(self._session)


def _agree(hits: Sequence[Hit], fused: Mapping[DocumentId, FusedHit]) -> bool:
    """Whether the server's scores are those of the legs' windows that were read after it fused."""
    return all(
        hit.id in fused and math.isclose(hit.score, fused[hit.id].score, rel_tol=1e-3, abs_tol=1e-6)
        for hit in hits
    )


def _total(query: HybridQuery, rankings: Sequence[LegRanking]) -> Total:
    """The number of documents in all windows, exact unless a window is full."""
    found = {id for ranking in rankings for id in ranking.ids}
    full = any(
        leg.candidates is not None and len(ranking.ids) >= leg.candidates
        for leg, ranking in zip(query.legs, rankings, strict=True)
    )
    return Total(value=len(found), exact=not full)


def without_legs(fusion: Fusion, kept: Sequence[int], legs: int) -> Fusion:
    """Return the fusion for the remaining legs, with their weights and scales."""
    changes: dict[str, Any] = {}
    if len(kept) == legs or not kept:
        return fusion
    for name in ("weights", "scale"):
        values = getattr(fusion, name, None)
        if values is not None:
            changes[name] = tuple(values[at] for at in kept)
    if "weights" in changes and not any(changes["weights"]):
        raise ConfigurationError(
            "the only legs with a query have weight 0, so nothing can be ranked; change the query "
            "or the weights"
        )
    return replace(fusion, **changes)


def hybrid_search(
    session: Session,
    query: Query,
    dense: Any,
    legs: Sequence[Leg] | None,
    fusion: Fusion | None,
    options: SearchOptions,
    path: FusionPath,
    with_legs: bool,
) -> Hybrid:
    """Return the hybrid search that the arguments ask for."""
    if not isinstance(query, str | SparseVector):
        kind = type(query).__name__
        raise ConfigurationError(f"the query must be a string or a SparseVector, not {kind}")
    return Hybrid(session, resolve_legs(legs, dense), fusion, options, path, with_legs)


def searching(
    session: Session,
    query: Query,
    dense: Any,
    legs: Sequence[Leg] | None,
    fusion: Fusion | None,
    options: SearchOptions,
    path: FusionPath,
    with_legs: bool,
) -> Steps[Hits]:
    """Run the search that the arguments ask for, sparse or hybrid."""

    def searched() -> Steps[Hits]:
        if not _is_hybrid(dense, legs, fusion):
            return (yield from search(session, query, options))
        hybrid = hybrid_search(session, query, dense, legs, fusion, options, path, with_legs)
        return (yield from hybrid.search(query))

    hits = yield from searched()
    # Another process may have replaced the model or detached since the description was cached.
    if not hits and hits.plan.body and (yield from session.is_outdated()):
        hits = yield from searched()
    for leg in legs or ():
        if isinstance(leg, SparseLeg) and leg.name == hits.leg:
            session, query = session_of(session, leg), query_of(leg, query)
            break
    return (yield from completed(session, query, hits, options))


def planning(
    session: Session,
    query: Query,
    dense: Any,
    legs: Sequence[Leg] | None,
    fusion: Fusion | None,
    options: SearchOptions,
    path: FusionPath,
) -> Steps[Plan]:
    """Return the plan of that search."""
    if not _is_hybrid(dense, legs, fusion):
        return plan(session, query, options)
    hybrid = hybrid_search(session, query, dense, legs, fusion, options, path, False)
    return hybrid.plan(query)


def _is_hybrid(dense: Any, legs: Sequence[Leg] | None, fusion: Fusion | None) -> bool:
    """Whether the arguments ask for more than the sparse leg."""
    return dense is not None or legs is not None or fusion is not None
