"""`splade-connectors export TARGET`."""

from __future__ import annotations

from pathlib import Path
from typing import IO, TYPE_CHECKING, Annotated, Any

import typer

from splade_connectors.cli import common, parameters, printing, progress
from splade_connectors.errors import ConfigurationError
from splade_connectors.shown import plural, quoted

if TYPE_CHECKING:
    from splade_connectors.documents import StoredDocument
    from splade_connectors.encoders.base import SparseEncoder

EXAMPLES = (
    "export edge:articles --output articles.jsonl",
    "export qdrant://localhost/articles --vectors",
)


def command(
    target: parameters.TargetArgument,
    *,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="Write to this file, not to stdout.")
    ] = None,
    vectors: Annotated[
        bool, typer.Option("--vectors", help="Include sparse and dense vectors.")
    ] = False,
    id_field: Annotated[str, typer.Option(help="Name of the id field.")] = "_id",
    model: parameters.Model,
    connection: parameters.Connection,
    json: parameters.Json = False,
) -> None:
    """Export every document as JSON, one per line; index reads it back.

    Each line has the id and the payload fields; with --vectors, also the sparse vector as "terms"
    (token: weight, as written by encode) and the dense vector as "dense" (several: by name).
    --json prints one array instead of lines.
    """
    from splade_connectors.options import Progress

    common.check_outputs(output, connection=connection)
    encoder = model.load() if vectors else None
    count = 0
    with (
        common.open_store(target, connection, model, encoder=encoder) as store,
        common.written(output) as out,
        progress.progress_bar("exporting") as show,
    ):
        out.write("[" if json else "")
        for document in store.export(with_vectors=vectors):
            line = printing.json_text(_row(document, id_field, encoder), stream=out)
            _write(out, line, json, first=not count)
            count += 1
            show(Progress(done=count))
        out.write("]\n" if json else "")
    if output:
        printing.say("[bold]{:,}[/bold] {} in {}", count, plural(count, "document"), output)


def _write(out: IO[str], line: str, json: bool, *, first: bool) -> None:
    out.write(("" if first else ",\n") + line if json else f"{line}\n")


def _row(document: StoredDocument, id_field: str, encoder: SparseEncoder | None) -> dict[str, Any]:
    ours: dict[str, Any] = {id_field: document.id}
    if encoder and document.vector is not None:
        ours["terms"] = common.terms(encoder, document.vector)
    if document.dense:
        alone = len(document.dense) == 1
        ours["dense"] = next(iter(document.dense.values())) if alone else dict(document.dense)
    taken = ours.keys() & document.payload.keys()
    if taken:
        raise ConfigurationError(
            f"document {quoted(document.id)} already has a field {quoted(min(taken))}, which the "
            "export needs; choose another id field (--id-field) or omit --vectors"
        )
    return {**ours, **document.payload}
