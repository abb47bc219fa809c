"""Queries for documents with or without our vector. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from splade_lucene.documents import EMPTY
from splade_lucene.schema import Schema

EVERYTHING: Mapping[str, Any] = {"match_all": {}}


def has_vector(schema: Schema) -> Mapping[str, Any]:
    """Documents with our marker and its vector; without a marker field, those with the field.

    `rank_features` has no `exists` query, so without a marker field this is all documents.
    """
    if schema.marker:
        return with_vector(schema, marked(schema))
    return holding(schema)


def holding(schema: Schema) -> Mapping[str, Any]:
    """Documents with the field, whoever wrote it; all documents if the field has no `exists`."""
    if schema.kind == "rank_features":
        return EVERYTHING
    return {"exists": {"field": schema.field}}


def marked(schema: Schema) -> Mapping[str, Any]:
    """Documents with any marker."""
    return {"exists": {"field": schema.marker_field}}


def with_vector(schema: Schema, marked: Mapping[str, Any]) -> Mapping[str, Any]:
    """Of these marked documents, those with terms or with the `EMPTY` sign.

    From 9.2 on `_source` does not show vectors: an application that writes back a `_source` that it
    has read loses the vector and keeps the marker. `rank_features` has no `exists` query, so it is
    not checked.
    """
    if schema.kind != "sparse_vector":
        return marked
    terms = {"exists": {"field": schema.field}}
    none = {"term": {schema.marker_field: EMPTY}}
    there = {"bool": {"should": [terms, none], "minimum_should_match": 1}}
    return {"bool": {"must": [marked, there]}}


def lacks(schema: Schema, settings: str) -> dict[str, Any]:
    """Documents not marked with these settings, or marked but without their vector.

    An unmapped field matches nothing, so this is all documents then.
    """
    of_settings = {"term": {schema.marker_field: settings}}
    return {"bool": {"must_not": [with_vector(schema, of_settings)]}}


def at_random(query: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """Documents with random scores, so that the top hits are a random sample."""
    scores: dict[str, Any] = {"random_score": {}}
    return {"function_score": {"query": query, **scores} if query else scores}
