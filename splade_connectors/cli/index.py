"""`splade-connectors index FILE TARGET`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from splade_connectors.cli import common

if TYPE_CHECKING:
    from splade_connectors.pipeline.report import IndexReport

_SHOWN = 10


def command(
    file: Annotated[
        str,
        typer.Argument(help="JSONL, CSV, TSV or Parquet (.gz allowed), or - for JSONL on stdin."),
    ],
    target: common.TargetArgument,
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
    prune_top_k: Annotated[
        int | None, typer.Option(min=1, help="Most terms of a document, the heaviest.")
    ] = None,
    prune_max_ratio: Annotated[
        float, typer.Option(help="Drop terms lighter than this share of the heaviest.")
    ] = 0.0,
    model: common.Model = None,
    backend: common.Backend = "onnx",
    batch_size: common.BatchSize = 64,
    threads: common.Threads = None,
    max_length: common.MaxLength = None,
    long_text: common.LongText = "truncate",
    username: common.Username = None,
    ca_certs: common.CaCerts = None,
    timeout: common.Timeout = 30.0,
    manifest: common.Manifest = None,
    override_manifest: common.OverrideManifest = False,
    json: common.Json = False,
) -> None:
    """Encode the rows of a file and write them to a store.

    The collection or index is created when it is absent; nothing is ever dropped. Rows that cannot
    be indexed are reported with line and reason, and the rest goes on (exit code 1).
    """
    from splade_connectors.errors import IndexingInterrupted
    from splade_connectors.options import PruneOptions, WriteOptions
    from splade_connectors.pipeline.readers import FileReader
    from splade_connectors.pipeline.report import IndexReport

    with FileReader(
        file,
        format=format,  # type: ignore[arg-type]  # an unknown one is refused there
        id_field=id_field,
        text_fields=text or (),
        dense_field=dense_field,
    ) as reader:
        encoder = common.make_encoder(
            model,
            backend,
            batch_size=batch_size,
            threads=threads,
            max_length=max_length,
            long_text=long_text,
        )
        with (
            common.open_store(
                target,
                encoder,
                username=username,
                ca_certs=ca_certs,
                timeout=timeout,
                manifest=manifest,
                override_manifest=override_manifest,
                prune=PruneOptions(top_k=prune_top_k, max_ratio=prune_max_ratio),
            ) as store,
            common.progress_bar("indexing", lambda: reader.fraction) as show,
        ):
            options = WriteOptions(text_fields=reader.text_fields)
            try:
                report = store.index(reader, options=options, on_progress=show)
            except IndexingInterrupted as stop:
                if json and isinstance(stop.report, IndexReport):
                    common.print_json(stop.report.to_json())
                raise
    if json:
        common.print_json(report.to_json())
    else:
        print_report(report, target)
    if report.rejected_count:
        raise typer.Exit(1)


def print_report(report: IndexReport, target: str) -> None:
    """What was written, what was not, and the next command."""
    screen = common.console()
    rate = report.written / report.seconds if report.seconds else 0.0
    terms = report.terms / report.written if report.written else 0.0
    screen.print(
        f"[bold]{report.written:,}[/bold] documents written in {report.seconds:.1f} s "
        f"({rate:.0f}/s), {terms:.0f} terms each"
    )
    notes = [
        (report.truncated, "longer than the model's maximum: their end is not encoded"),
        (report.windowed, "longer than the model's maximum: encoded in windows"),
        (report.empty, "without text: stored, never found"),
    ]
    for count, what in notes:
        if count:
            screen.print(f"  {count:,} {what}")
    _print_rejections(report)


def _print_rejections(report: IndexReport) -> None:
    if not report.rejected_count:
        return
    screen = common.console(stderr=True)
    screen.print(f"[bold]{report.rejected_count:,}[/bold] rejected:")
    for item in report.rejected[:_SHOWN]:
        where = f"line {item.line}" if item.line else "-"
        name = f" id {item.id!r}" if item.id is not None else ""
        screen.print(f"  {where}{name}: {item.reason}", markup=False)
    if report.rejected_count > _SHOWN:
        screen.print(f"  and {report.rejected_count - _SHOWN:,} more (--json lists up to 1,000)")
