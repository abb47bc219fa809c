"""Compile the legs of a hybrid search to queries, and plans that both servers share. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from splade_connectors.backends.feature_names import Keys
from splade_connectors.backends.protocol import Plan
from splade_connectors.errors import NotSupported
from splade_connectors.fusion.request import ELSE_THE_CLIENT, FusionPath, HybridQuery, ResolvedLeg
from splade_lucene.compile.filters import Fields
from splade_lucene.compile.search import filter_json, rank_feature_clauses, sparse_vector_clause
from splade_lucene.dialect import Kind, Version

# Largest window of a search (`index.max_result_window`), and largest k of a `knn`.
MOST_CANDIDATES = 10_000


@dataclass(frozen=True, kw_only=True, slots=True)
class Searched:
    """The index that is searched.

    Attributes:
        version: of the server.
        index: name of the index.
        field: the sparse field.
        kind: its type.
        hidden_fields: omitted from payloads.
        fields: of the index, for conditions.
    """

    version: Version
    index: str
    field: str
    kind: Kind
    hidden_fields: Sequence[str]
    fields: Fields


@dataclass(frozen=True, kw_only=True, slots=True)
class SparsePlace:
    """A sparse field other than the one in the address.

    Attributes:
        field: name of the field.
        kind: its type.
        keys: codec of its feature names.
    """

    field: str
    kind: Kind
    keys: Keys


def sparse_or_text_query(leg: ResolvedLeg, searched: Searched, keys: Keys) -> dict[str, Any]:
    """The query of a sparse or text leg, with its filters."""
    condition: dict[str, Any]
    if leg.kind == "text":
        condition = {"must": [_match(leg)]}
    else:
        assert leg.sparse is not None
        place = leg.place or SparsePlace(field=searched.field, kind=searched.kind, keys=keys)
        names = place.keys.names(leg.sparse.indices.tolist())
        weights = dict(zip(names, leg.sparse.values.tolist(), strict=True))
        clauses = rank_feature_clauses(place.field, weights)
        if place.kind == "sparse_vector":
            clauses = [sparse_vector_clause(place.field, weights)]
        condition = {"should": clauses, "minimum_should_match": 1}
    return {"bool": condition | ({"filter": conditions(leg, searched)} if leg.filters else {})}


def exact_similarity(leg: ResolvedLeg, field: str, searched: Searched) -> dict[str, Any]:
    """The query that compares every vector by a script: (1 + cosine) / 2.

    Args:
        leg: a dense leg.
        field: the script's expression for the field.
        searched: the index.
    """
    present = {"exists": {"field": leg.field}}
    script = {
        "source": f"(1 + cosineSimilarity(params.vector, {field})) / 2",
        "params": {"vector": list(leg.dense or ()), "field": leg.field},
    }
    inner = {"bool": {"filter": [present, *conditions(leg, searched)]}}
    return {"script_score": {"query": inner, "script": script}}


def conditions(leg: ResolvedLeg, searched: Searched) -> list[Mapping[str, Any]]:
    """The leg's filters as JSON."""
    return [filter_json(given, searched.fields) for given in leg.filters]


def window_of(leg: ResolvedLeg) -> dict[str, Any]:
    """The part of a search body that is the same for every leg, for its candidate window."""
    size = MOST_CANDIDATES if leg.candidates is None else leg.candidates
    return {"size": size, "_source": False, "track_total_hits": False}


def page(query: HybridQuery, searched: Searched) -> dict[str, Any]:
    """The part of a search body that selects the page and the payload."""
    payload = {"excludes": list(searched.hidden_fields)} if query.with_payload else False
    page: dict[str, Any] = {"size": query.limit, "track_total_hits": False, "_source": payload}
    return page | ({"from": query.offset} if query.offset else {})


def msearch_lines(searches: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """The NDJSON lines of an `_msearch`."""
    return [line for search in searches for line in ({}, search)]


def server_plan(
    path: str, reason: str, body: Mapping[str, Any], searched: Searched, not_taken: tuple[str, ...]
) -> Plan:
    """A plan of one search that the server fuses."""
    return Plan(
        path=path,
        reason=reason,
        method="POST",
        url_path=f"/{quote(searched.index, safe='')}/_search",
        body=body,
        fused_by="server",
        not_taken=not_taken,
    )


def client_plan(
    query: HybridQuery,
    path: FusionPath,
    refusals: Mapping[str, str | None],
    searched: Searched,
    searches: Sequence[Mapping[str, Any]],
) -> Plan:
    """A plan of one `_msearch`, fused by the client.

    Args:
        query: the search.
        path: who should fuse.
        refusals: the server's paths -> why they are not taken; the last one needs no windows.
        searched: the index.
        searches: one search body per leg.

    Raises:
        NotSupported: if `path` is "server", or a leg has no window.
    """
    reasons = tuple(f"{name}: {refusal}" for name, refusal in refusals.items())
    if path == "client":
        reasons = ("a request fused by the server: fusion by the client was requested",)
    if path == "server":
        raise NotSupported(
            f"this server cannot fuse this in one request: {'; '.join(reasons)}. {ELSE_THE_CLIENT}"
        )
    if any(leg.candidates is None for leg in query.legs):
        name, refusal = list(refusals.items())[-1]
        why = refusal or "fusion by the client was requested"
        raise NotSupported(f"a leg without a window needs {name}, which cannot be taken: {why}")
    return Plan(
        path="_msearch, fused by the client",
        reason="the definition itself, applied to each leg's candidate window",
        method="POST",
        url_path=f"/{quote(searched.index, safe='')}/_msearch",
        body={"searches": list(searches)},
        fused_by="client",
        not_taken=reasons,
        lines=tuple(msearch_lines(searches)),
    )


def _match(leg: ResolvedLeg) -> dict[str, Any]:
    if len(leg.fields) == 1:
        return {"match": {leg.fields[0]: {"query": leg.text}}}
    return {"multi_match": {"query": leg.text, "fields": list(leg.fields)}}
