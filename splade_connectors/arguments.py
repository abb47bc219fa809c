"""What the arguments of a store's verbs become; shared by the blocking and the awaiting store."""

from __future__ import annotations

from collections.abc import AsyncIterable, Iterable, Sequence
from dataclasses import replace
from typing import Any

from splade_connectors.attach.report import AttachReport
from splade_connectors.attach.values import AttachOptions
from splade_connectors.documents import Document, DocumentId, check_id
from splade_connectors.errors import ConfigurationError, SpladeConnectorsError
from splade_connectors.fusion.legs import Leg
from splade_connectors.fusion.request import Path
from splade_connectors.fusion.spec import Fusion
from splade_connectors.hybrid import Hybrid, resolve_legs
from splade_connectors.options import Progress, SearchOptions
from splade_connectors.pipeline.report import IndexReport
from splade_connectors.vectors import SparseVector
from splade_connectors.verbs import Verbs

Query = str | SparseVector


def silent(progress: Progress) -> None:
    """The progress callback of those who asked for none."""


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


def hybrid_search(
    verbs: Verbs,
    query: Query,
    dense: Any,
    legs: Sequence[Leg] | None,
    fusion: Fusion | None,
    options: SearchOptions,
    path: Path,
    with_legs: bool,
) -> Hybrid:
    """The hybrid search that the arguments ask for."""
    if not isinstance(query, str):
        raise ConfigurationError("a hybrid search needs the query's text, not its sparse vector")
    return Hybrid(verbs, resolve_legs(legs, dense), fusion, options, path, with_legs)


def check_iterable(documents: object) -> None:
    """Refuse one document where many are expected."""
    if isinstance(documents, Document) or not isinstance(documents, Iterable | AsyncIterable):
        raise ConfigurationError(
            f"index takes several documents, not one {type(documents).__name__}: pass [document]"
        )


def id_list(ids: Sequence[DocumentId]) -> list[DocumentId]:
    """The ids, each of them checked; one id alone is refused."""
    if isinstance(ids, str | int):
        raise ConfigurationError(f"expected a list of ids, got {ids!r}: pass [{ids!r}]")
    for id in ids:
        check_id(id)
    return list(ids)


def say_how_far(error: SpladeConnectorsError, report: IndexReport) -> None:
    """Add to an error what was written before it."""
    if report.written:
        error.add_note(how_far(report))


def how_far(report: IndexReport) -> str:
    """What an index run that did not end has written, and what to do."""
    return (
        f"{report.written} documents were written before; the same command again completes the "
        "index, and stores nothing twice"
    )


def attach_options(text_fields: Sequence[str], options: AttachOptions | None) -> AttachOptions:
    """The options of a run, with the text fields of the call.

    Raises:
        ConfigurationError: when both name text fields, and other ones.
    """
    options = options or AttachOptions()
    # One name alone is a common slip: a string is a sequence of its characters.
    fields = (text_fields,) if isinstance(text_fields, str) else tuple(text_fields)
    if not fields:
        return options
    if options.text_fields not in ((), fields):
        raise ConfigurationError(
            f"text_fields are given twice: {fields!r} and, in the options, {options.text_fields!r}"
        )
    return replace(options, text_fields=fields)


def say_how_far_attached(error: SpladeConnectorsError, report: AttachReport) -> None:
    """Add to an error what was attached before it."""
    if report.attached:
        error.add_note(how_far_attached(report))


def how_far_attached(report: AttachReport) -> str:
    """What an attach run that did not end has written, and what to do."""
    return (
        f"{report.attached} documents got their vectors before; the same command again goes on "
        "from there"
    )
