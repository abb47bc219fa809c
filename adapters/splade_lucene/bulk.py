"""Bulk requests: their lines, and the outcome of each document."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from splade_connectors.backends.attaching import AttachOutcome, Conflict, Found, Gone
from splade_connectors.documents import DocumentId, EncodedDocument, Outcome, Rejected, Written
from splade_connectors.errors import (
    AccessDenied,
    SpladeConnectorsError,
    StorageFull,
    WriteBlocked,
)

# Too many requests, shards not yet started (after a restart), nodes that have just left.
_RETRYABLE = (408, 429, 500, 502, 503, 504)
_CONFLICT = 409
# "blocked by: [SERVICE_UNAVAILABLE/1/state not recovered / initialized]"
_STARTING = re.compile("SERVICE_UNAVAILABLE")

# Errors whose message is about the server, never about a document.
_OF_THE_SERVER = (
    "circuit_breaking_exception",
    "cluster_block_exception",
    "index_closed_exception",
    "index_not_found_exception",
    "security_exception",
)
_NAME = r"\[[^\[\]]{1,200}\]"
# How messages about a document begin; values, or the whole document, may follow.
_TELLING = re.compile(
    r"(?:\[\d+:\d+\] )?("
    rf"failed to parse field {_NAME} of type {_NAME}|"
    rf"object mapping for {_NAME} tried to parse field {_NAME} as object, but found a concrete "
    r"value|"
    rf"mapping set to strict, dynamic introduction of {_NAME} within {_NAME} is not allowed|"
    rf"mapper {_NAME} cannot be changed from type {_NAME} to {_NAME}|"
    r"Limit of total fields \[\d+\] has been exceeded|"
    rf"The {_NAME} field {_NAME} in doc \[[^\[\]]*\] has a different number of dimensions \[\d+\] "
    r"than defined in the mapping \[\d+\]|"
    r"The \[cosine\] similarity does not support vectors with zero magnitude|"
    r"Document contains at least one immense term in field=\"[^\"]{1,200}\" \(whose UTF8 encoding "
    r"is longer than the max length \d+\)|"
    r"rejected execution of \w+ operation|"
    rf"{_NAME}{_NAME} primary shard is not active"
    r")"
)


def index_lines(
    documents: Sequence[EncodedDocument],
    sources: Sequence[Mapping[str, Any]],
    routings: Sequence[str | None],
) -> list[Mapping[str, Any]]:
    """Action and source of each document, with explicit ids, so that a retry is idempotent."""
    lines: list[Mapping[str, Any]] = []
    for document, source, routing in zip(documents, sources, routings, strict=True):
        own = {} if routing is None else {"routing": routing}
        lines += [{"index": {"_id": str(document.id), **own}}, source]
    return lines


def outcomes(
    documents: Sequence[EncodedDocument], answer: Mapping[str, Any], location: str
) -> list[Outcome]:
    """One outcome per document: a bulk request returns 200 even if documents failed.

    Raises:
        WriteBlocked: or a similar error, if the index itself accepts no writes.
    """
    items = [item["index"] for item in answer["items"]]
    found = zip(documents, items, strict=True)
    return [_outcome(document.id, item, location) for document, item in found]


def update_lines(
    found: Sequence[Found], changes: Sequence[Mapping[str, Any]]
) -> list[Mapping[str, Any]]:
    """Action and change of each document, conditional on the version that was read."""
    lines: list[Mapping[str, Any]] = []
    for item, change in zip(found, changes, strict=True):
        handle = item.handle
        action = {
            "_id": handle["id"],
            "if_seq_no": handle["seq_no"],
            "if_primary_term": handle["term"],
        }
        # A document with its own routing is only found with it.
        action |= {"routing": handle["routing"]} if handle.get("routing") else {}
        lines += [{"update": action}, change]
    return lines


def update_outcomes(
    found: Sequence[Found], answer: Mapping[str, Any], location: str
) -> list[AttachOutcome]:
    """As `outcomes`, with documents that others changed or deleted meanwhile told apart."""
    outcomes: list[AttachOutcome] = []
    for item, entry in zip(found, answer["items"], strict=True):
        result = entry["update"]
        kind = (result.get("error") or {}).get("type", "")
        if result["status"] == _CONFLICT and kind == "version_conflict_engine_exception":
            outcomes.append(Conflict(id=item.id))
        elif kind == "document_missing_exception":
            outcomes.append(Gone(id=item.id))
        else:
            outcomes.append(_outcome(item.id, result, location))
    return outcomes


def _outcome(id: DocumentId, result: Mapping[str, Any], location: str) -> Outcome:
    error = result.get("error")
    if error is None:
        return Written(id=id)
    stop = stops_all(error, location)
    if stop is not None:
        raise stop
    said, detail = without_values(error), reason(error)
    return Rejected(
        id=id,
        reason=said,
        retryable=result["status"] in _RETRYABLE,
        detail="" if detail == said else detail,
    )


def stops_all(error: Any, location: str) -> SpladeConnectorsError | None:
    """The error that affects every document of an index; None if it is one document's own."""
    kind = error.get("type") if isinstance(error, Mapping) else None
    text = reason(error)
    if kind == "cluster_block_exception":
        return _blocked(text, location)
    if kind == "index_closed_exception":
        return WriteBlocked(f"{location} is closed: open it (POST /INDEX/_open) and run again")
    if kind == "security_exception":
        return AccessDenied(f"{location} does not allow this (403): {text}")
    return None


def _blocked(text: str, location: str) -> SpladeConnectorsError | None:
    """The error for a block; None for blocks that the server removes itself while it starts."""
    if _STARTING.search(text):
        return None
    again = "Acknowledged documents are safe; then run the same command again"
    if "disk usage exceeded" in text:
        return StorageFull(
            f"the disk of {location} is full: {text.rstrip(';')}. Free some space (from 7.4 on the "
            f"server then removes the block itself). {again}"
        )
    return WriteBlocked(
        f"{location} accepts no writes: {text.rstrip(';')}. Remove the block (PUT /INDEX/_settings "
        f'{{"index.blocks.write": null, "index.blocks.read_only": null, '
        f'"index.blocks.read_only_allow_delete": null, "index.blocks.metadata": null}}). {again}'
    )


def reason(error: Any) -> str:
    """An error object of Elasticsearch in one line, with its cause."""
    if not isinstance(error, Mapping):
        return str(error)
    text = f"{error.get('type')}: {error.get('reason')}"
    cause = reason(error["caused_by"]) if error.get("caused_by") else ""
    # 9.x repeats an error as its own cause; the innermost text covers both.
    if cause.startswith(text):
        return cause
    return f"{text} ({cause})" if cause else text


def without_values(error: Any) -> str:
    """As `reason`, but of the document only the names of its fields.

    Servers quote what they refuse ("Preview of field's value: …"), sometimes the whole document.
    Messages not known to contain only names are omitted; the types of the errors stay.
    """
    said: list[str] = []
    while isinstance(error, Mapping):
        kind, words = str(error.get("type")), str(error.get("reason"))
        telling = _TELLING.match(words)
        if kind in _OF_THE_SERVER:
            kind = f"{kind}: {words}"
        elif telling:
            kind = f"{kind}: {telling[1]}"
        # 9.x repeats an error as its own cause.
        said += [] if kind in said else [kind]
        error = error.get("caused_by")
    if not said:
        return "an error without a type"
    return said[0] if len(said) == 1 else f"{said[0]} ({', '.join(said[1:])})"
