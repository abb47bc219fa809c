"""`splade-connectors search TARGET QUERY`."""

from __future__ import annotations

import json as jsonlib
from dataclasses import fields
from typing import TYPE_CHECKING, Annotated, Any

import typer

from splade_connectors import filters
from splade_connectors.cli import common, hybrid, parameters, printing
from splade_connectors.cli.groups import Flag, Group
from splade_connectors.errors import ConfigurationError
from splade_connectors.options import SearchOptions

if TYPE_CHECKING:
    from splade_connectors.backends.protocol import Plan
    from splade_connectors.documents import Hit
    from splade_connectors.operations.search import Hits

EXAMPLES = (
    "search edge:articles 'why does dough rise' --limit 3",
    "search opensearch://localhost/articles 'why does dough rise' --text-field body",
)
_TEXT_SHOWN = 160


def _condition(filter: str) -> Any:
    """A filter that is written as JSON: a condition of ours, or one in the store's own language."""
    try:
        given = jsonlib.loads(filter)
    except ValueError as error:
        raise ConfigurationError(f"--filter is not JSON: {error}") from error
    return filters.from_json(given) if filters.is_condition(given) else given


Searching = Annotated[
    SearchOptions,
    Group(
        None,
        limit=Flag(minimum=1),
        offset=Flag(minimum=0),
        filter=Flag(kind=str, read=_condition, more="Written as JSON."),
        group_by=Flag(),
        with_payload=Flag("--payload/--no-payload"),
        max_query_terms=Flag(minimum=1),
    ),
]


def command(
    target: parameters.TargetArgument,
    query: Annotated[str, typer.Argument(help="The text to search for.")],
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
            help="Who fuses: auto (the best exact path), server (refuses where it cannot), client.",
            rich_help_panel=parameters.HYBRID,
        ),
    ] = None,
    model: parameters.Model,
    connection: parameters.Connection,
    json: parameters.Json = False,
) -> None:
    """The best documents for a query: by dot product, or of several legs after fusion."""
    arguments = {field.name: getattr(options, field.name) for field in fields(options)}
    _check_path(path)
    if several := hybrid.fusing(fusion, legs, path=path):
        arguments |= {**several, "path": path or "auto"}
    used = legs.encoded_by(model)
    with common.open_store(target, connection, used, queries_only=True) as store:
        if dry_run:
            print_plan(store.plan(query, **arguments), json)
            return
        with_legs = json and "legs" in arguments
        hits = store.search(query, with_legs=with_legs, **arguments)
    for warning in hits.plan.warnings:
        printing.warn(warning)
    if json:
        grouped = options.group_by is not None
        printing.print_json([_as_json(hit, with_legs, grouped) for hit in hits])
    else:
        print_hits(hits, options.offset)


def print_hits(hits: Hits, offset: int = 0) -> None:
    """A table: rank, score, id, and the beginning of the text."""
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
    for rank, hit in enumerate(hits, start=offset + 1):
        group = (hit.group, hit.more) if grouped else ()
        table.row(rank, f"{hit.score:.3f}", hit.id, *group, excerpt(hit.payload))
    printing.print_table(table)


def excerpt(payload: Any) -> str:
    """The title and the beginning of the text, or of whatever text fields there are."""
    names = [name for name in ("title", "text") if isinstance(payload.get(name), str)]
    names = names or [name for name, value in payload.items() if isinstance(value, str)]
    # A text of several lines is one row all the same.
    text = " - ".join(" ".join(payload[name].split()) for name in names[:2])
    return text if len(text) <= _TEXT_SHOWN else f"{text[: _TEXT_SHOWN - 1]}…"


def print_plan(plan: Plan, json: bool) -> None:
    """The request, ready to paste."""
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
    if plan.lines:
        remarks += ["in lines: curl -H 'Content-Type: application/x-ndjson' --data-binary @FILE"]
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
        f"scores and fusion; the window of the {legs} leg comes from the graph of its field, where "
        "it has one, which may miss a neighbour"
    )


def _check_path(path: str | None) -> None:
    if path not in (None, "auto", "server", "client"):
        raise ConfigurationError(f"--path is auto, server or client, not {path!r}")


def _as_json(hit: Hit, with_legs: bool, grouped: bool = False) -> dict[str, Any]:
    found: dict[str, Any] = {"id": hit.id, "score": hit.score, "payload": dict(hit.payload)}
    if grouped:
        found |= {"group": hit.group, "more": hit.more}
    if with_legs:
        found["legs"] = {
            name: {"rank": leg.rank, "score": leg.score} for name, leg in hit.legs.items()
        }
    return found
