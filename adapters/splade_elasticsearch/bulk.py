"""Bulk requests: their lines, and the outcome of each document."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from splade_connectors.backend import EncodedDocument, Outcome, Rejected, Written

# Too many requests, and (after a restart) shards that have not come up yet.
_RETRYABLE = (429, 503)


def index_lines(
    documents: Sequence[EncodedDocument], sources: Sequence[Mapping[str, Any]]
) -> list[Mapping[str, Any]]:
    """Action and source of each document; explicit ids, so that sending again changes nothing."""
    lines: list[Mapping[str, Any]] = []
    for document, source in zip(documents, sources, strict=True):
        lines += [{"index": {"_id": str(document.id)}}, source]
    return lines


def outcomes(documents: Sequence[EncodedDocument], answer: Mapping[str, Any]) -> list[Outcome]:
    """One outcome per document: a bulk request answers 200 even when documents failed."""
    found: list[Outcome] = []
    for document, item in zip(documents, answer["items"], strict=True):
        result = item["index"]
        error = result.get("error")
        if error is None:
            found.append(Written(id=document.id))
            continue
        retryable = result["status"] in _RETRYABLE
        found.append(Rejected(id=document.id, reason=reason(error), retryable=retryable))
    return found


def reason(error: Any) -> str:
    """An error object of Elasticsearch in one line, its cause included."""
    if not isinstance(error, Mapping):
        return str(error)
    text = f"{error.get('type')}: {error.get('reason')}"
    cause = reason(error["caused_by"]) if error.get("caused_by") else ""
    # 9.x repeats an error as its own cause; the innermost text stands for both.
    if cause.startswith(text):
        return cause
    return f"{text} ({cause})" if cause else text
