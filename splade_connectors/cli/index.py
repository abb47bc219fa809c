"""`splade-connectors index FILE TARGET`."""

from __future__ import annotations

from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from splade_connectors.cli import common, parameters, printing, progress
from splade_connectors.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from splade_connectors.files.dead_letters import Letters
    from splade_connectors.files.readers import FileReader
    from splade_connectors.store import Store
    from splade_connectors.writing.report import IndexReport


def command(
    file: Annotated[
        str,
        typer.Argument(help="JSONL, CSV, TSV or Parquet (.gz allowed), or - for JSONL on stdin."),
    ],
    target: parameters.TargetArgument,
    text: Annotated[
        list[str] | None,
        typer.Option("--text", help="Text field; several are joined. Default: title and text."),
    ] = None,
    id_field: Annotated[str | None, typer.Option(help="Id field. Default: _id or id.")] = None,
    dense_field: Annotated[
        str | None, typer.Option(help="Field with a dense vector, stored as one.")
    ] = None,
    format: Annotated[
        str | None, typer.Option(help="jsonl, csv, tsv or parquet. Default: by the file's name.")
    ] = None,
    from_dead_letters: Annotated[
        bool,
        typer.Option("--from-dead-letters", help="FILE holds dead letters: try them again."),
    ] = False,
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
    """Encode the rows of a file and write them to a store.

    The collection or index is created when it is absent; nothing is ever dropped. Rows that cannot
    be indexed are reported with line and reason, and the rest goes on (exit code 1). Ctrl-C waits
    for what is in flight; the same command again completes the index.
    """
    from splade_connectors.errors import IndexingInterrupted
    from splade_connectors.files.outputs import check_outputs
    from splade_connectors.options import WriteOptions
    from splade_connectors.writing.report import IndexReport

    read = [Path(file), *([Path(manifest)] if manifest else [])]
    check_outputs(dead_letters, inputs=read)
    with _reader(file, format, id_field, text, dense_field, from_dead_letters) as reader:
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
        with (
            common.open_store(
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
            ) as store,
            common.dead_letters(dead_letters, bodies) as letters,
            progress.showing("indexing", log_json, lambda: reader.fraction) as show,
        ):
            fields = reader.text_fields or _stored_fields(store)
            options = WriteOptions(text_fields=fields)
            try:
                report = store.index(
                    reader, options=options, on_progress=show, dead_letters=letters
                )
            except IndexingInterrupted as stop:
                if json and isinstance(stop.report, IndexReport):
                    printing.print_json(stop.report.to_json())
                raise
    if log_json:
        progress.log_json("report", **report.to_json())
    if json:
        printing.print_json(report.to_json())
    else:
        print_report(report)
        printing.print_rejections(report.rejected, report.rejected_count, letters)
        printing.print_again(letters, target)
    if report.rejected_count:
        raise typer.Exit(1)


@contextmanager
def _reader(
    file: str,
    format: str | None,
    id_field: str | None,
    text: list[str] | None,
    dense_field: str | None,
    from_dead_letters: bool,
) -> Iterator[FileReader | Letters]:
    from splade_connectors.files.dead_letters import Letters
    from splade_connectors.files.readers import FileReader

    if from_dead_letters:
        if any((format, id_field, text, dense_field)):
            raise ConfigurationError(
                "dead letters know their fields: leave --format, --id-field, --text and "
                "--dense-field away"
            )
        yield Letters(file)
        return
    with FileReader(
        file,
        format=format,  # type: ignore[arg-type]  # an unknown one is refused there
        id_field=id_field,
        text_fields=text or (),
        dense_field=dense_field,
    ) as reader:
        yield reader


def _stored_fields(store: Store) -> tuple[str, ...]:
    """The text fields of the index that the letters are for."""
    stored = store.inspect().manifest
    return stored.text_fields if stored else ("text",)


def print_report(report: IndexReport) -> None:
    """What was written, and what to know of it."""
    rate = report.written / report.seconds if report.seconds else 0.0
    terms = report.terms / report.written if report.written else 0.0
    printing.say(
        "[bold]{:,}[/bold] documents written in {:.1f} s ({:.0f}/s), {:.0f} terms each",
        report.written,
        report.seconds,
        rate,
        terms,
    )
    notes = [
        (report.truncated, "longer than the model's maximum: their end is not encoded"),
        (report.split, "longer than the model's maximum: encoded in passages"),
        (report.empty, "without text: stored, never found"),
        (report.retries, "requests sent again, because the server was away or too busy"),
    ]
    for count, what in notes:
        if count:
            printing.say("  {:,} {}", count, what)
