"""`splade-connectors attach TARGET --text FIELD`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from splade_connectors.backends.targets import shown_target
from splade_connectors.cli import common, parameters, printing, progress
from splade_connectors.cli.groups import Flag, Group
from splade_connectors.errors import ConfigurationError
from splade_connectors.options import AttachOptions
from splade_connectors.shown import quoted

if TYPE_CHECKING:
    from splade_connectors.operations.attach import AttachPlan, AttachReport, Verification

EXAMPLES = (
    "attach qdrant://localhost/articles --text title --text body --dry-run",
    "attach qdrant://localhost/articles --text-index body",
)


def _part(given: str) -> tuple[int, int]:
    """The part that is written I/N."""
    number, slash, parts = given.partition("/")
    if not slash or not number.isdecimal() or not parts.isdecimal():
        raise ConfigurationError(f"a part is written I/N, such as 0/4, not {given!r}")
    return int(number), int(parts)


Attaching = Annotated[
    AttachOptions,
    Group(
        None,
        text_fields=Flag("--text", more="May be repeated."),
        recheck=Flag("--recheck"),
        mark=Flag("--mark"),
        replace_model=Flag("--replace-model"),
        part=Flag(kind=str, read=_part, more="Written I/N, such as 0/4."),
        copy_to=Flag(),
        switch_alias=Flag(),
        text_index=Flag("--text-index", more="May be repeated."),
        text_tokenizer=Flag(kind=str),
        rebuild_text_index=Flag("--rebuild-text-index"),
        verify=Flag(minimum=0),
    ),
]


def command(
    target: parameters.TargetArgument,
    *,
    options: Attaching,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Say what would be done, and what is in the way.")
    ] = False,
    follow: Annotated[
        bool,
        typer.Option(
            "--follow", help="Keep running: attach vectors to what others write, until Ctrl-C."
        ),
    ] = False,
    interval: Annotated[
        float, typer.Option(min=0.1, help="With --follow: polling interval in seconds.")
    ] = 10.0,
    model: parameters.Model,
    encode: parameters.Encoding,
    prune: parameters.Pruning,
    connection: parameters.Connection,
    letters: parameters.Letters,
    output: parameters.Reporting,
) -> None:
    """Give the documents of a live collection or index sparse vectors, and change nothing else.

    Looks first and refuses before anything is written. Ctrl-C, SIGTERM and SIGHUP wait for what
    is in flight; the same command again goes on from there, and encodes what has changed since.
    """
    common.check_outputs(letters.dead_letters, connection=connection)
    used = None if options.is_text_index_alone else model
    with (
        output.stopped() as begins,
        common.open_store(target, connection, used, encode=encode, prune=prune) as store,
    ):
        if dry_run:
            _show_plan(store.plan_attach(options=options), output.json)
            return
        with letters.open() as kept, progress.showing("attaching", output.log_json) as show:
            begins()
            report = store.attach(
                options=options,
                on_progress=show,
                dead_letters=kept,
                follow_s=interval if follow else None,
            )
        output.report(report)
        if not output.json:
            if not options.is_text_index_alone:
                print_report(report, target, options, model.model)
            print_text_indexes(report, target, options)
            printing.print_rejections(report.rejected, report.rejected_count, kept)
    if report.rejected_count or not _is_complete(report):
        raise typer.Exit(1)


def _is_complete(report: AttachReport) -> bool:
    return report.verification is None or report.verification.complete


def _show_plan(plan: AttachPlan, json: bool) -> None:
    if json:
        printing.print_json(plan.to_json())
    else:
        print_plan(plan)
    if plan.refusals:
        raise typer.Exit(2)


def print_plan(plan: AttachPlan) -> None:
    """What would be done, and what is in the way."""
    from splade_connectors.cli.screen import Table

    table = Table(header=False)
    table.column(style="dim")
    table.column()
    rows = {
        "target": plan.target,
        "server": f"{plan.backend} {plan.version}".strip(),
        **(_shown_vectors(plan) if plan.text_fields else {}),
        "text for BM25": ", ".join(plan.text_index),
        "documents": f"{plan.documents:,}",
        **(_shown_costs(plan) if plan.text_fields else {}),
    }
    for name, value in rows.items():
        if value:
            table.row(name, value)
    printing.print_table(table)
    for title, lines in (("would add", plan.changes), ("to know", plan.notes)):
        for line in lines:
            printing.say("{}: {}", title, line)
    for line in plan.refusals:
        printing.say("[bold]in the way: {}[/bold]", line)
    if not plan.refusals:
        printing.say("Nothing is in the way. Nothing was written.")


def _shown_vectors(plan: AttachPlan) -> dict[str, str]:
    return {
        "sparse vectors in": plan.vector,
        "text": ", ".join(plan.text_fields),
        "fields with text": ", ".join(plan.present) or "none",
    }


def _shown_costs(plan: AttachPlan) -> dict[str, str]:
    return {
        "to do": f"{plan.to_do:,}",
        "without text": f"{plan.without_text:.0f}% of a sample" if plan.without_text else "none",
        "terms there": f"named by {plan.key_style}" if plan.key_style else "none",
        "model": plan.model,
        "time": shown_seconds(plan.seconds),
        "storage": f"about {shown_bytes(plan.bytes)} more ({plan.terms:.0f} terms a document)",
    }


def print_report(
    report: AttachReport, target: str, options: AttachOptions, model: str | None = None
) -> None:
    """What was attached, how the verification went, and what comes next."""
    rate = report.attached / report.seconds if report.seconds else 0.0
    printing.say(
        "[bold]{:,}[/bold] documents got their vectors in {:.1f} s ({:.0f}/s)",
        report.attached,
        report.seconds,
        rate,
    )
    notes = [
        (report.unchanged, "had them already"),
        (report.empty, "without text: marked, so that they are not read again"),
        (report.gone, "were deleted by others meanwhile"),
        (report.conflicts, "times others changed a document meanwhile: it was read again"),
        (report.truncated, "longer than the model's maximum: their end is not encoded"),
        (report.retries, "requests sent again, because the server was away or too busy"),
    ]
    for count, what in notes:
        if count:
            printing.say("  {:,} {}", count, what)
    if report.copy is not None:
        equal = "equal to the original" if report.copy.equal else "NOT equal to the original"
        printing.say("  {}: {:,} points, {}", report.copy.collection, report.copy.points, equal)
    if report.alias:
        printing.say("  the alias {!r} names the copy now", report.alias)
    if report.switched is not None:
        done = "searches use the new vectors now" if report.switched else "nothing was switched"
        printing.say("  {}", done)
    if report.verification is not None:
        print_verification(report.verification)
        if not report.rejected_count:
            print_remedy(report.verification, target, model)
    if options.part is None and _is_complete(report):
        printing.say("\nNext: {}", printing.search_line(target, model), wrap=False)


def print_text_indexes(report: AttachReport, target: str, options: AttachOptions) -> None:
    """Which were made, and a search that goes through them."""
    for field in options.text_index:
        made = field in report.text_index
        printing.say("  BM25 searches {!r}{}", field, " now" if made else ", as it did before")
    if options.is_text_index_alone:
        more = [part for field in options.text_index[:1] for part in ("--text-field", field)]
        line = printing.command_line(
            "search", shown_target(target), "your own words", "--no-sparse", *more
        )
        printing.say("\nNext: {}", line, wrap=False)


def print_verification(found: Verification) -> None:
    """Counts, and what is wrong."""
    printing.say(
        "{:,} documents, {:,} without a vector; {:,} compared with their text, {:,} differ",
        found.documents,
        found.missing,
        found.compared,
        found.different_count,
    )
    if found.different_count:
        printing.say("  differ: {}", ", ".join(map(quoted, found.different[:10])))


def print_remedy(found: Verification, target: str, model: str | None = None) -> None:
    """The command that mends what a verification found."""
    if found.complete:
        return
    # Where nothing marks a text as edited, only encoding it finds the vectors that differ; and
    # where no query finds a vector that is gone, only reading all of them does.
    recheck = ["--recheck"] if found.different_count or found.lost else []
    named = ["--model", model] if model else []
    mending = printing.command_line("attach", shown_target(target), *recheck, *named)
    printing.say("mend it: {}", mending, stderr=True, wrap=False)


def shown_seconds(seconds: float | None) -> str:
    """About how long, in words."""
    if not seconds:
        return "-"
    if seconds < 1:
        return "under 1 s"
    if seconds < 90:
        return f"about {seconds:.0f} s"
    return f"about {seconds / 60:.0f} min" if seconds < 5400 else f"about {seconds / 3600:.1f} h"


def shown_bytes(count: float) -> str:
    """In the unit that reads best."""
    for unit in ("B", "kB", "MB"):
        if count < 1000:
            return f"{count:.0f} {unit}"
        count /= 1000
    return f"{count:,.1f} GB"
