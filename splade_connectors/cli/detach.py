"""`splade-connectors detach TARGET`."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Annotated

import typer

from splade_connectors.cli import common, parameters, printing, progress
from splade_connectors.errors import ConfigurationError
from splade_connectors.shown import counted, plural, quoted

if TYPE_CHECKING:
    from splade_connectors.operations.attach import DetachReport

EXAMPLES = (
    "detach qdrant://localhost/articles --dry-run",
    "detach elasticsearch://localhost/articles --former --yes",
)


def command(
    target: parameters.TargetArgument,
    *,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask for confirmation.")] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Only show what would be removed.")
    ] = False,
    former: Annotated[
        bool, typer.Option("--former", help="Remove what a replaced model left behind instead.")
    ] = False,
    text_index: Annotated[
        list[str] | None,
        typer.Option(help="Remove the text index of this field instead. May be repeated."),
    ] = None,
    connection: parameters.Connection,
    json: parameters.Json = False,
) -> None:
    """Show what attach added, then remove it and nothing else."""
    with common.open_store(target, connection) as store:
        fields = tuple(text_index or ())
        report = store.detach(dry_run=True, former=former, text_index=fields)
        if not json:
            _print_plan(report)
        if not dry_run:
            _ask(yes)
            with progress.progress_bar("detaching") as show:
                report = store.detach(former=former, text_index=fields, on_progress=show)
    if json:
        printing.print_json(report.to_json())
    elif not dry_run:
        _print_report(report)
    if report.rejected_count:
        raise typer.Exit(1)


def _ask(yes: bool) -> None:
    if yes:
        return
    if sys.stdin is None or not sys.stdin.isatty():
        raise ConfigurationError(
            "nothing was removed: there is no terminal to confirm on; pass --yes"
        )
    typer.confirm("Remove it?", abort=True, err=True)


def _print_plan(report: DetachReport) -> None:
    removed = list(report.removes)
    if report.vector:
        documents = counted(report.documents, "document")
        removed.insert(0, f"the vectors {report.vector!r} of {documents}")
    for line in removed:
        printing.say("would remove: {}", line, stderr=True)
    for line in report.remains:
        printing.say("note: {}", line, stderr=True)


def _print_report(report: DetachReport) -> None:
    if not report.vector:
        for line in report.removes:
            printing.say("removed {}", line)
        return
    printing.say(
        "removed {!r} from [bold]{:,}[/bold] {}",
        report.vector,
        report.cleared,
        plural(report.cleared, "document"),
    )
    for item in report.rejected[:10]:
        printing.say("  id {}: {}", quoted(item.id), item.reason)
    if not report.done:
        printing.say("Not finished: run the command again to remove the rest.")
