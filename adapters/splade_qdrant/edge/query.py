"""Convert Qdrant's JSON queries to the embedded engine's request objects."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import Any

from splade_connectors.extras import require
from splade_qdrant.edge.filter import edge_filter

Json = Mapping[str, Any]


def edge_query(body: Json) -> Any:
    """The engine's `QueryRequest` of a query body."""
    return _engine().QueryRequest(
        query=_query(body),
        prefetches=[_prefetch(given) for given in body.get("prefetch", [])] or None,
        filter=_filter(body),
        params=_params(body),
        limit=body["limit"],
        offset=body.get("offset", 0),
        with_payload=selected(body["with_payload"]),
        with_vector=body.get("with_vector", False),
    )


@cache
def _engine() -> Any:
    return require("qdrant_edge", "qdrant", "an edge: target")


def selected(payload: list[str] | bool) -> Any:
    """The engine's payload selector: everything, nothing, or these keys."""
    return _engine().PayloadSelector.Include(payload) if isinstance(payload, list) else payload


def _prefetch(body: Json) -> Any:
    return _engine().Prefetch(
        limit=body["limit"],
        query=_query(body),
        prefetches=[_prefetch(given) for given in body.get("prefetch", [])] or None,
        filter=_filter(body),
        params=_params(body),
    )


def _query(body: Json) -> Any:
    engine = _engine()
    match body["query"]:
        case {"indices": indices, "values": values}:
            return engine.Query.Nearest(engine.SparseVector(indices, values), using=body["using"])
        case {"text": text, "model": _}:
            return engine.Query.Nearest(engine.Bm25().embed_query(text), using=body["using"])
        case {"text": text}:
            return engine.TextQuery(body["using"], text)
        case list(vector):
            return engine.Query.Nearest(vector, using=body["using"])
        case {"sample": "random"}:
            return engine.Sample.Random
        case {"rrf": {"k": k}}:
            return engine.Fusion.Rrf(k=k)
        case {"fusion": "dbsf"}:
            return engine.Fusion.Dbsf()
        case {"formula": formula, "defaults": defaults}:
            return engine.Formula(_expression(formula), dict(defaults))
    raise AssertionError(f"unknown query: {body['query']!r}")


def _expression(given: Any) -> Any:
    expression = _engine().Expression
    match given:
        case {"sum": parts}:
            return expression.Sum([_expression(part) for part in parts])
        case {"mult": parts}:
            return expression.Mult([_expression(part) for part in parts])
        case str():
            return expression.Variable(given)
    return expression.Constant(float(given))


def _filter(body: Json) -> Any:
    return edge_filter(body["filter"]) if "filter" in body else None


def _params(body: Json) -> Any:
    params = body.get("params")
    return _engine().SearchParams(**params) if params else None
