"""`splade-connectors search TARGET QUERY`."""

from __future__ import annotations

import json as jsonlib
from dataclasses import fields
from typing import TYPE_CHECKING, Annotated, Any

import typer

from splade_connectors.cli import common, hybrid, parameters, printing
from splade_connectors.cli.groups import Flag, Group
from splade_connectors.documents import Snippet
from splade_connectors.errors import ConfigurationError
from splade_connectors.filters.written import read_filter
from splade_connectors.options import SearchOptions
from splade_connectors.shown import counted, quoted

if TYPE_CHECKING:
    from collections.abc import Sequence

    from splade_connectors.backends.protocol import Plan
    from splade_connectors.documents import Hit
    from splade_connectors.operations.found import Hits

EXAMPLES = (
    "search edge:articles 'why does dough rise' --limit 3",
    "search opensearch://localhost/articles 'why does dough rise' --text-field body",
)
_TEXT_SHOWN = 160
_FILTER = '{"range": {"path": "price", "lt": 12}}'
# Significant digits of a float32 score.
_MOST_DIGITS = 7


def _condition(filter: str) -> Any:
    """Parse a JSON filter: a portable condition, or one in the store's own query language."""
    try:
        given = jsonlib.loads(filter)
    except ValueError as error:
        raise ConfigurationError(
            f"--filter must be JSON, such as {_FILTER}, not {quoted(filter)}: {error}"
        ) from error
    return read_filter(given)


Searching = Annotated[
    SearchOptions,
    Group(
        None,
        limit=Flag(minimum=1),
        offset=Flag(minimum=0),
        filter=Flag(kind=str, read=_condition, more=f"Pass JSON, such as {_FILTER}."),
        group_by=Flag(),
        with_payload=Flag("--payload/--no-payload"),
        max_query_terms=Flag(minimum=1),
        min_score=Flag(),
        with_total=Flag("--total"),
        with_terms=Flag("--terms"),
    ),
]
# Of the options above, those that do not affect the request.
_BESIDE = ("min_score", "with_total", "with_terms")
_TERMS_SHOWN = 5


def command(
    target: parameters.TargetArgument,
    query: Annotated[str, typer.Argument(metavar="QUERY", help="Text to search for.")],
    *,
    options: Searching,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Show the request instead of sending it.")
    ] = False,
    fusion: hybrid.FusionOption = None,
    legs: parameters.Legs,
    path: Annotated[
        str | None,
        typer.Option(
            help="Where legs are fused: auto (best exact path), server (or refuse), client.",
            rich_help_panel=parameters.HYBRID,
        ),
    ] = None,
    model: parameters.Model,
    connection: parameters.Connection,
    json: parameters.Json = False,
) -> None:
    """Search for the best documents, by dot product or by fusing several legs."""
    arguments = {field.name: getattr(options, field.name) for field in fields(options)}
    _check_path(path)
    if several := hybrid.fusing(fusion, legs, path=path):
        arguments |= {**several, "path": path or "auto"}
    used = legs.encoded_by(model)
    with common.open_store(target, connection, used, queries_only=True) as store:
        if dry_run:
            asked = {name: value for name, value in arguments.items() if name not in _BESIDE}
            print_plan(store.plan(query, **asked), json)
            return
        if not json and options.with_payload:
            arguments["with_terms"] = True  # for highlighting the matches
        with_legs = json and "legs" in arguments
        hits = store.search(query, with_legs=with_legs, **arguments)
    for warning in hits.plan.warnings:
        printing.warn(warning)
    if json:
        _print_json(hits, options, with_legs)
        return
    print_hits(hits, options.offset, with_terms=options.with_terms)
    if hits.total is not None:
        least = "" if hits.total.exact else "at least "
        total = counted(hits.total.value, "document")
        printing.say("[dim]{} of {}{}[/dim]", len(hits), least, total)


def print_hits(hits: Hits, offset: int = 0, *, with_terms: bool = False) -> None:
    """Print a table of rank, score, id, and the matching passage or the beginning of the text."""
    from splade_connectors.cli.screen import Table

    if not hits:
        printing.say("no hits")
        return
    table = Table()
    table.column("#", number=True, style="dim")
    table.column("score", number=True)
    table.column("id", style="bold")
    grouped = any(hit.group is not None for hit in hits)
    if grouped:
        table.column("group", style="bold")
        table.column("more", number=True)
    table.column("text")
    if with_terms:
        table.column("terms")
    scores = shown_scores([hit.score for hit in hits])
    for rank, (hit, score) in enumerate(zip(hits, scores, strict=True), start=offset + 1):
        group = (hit.group, hit.more) if grouped else ()
        terms = (_heaviest(hit),) if with_terms else ()
        table.row(rank, score, hit.id, *group, _matching(hit), *terms)
    printing.print_table(table)


