"""Queries for documents that have our vector, or lack it. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from splade_lucene.documents import EMPTY
from splade_lucene.schema import Schema

EVERYTHING: Mapping[str, Any] = {"match_all": {}}


def has_vector(schema: Schema) -> Mapping[str, Any]:
    """Documents with our marker and its vector; if there is none, those with the field.

    `rank_features` has no `exists` query: without a marker all documents are meant.
    """
    if schema.marker:
        return with_vector(schema, marked(schema))
    return holding(schema)


def holding(schema: Schema) -> Mapping[str, Any]:
    """Documents with the field, whoever wrote it; all of them if that cannot be asked for."""
    if schema.kind == "rank_features":
        return EVERYTHING
    return {"exists": {"field": schema.field}}


def marked(schema: Schema) -> Mapping[str, Any]:
    """Documents with any marker."""
    return {"exists": {"field": schema.marker_field}}


def with_vector(schema: Schema, marked: Mapping[str, Any]) -> Mapping[str, Any]:
    """Of the documents that are marked so, those that have terms, or the sign of having none.

    Applications that write back the `_source` that they have read lose the vector and keep the
    marker: from 9.2 on it is not shown to them. `rank_features` has no `exists` query, so
    nothing is asked of it.
    """
    if schema.kind != "sparse_vector":
        return marked
    terms = {"exists": {"field": schema.field}}
    none = {"term": {schema.marker_field: EMPTY}}
    there = {"bool": {"should": [terms, none], "minimum_should_match": 1}}
    return {"bool": {"must": [marked, there]}}


def lacks(schema: Schema, settings: str) -> dict[str, Any]:
    """Documents that are not marked with these settings, or lack their vector all the same.

    An unmapped field matches nothing, so all documents lack it then.
    """
    of_settings = {"term": {schema.marker_field: settings}}
    return {"bool": {"must_not": [with_vector(schema, of_settings)]}}


def at_random(query: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """Documents with random scores, so that the best are a sample."""
    scores: dict[str, Any] = {"random_score": {}}
    return {"function_score": {"query": query, **scores} if query else scores}
