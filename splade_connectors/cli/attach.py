"""`splade-connectors attach TARGET --text FIELD`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from splade_connectors.backends.targets import shown_target
from splade_connectors.cli import common, parameters, printing, progress
from splade_connectors.errors import ConfigurationError
from splade_connectors.shown import quoted

if TYPE_CHECKING:
    from splade_connectors.operations.attach import (
        AttachOptions,
        AttachPlan,
        AttachReport,
        Verification,
    )


def command(
    target: parameters.TargetArgument,
    text: Annotated[
        list[str] | None,
        typer.Option(
            "--text",
            help="Text field, or a path such as author.bio; several are joined. Default: those of "
            "the manifest.",
        ),
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Say what would be done, and what is in the way.")
    ] = False,
    recheck: Annotated[
        bool, typer.Option("--recheck", help="Encode every text, and write vectors that differ.")
    ] = False,
    mark: Annotated[
        bool,
        typer.Option(
            "--mark", help="Qdrant: keep a hash of the text in each payload, to find edited texts."
        ),
    ] = False,
    replace_model: Annotated[
        bool,
        typer.Option(
            "--replace-model",
            help="Another model or other settings: encode all under a second name, then switch.",
        ),
    ] = False,
    follow: Annotated[
        bool, typer.Option("--follow", help="Go on: attach to what others write, until Ctrl-C.")
    ] = False,
    interval: Annotated[
        float, typer.Option(min=0.1, help="With --follow: seconds between two looks.")
    ] = 10.0,
    part: Annotated[
        str | None,
        typer.Option(help="I/N: one of N parts (I from 0), for machines that share the work."),
    ] = None,
    copy_to: Annotated[
        str | None,
        typer.Option(
            help="Qdrant before 1.18: copy the collection to this new one, and attach there."
        ),
    ] = None,
    switch_alias: Annotated[
        str | None,
        typer.Option(help="With --copy-to: when all is verified, this alias names the copy."),
    ] = None,
    verify: Annotated[
        int, typer.Option(min=0, help="Vectors to read back at the end, and compare.")
    ] = 100,
    dead_letters: parameters.DeadLetterFile = None,
    bodies: parameters.Bodies = True,
    prune_top_k: parameters.PruneTopK = None,
    prune_max_ratio: parameters.PruneMaxRatio = None,
    model: parameters.Model = None,
    engine: parameters.Engine = None,
    precision: parameters.Precision = "auto",
    batch_size: parameters.BatchSize = 64,
    threads: parameters.Threads = None,
    max_length: parameters.MaxLength = None,
    long_text: parameters.LongText = None,
    passage_overlap: parameters.PassageOverlap = None,
    username: parameters.Username = None,
    ca_certs: parameters.CaCerts = None,
    client_cert: parameters.ClientCert = None,
    client_key: parameters.ClientKey = None,
    timeout: parameters.Timeout = 30.0,
    manifest: parameters.Manifest = None,
    override_manifest: parameters.OverrideManifest = False,
    log_json: parameters.LogJson = False,
    json: parameters.Json = False,
) -> None:
    """Give the documents of a live collection or index sparse vectors, and change nothing else.

    Looks first and refuses before anything is written. Ctrl-C waits for what is in flight; the
    same command again goes on from there, and encodes what has changed since.
    """
    from splade_connectors.errors import IndexingInterrupted
    from splade_connectors.files.outputs import check_outputs
    from splade_connectors.operations.attach import AttachOptions, AttachReport

    check_outputs(dead_letters, inputs=[Path(manifest)] if manifest else ())
    options = AttachOptions(
        text_fields=tuple(text or ()),
        recheck=recheck,
        mark=mark,
        replace_model=replace_model,
        copy_to=copy_to,
        switch_alias=switch_alias,
        part=_parsed_part(part),
        verify=verify,
    )
    encoder = common.make_encoder(
        model,
        engine,
        precision,
        batch_size=batch_size,
        threads=threads,
        max_length=max_length,
        long_text=long_text,
        passage_overlap=passage_overlap,
    )
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
        prune=common.prune_options(prune_top_k, prune_max_ratio),
    ) as store:
        if dry_run:
            _show_plan(store.plan_attach(options=options), json)
            return
        with (
            common.dead_letters(dead_letters, bodies) as letters,
            progress.showing("attaching", log_json) as show,
        ):
            try:
                report = store.attach(
                    options=options,
                    on_progress=show,
                    dead_letters=letters,
                    follow_s=interval if follow else None,
                )
            except IndexingInterrupted as stop:
                if json and isinstance(stop.report, AttachReport):
                    printing.print_json(stop.report.to_json())
                raise
    if log_json:
        progress.log_json("report", **report.to_json())
    if json:
        printing.print_json(report.to_json())
    else:
        print_report(report, target, options)
        printing.print_rejections(report.rejected, report.rejected_count, letters)
    if report.rejected_count or not _is_complete(report):
        raise typer.Exit(1)


def _parsed_part(given: str | None) -> tuple[int, int] | None:
    if given is None:
        return None
    number, slash, parts = given.partition("/")
    if not slash or not number.isdecimal() or not parts.isdecimal():
        raise ConfigurationError(f"a part is written I/N, such as 0/4, not {given!r}")
    return int(number), int(parts)


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
        "sparse vectors in": plan.vector,
        "text": ", ".join(plan.text_fields),
        "fields with text": ", ".join(plan.present) or "none",
        "documents": f"{plan.documents:,}",
        "to do": f"{plan.to_do:,}",
        "without text": f"{plan.without_text:.0f}% of a sample" if plan.without_text else "none",
        "terms there": f"named by {plan.key_style}" if plan.key_style else "none",
        "model": plan.model,
        "time": shown_seconds(plan.seconds),
        "storage": f"about {shown_bytes(plan.bytes)} more ({plan.terms:.0f} terms a document)",
    }
    for name, value in rows.items():
        table.row(name, value)
    printing.print_table(table)
    for title, lines in (("would add", plan.changes), ("to know", plan.notes)):
        for line in lines:
            printing.say("{}: {}", title, line)
    for line in plan.refusals:
        printing.say("[bold]in the way: {}[/bold]", line)
    if not plan.refusals:
        printing.say("Nothing is in the way. Nothing was written.")


def print_report(report: AttachReport, target: str, options: AttachOptions) -> None:
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
            print_remedy(report.verification, target)
    if options.part is None and _is_complete(report):
        printing.say("\nNext: {}", printing.search_line(target), wrap=False)


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


def print_remedy(found: Verification, target: str) -> None:
    """The command that mends what a verification found."""
    if found.complete:
        return
    # Where nothing marks a text as edited, only encoding it finds the vectors that differ; and
    # where no query finds a vector that is gone, only reading all of them does.
    recheck = ["--recheck"] if found.different_count or found.lost else []
    mending = printing.command_line("attach", shown_target(target), *recheck)
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
