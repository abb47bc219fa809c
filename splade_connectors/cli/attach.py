"""`splade-connectors attach TARGET --text FIELD`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from splade_connectors.backends.targets import shown_target
from splade_connectors.cli import common, parameters, printing, progress
from splade_connectors.cli.groups import Flag, Group
from splade_connectors.errors import ConfigurationError
from splade_connectors.options import AttachOptions
from splade_connectors.shown import counted, plural, quoted

if TYPE_CHECKING:
    from splade_connectors.operations.attach import AttachPlan, AttachReport, Verification

EXAMPLES = (
    "attach qdrant://localhost/articles --text title --text body --dry-run",
    "attach qdrant://localhost/articles --text-index body",
)


def _part(given: str) -> tuple[int, int]:
    """Parse a part, written I/N."""
    number, slash, parts = given.partition("/")
    if not slash or not number.isdecimal() or not parts.isdecimal():
        raise ConfigurationError(f"--part must be I/N, such as 0/4, not {given!r}")
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
        bool, typer.Option("--dry-run", help="Show what would be done, and what would prevent it.")
    ] = False,
    follow: Annotated[
        bool,
        typer.Option(
            "--follow", help="Keep running until Ctrl-C, attaching vectors to new documents."
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
    """Add sparse vectors to the documents of a live collection or index, changing nothing else.

    Checks everything before the first write. Ctrl-C, SIGTERM and SIGHUP wait for requests in
    flight; run the same command again to resume, and to encode what has changed since.
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
    """Print what would be done, and what would prevent it."""
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
    for title, lines in (("would add", plan.changes), ("note", plan.notes)):
        for line in lines:
            printing.say("{}: {}", title, line)
    for line in plan.refusals:
        printing.say("[bold]blocker: {}[/bold]", line)
    if not plan.refusals:
        printing.say("No blockers. Nothing was written.")


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
        "existing terms": f"named by {plan.key_style}" if plan.key_style else "none",
        "model": plan.model,
        "time": shown_seconds(plan.seconds),
        "storage": f"about {shown_bytes(plan.bytes)} more "
        f"({counted(round(plan.terms), 'term')} per document)",
    }


def print_report(
    report: AttachReport, target: str, options: AttachOptions, model: str | None = None
) -> None:
    """Print what was attached, the verification, and the command to try next."""
    rate = report.attached / report.seconds if report.seconds else 0.0
    printing.say(
        "attached vectors to [bold]{:,}[/bold] {} in {:.1f} s ({:.0f}/s)",
        report.attached,
        plural(report.attached, "document"),
        report.seconds,
        rate,
    )
    notes = [
        (report.unchanged, "already had one"),
        (report.empty, "without text: marked so that they are not read again"),
        (report.gone, "deleted by another client during the run"),
        (report.conflicts, "conflicts with another client's writes: the document was read again"),
        (report.truncated, "longer than the model's maximum: the rest is not encoded"),
    ]
    for count, what in notes:
        if count:
            printing.say("  {:,} {}", count, what)
    printing.say_retries(report.retries)
    if report.copy is not None:
        equal = "equal to the original" if report.copy.equal else "NOT equal to the original"
        points = counted(report.copy.points, "point")
        printing.say("  {}: {}, {}", report.copy.collection, points, equal)
    if report.alias:
        printing.say("  the alias {!r} now points to the copy", report.alias)
    if report.switched is not None:
        done = "searches now use the new vectors" if report.switched else "nothing was switched"
        printing.say("  {}", done)
    if report.verification is not None:
        print_verification(report.verification)
        if not report.rejected_count:
            print_remedy(report.verification, target, model)
    if options.part is None and _is_complete(report):
        printing.say("\nNext: {}", printing.search_line(target, model), wrap=False)


def print_text_indexes(report: AttachReport, target: str, options: AttachOptions) -> None:
    """Print which text indexes were created, and a search that uses them."""
    for field in options.text_index:
        made = field in report.text_index
        printing.say("  BM25 {} search {!r}", "can now" if made else "could already", field)
    if options.is_text_index_alone:
        more = [part for field in options.text_index[:1] for part in ("--text-field", field)]
        line = printing.command_line(
            "search", shown_target(target), "your own words", "--no-sparse", *more
        )
        printing.say("\nNext: {}", line, wrap=False)


def print_verification(found: Verification) -> None:
    """Print the counts of a verification, and the documents that differ."""
    printing.say(
        "{}, {:,} without a vector; {:,} compared with their text, {:,} different",
        counted(found.documents, "document"),
        found.missing,
        found.compared,
        found.different_count,
    )
    if found.different_count:
        printing.say("  different: {}", ", ".join(map(quoted, found.different[:10])))


def print_remedy(found: Verification, target: str, model: str | None = None) -> None:
    """Print the command that fixes what a verification found."""
    if found.complete:
        return
    # Without a marker of edited texts, only encoding finds the vectors that differ; and if no
    # query can find missing vectors, only reading every document does.
    recheck = ["--recheck"] if found.different_count or found.lost else []
    named = ["--model", model] if model else []
    fix = printing.command_line("attach", shown_target(target), *recheck, *named)
    printing.say("to fix it: {}", fix, stderr=True, wrap=False)


def shown_seconds(seconds: float | None) -> str:
    """Format an estimated duration."""
    if not seconds:
        return "-"
    if seconds < 1:
        return "under 1 s"
    if seconds < 90:
        return f"about {seconds:.0f} s"
    return f"about {seconds / 60:.0f} min" if seconds < 5400 else f"about {seconds / 3600:.1f} h"


def shown_bytes(count: float) -> str:
    """Format a number of bytes in a readable unit."""
    for unit in ("B", "kB", "MB"):
        if count < 1000:
            return f"{count:.0f} {unit}"
        count /= 1000
    return f"{count:,.1f} GB"
