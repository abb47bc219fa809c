"""`splade-connectors search TARGET QUERY`."""

from __future__ import annotations

import json as jsonlib
from typing import TYPE_CHECKING, Annotated, Any

import typer

from splade_connectors.cli import common, hybrid, parameters, printing
from splade_connectors.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from splade_connectors.backends.protocol import Plan
    from splade_connectors.documents import Hit
    from splade_connectors.operations.search import Hits

_TEXT_SHOWN = 160


def command(
    target: parameters.TargetArgument,
    query: Annotated[str, typer.Argument(help="The text to search for.")],
    limit: Annotated[int, typer.Option(min=1, help="Most hits.")] = 10,
    offset: Annotated[int, typer.Option(min=0, help="Hits to skip.")] = 0,
    filter: Annotated[
        str | None, typer.Option(help="A condition in the store's own language, as JSON.")
    ] = None,
    payload: Annotated[bool, typer.Option(help="Show the stored fields.")] = True,
    fusion: Annotated[
        str | None, typer.Option(help=f"How several legs become one: {hybrid.FUSION_HELP}.")
    ] = None,
    dense_model: parameters.DenseModel = None,
    dense_field: parameters.DenseField = None,
    text_field: parameters.TextFields = None,
    candidates: Annotated[
        int | None, typer.Option(min=1, help="Window of every leg. Default: 200.")
    ] = None,
    path: Annotated[
        str | None,
        typer.Option(
            help="Who fuses: auto (the best exact path), server (refuses where it cannot), client."
        ),
    ] = None,
    max_query_terms: Annotated[
        int | None, typer.Option(min=1, help="Most terms of the sparse query, the heaviest.")
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Show the request instead of sending it.")
    ] = False,
    model: parameters.Model = None,
    engine: parameters.Engine = None,
    precision: parameters.Precision = "auto",
    username: parameters.Username = None,
    ca_certs: parameters.CaCerts = None,
    client_cert: parameters.ClientCert = None,
    client_key: parameters.ClientKey = None,
    timeout: parameters.Timeout = 30.0,
    manifest: parameters.Manifest = None,
    override_manifest: parameters.OverrideManifest = False,
    json: parameters.Json = False,
) -> None:
    """The best documents for a query: by dot product, or of several legs after fusion."""
    arguments: dict[str, Any] = {
        "limit": limit,
        "offset": offset,
        "filter": _parsed(filter),
        "with_payload": payload,
        "max_query_terms": max_query_terms,
        **_legs(fusion, dense_model, dense_field, text_field, candidates, path),
    }
    encoder = common.make_encoder(model, engine, precision)
    with common.open_store(
        target,
        encoder,
        username=username,
        ca_certs=ca_certs,
        client_cert=client_cert,
        client_key=client_key,
        timeout=timeout,
        manifest=manifest,
        override_manifest=override_manifest,
    ) as store:
        if dry_run:
            print_plan(store.plan(query, **arguments), json)
            return
        with_legs = json and "legs" in arguments
        hits = store.search(query, with_legs=with_legs, **arguments)
    for warning in hits.plan.warnings:
        printing.warn(warning)
    if json:
        printing.print_json([_as_json(hit, with_legs) for hit in hits])
    else:
        print_hits(hits, offset)


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
    table.column("text")
    for rank, hit in enumerate(hits, start=offset + 1):
        table.row(rank, f"{hit.score:.3f}", hit.id, excerpt(hit.payload))
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


def _legs(
    fusion: str | None,
    dense_model: str | None,
    dense_field: str | None,
    text_fields: Sequence[str] | None,
    candidates: int | None,
    path: str | None,
) -> dict[str, Any]:
    """The arguments of a hybrid search; none where no option asks for one."""
    if path not in (None, "auto", "server", "client"):
        raise ConfigurationError(f"--path is auto, server or client, not {path!r}")
    dense = hybrid.dense_encoder(dense_model)
    if dense is None and not text_fields:
        given = {
            "--fusion": fusion,
            "--candidates": candidates,
            "--dense-field": dense_field,
            "--path": path,
        }
        for option, value in given.items():
            if value is not None:
                raise ConfigurationError(
                    f"{option} is for several legs: add --dense-model or --text-field"
                )
        return {}
    legs = hybrid.make_legs(dense, text_fields, dense_field=dense_field, candidates=candidates)
    (chosen,) = hybrid.parse_fusions([fusion], legs) if fusion is not None else (None,)
    return {"legs": legs, "fusion": chosen, "path": path or "auto"}


def _as_json(hit: Hit, with_legs: bool) -> dict[str, Any]:
    found: dict[str, Any] = {"id": hit.id, "score": hit.score, "payload": dict(hit.payload)}
    if with_legs:
        found["legs"] = {
            name: {"rank": leg.rank, "score": leg.score} for name, leg in hit.legs.items()
        }
    return found


def _parsed(filter: str | None) -> Any:
    if filter is None:
        return None
    try:
        return jsonlib.loads(filter)
    except ValueError as error:
        raise ConfigurationError(f"--filter is not JSON: {error}") from error