def _matching(hit: Hit) -> str | Snippet:
    """The title and the matching passage of a hit."""
    found, title = hit.snippet, hit.payload.get("title")
    if found is None:
        return excerpt(hit.payload)
    if not isinstance(title, str) or not title or found.text.startswith(" ".join(title.split())):
        return found
    before = f"{' '.join(title.split())} - "
    marks = tuple((start + len(before), end + len(before)) for start, end in found.marks)
    return Snippet(text=f"{before}{found.text}", marks=marks)


def _heaviest(hit: Hit) -> str:
    """The terms that contribute most."""
    shown = [f"{term.text} {term.contribution:.1f}" for term in hit.terms[:_TERMS_SHOWN]]
    more = len(hit.terms) - len(shown)
    return ", ".join([*shown, f"{more} more"] if more > 0 else shown)


def shown_scores(scores: Sequence[float]) -> list[str]:
    """Format scores with enough digits to tell different ones apart, at least three."""
    different = len(set(scores))
    for digits in range(3, _MOST_DIGITS):
        found = [f"{score:.{digits}f}" for score in scores]
        if len(set(found)) == different:
            return found
    return [f"{score:.{_MOST_DIGITS}f}" for score in scores]


def excerpt(payload: Any) -> str:
    """Return the title and the beginning of the text, or of the first two text fields."""
    names = [name for name in ("title", "text") if isinstance(payload.get(name), str)]
    names = names or [name for name, value in payload.items() if isinstance(value, str)]
    # Collapse whitespace so that multi-line text stays on one row.
    text = " - ".join(" ".join(payload[name].split()) for name in names[:2])
    return text if len(text) <= _TEXT_SHOWN else f"{text[: _TEXT_SHOWN - 1]}…"


def print_plan(plan: Plan, json: bool) -> None:
    """Print the request, ready to paste."""
    if json:
        printing.print_json(
            {
                "path": plan.path,
                "reason": plan.reason,
                "method": plan.method,
                "url_path": plan.url_path,
                "body": dict(plan.body),
                "warnings": list(plan.warnings),
                "fused_by": plan.fused_by,
                "not_taken": list(plan.not_taken),
                "approximate": list(plan.approximate),
                "lines": list(plan.lines),
            }
        )
        return
    for warning in plan.warnings:
        printing.warn(warning)
    remarks = [f"{plan.path}: {plan.reason}"]
    if plan.fused_by:
        remarks += [f"fused by the {plan.fused_by}", f"exact: {_exactness(plan)}"]
    remarks += [f"not taken: {reason}" for reason in plan.not_taken]
    if "COLLECTION" in plan.url_path.split("/"):
        remarks += ["edge: runs this in process; on a server, put your collection for COLLECTION"]
    if plan.lines:
        remarks += [
            "newline-delimited: curl -H 'Content-Type: application/x-ndjson' --data-binary @FILE"
        ]
    for remark in remarks:
        printing.put_line(f"# {remark}")
    if plan.method:
        printing.put_line(f"{plan.method} {plan.url_path}")
        printing.put_json(plan.as_sent().rstrip("\n"))


def _exactness(plan: Plan) -> str:
    if not plan.approximate:
        return "scores, windows and fusion"
    legs = ", ".join(plan.approximate)
    return (
        f"scores and fusion; the candidates of the {legs} leg come from an approximate "
        "nearest-neighbour graph if its field has one, and may miss a neighbour"
    )


def _check_path(path: str | None) -> None:
    if path not in (None, "auto", "server", "client"):
        raise ConfigurationError(f"--path must be auto, server or client, not {path!r}")


def _print_json(hits: Hits, options: SearchOptions, with_legs: bool) -> None:
    """Print a list of hits, or with --total an object that contains it."""
    found = [_as_json(hit, options, with_legs) for hit in hits]
    if hits.total is None:
        printing.print_json(found)
    else:
        total = {"value": hits.total.value, "exact": hits.total.exact}
        printing.print_json({"total": total, "hits": found})


def _as_json(hit: Hit, options: SearchOptions, with_legs: bool) -> dict[str, Any]:
    found: dict[str, Any] = {"id": hit.id, "score": hit.score, "payload": dict(hit.payload)}
    if options.group_by is not None:
        found |= {"group": hit.group, "more": hit.more}
    if options.with_terms:
        found |= {
            "terms": [
                {"token": term.token, "text": term.text, "contribution": term.contribution}
                for term in hit.terms
            ],
            "snippet": None
            if hit.snippet is None
            else {"text": hit.snippet.text, "marks": [list(mark) for mark in hit.snippet.marks]},
        }
    if with_legs:
        found["legs"] = {
            name: {"rank": leg.rank, "score": leg.score} for name, leg in hit.legs.items()
        }
    return found
