"""`splade-connectors adopt TARGET --text FIELD`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from splade_connectors.backends.targets import shown_target
from splade_connectors.cli import common, parameters, printing, progress
from splade_connectors.shown import quoted

if TYPE_CHECKING:
    from splade_connectors.operations.attach import AdoptReport

EXAMPLES = (
    "adopt 'qdrant://localhost/articles?vector=langchain-sparse' --text page_content --dry-run",
    "adopt 'elasticsearch://localhost/articles?field=sparse' --text content",
)


def command(
    target: parameters.TargetArgument,
    *,
    text: Annotated[
        list[str] | None,
        typer.Option(
            "--text", help="Field or path that the vectors were encoded from. May be repeated."
        ),
    ] = None,
    sample: Annotated[
        int, typer.Option(min=1, help="Number of random documents to compare.")
    ] = 100,
    mark: Annotated[
        bool, typer.Option("--mark", help="On Qdrant: store a hash of the text in each payload.")
    ] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Compare, but write nothing.")] = False,
    model: parameters.Model,
    encode: parameters.Encoding,
    prune: parameters.Pruning,
    connection: parameters.Connection,
    output: parameters.Reporting,
) -> None:
    """Take over sparse vectors that another tool wrote, if the model produces the same ones.

    Encodes a sample of the texts, compares it, and infers maximum length, pruning and precision.
    Afterwards, every command treats the vectors as its own; no vector is changed.
    """
    common.check_outputs(connection=connection)
    with output.stopped() as begins:
        with (
            common.open_store(target, connection, model, encode=encode, prune=prune) as store,
            progress.showing("adopting", output.log_json) as show,
        ):
            begins()
            report = store.adopt(
                tuple(text or ()), sample=sample, mark=mark, dry_run=dry_run, on_progress=show
            )
        output.report(report)
        if not output.json:
            _print_report(report, target, dry_run, model.model)
    if report.refusals:
        raise typer.Exit(2)
    if report.rejected_count:
        raise typer.Exit(1)


def _print_report(report: AdoptReport, target: str, dry_run: bool, model: str | None) -> None:
    for line in report.refusals:
        printing.say("[bold]blocker: {}[/bold]", line)
    if report.manifest is None:
        return
    _print_settings(report)
    for line in report.notes:
        printing.say("note: {}", line)
    if dry_run:
        printing.say("No blockers. Nothing was written.")
        return
    for count, what in (
        (report.marked, "marked: their vectors need not be encoded again"),
        (report.unchanged, "already marked"),
        (report.left, "left unchanged: attach encodes them"),
        (report.rejected_count, "could not be marked: no manifest was written; run it again"),
    ):
        if count:
            printing.say("  {:,} {}", count, what)
    printing.say_retries(report.retries)
    for item in report.rejected[:10]:
        printing.say("  id {}: {}", quoted(item.id), item.reason, stderr=True)
    if report.done:
        name = shown_target(target)
        named = ("--model", model) if model else ()
        after = printing.command_line("attach", name, *named)
        printing.say("Vectors adopted. To encode documents without one: {}", after, wrap=False)
        printing.say("\nNext: {}", printing.search_line(target, model), wrap=False)


def _print_settings(report: AdoptReport) -> None:
    from splade_connectors.cli.screen import Table

    found = report.manifest
    assert found is not None
    table = Table(header=False)
    table.column(style="dim")
    table.column()
    equal = report.compared - report.different_count
    ratio = f"below {found.prune_max_ratio:g} of the heaviest" * bool(found.prune_max_ratio)
    top = f"all but the heaviest {found.prune_top_k}" * bool(found.prune_top_k)
    for name, value in {
        "target": report.target,
        "sparse vectors in": report.vector,
        "documents": f"{report.documents:,}",
        "compared": f"{report.compared:,}, of which {equal:,} match the model",
        "text": ", ".join(found.text_fields),
        "model": f"{found.model} ({found.precision}, {found.activation})",
        "texts truncated at": f"{found.max_length:,} tokens",
        "dropped terms": ", ".join(filter(None, (ratio, top))) or "none",
        "terms named by": found.key_style,
    }.items():
        table.row(name, value)
    printing.print_table(table)
