"""`splade-connectors export TARGET`."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import IO, TYPE_CHECKING, Annotated, Any

import typer

from splade_connectors.cli import common, parameters, printing, progress
from splade_connectors.errors import ConfigurationError
from splade_connectors.shown import plural, quoted

if TYPE_CHECKING:
    from splade_connectors.documents import StoredDocument
    from splade_connectors.encoders.base import SparseEncoder
    from splade_connectors.store import Store

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
    id_field: Annotated[
        str | None, typer.Option(help="Name of the id field. Default: _id.")
    ] = None,
    model: parameters.Model,
    connection: parameters.Connection,
    json: parameters.Json = False,
) -> None:
    """Export every document as JSON, one per line; index reads it back.

    Each line has the id and the payload fields. With --vectors, each line has the form that encode
    writes: {"id": …, "terms": {token: weight}, "made_by": …, "payload": {…}}, and the dense vectors
    as "dense" (name: vector), so that index stores the same vectors again without encoding.
    --json prints one array instead of lines.
    """
    from splade_connectors.options import Progress

    if vectors and id_field:
        raise ConfigurationError(
            "--vectors writes the rows that encode writes, with the id as 'id'; omit --id-field"
        )
    common.check_outputs(output, connection=connection)
    encoder = model.load() if vectors else None
    count = 0
    with (
        common.open_store(target, connection, model, encoder=encoder) as store,
        common.written(output) as out,
        progress.progress_bar("exporting") as show,
    ):
        made_by = _made_by(store) if vectors else None
        out.write("[" if json else "")
        for document in store.export(with_vectors=vectors):
            row = (
                _encoded_row(document, made_by, encoder)
                if encoder
                else _row(document, id_field or "_id")
            )
            _write(out, printing.json_text(row, stream=out), json, first=not count)
            count += 1
            show(Progress(done=count))
        out.write("]\n" if json else "")
    if output:
        printing.say("[bold]{:,}[/bold] {} in {}", count, plural(count, "document"), output)


def _made_by(store: Store) -> dict[str, Any] | None:
    """The settings of the vectors, for `index`; None, with a warning, if they are unknown."""
    found = store.inspect()
    if found.manifest is not None:
        # Terms are named by token; a tuning belongs to the index, not to its vectors.
        return replace(found.manifest, key_style="token", tuning=None).to_json()
    if found.capabilities.exists:
        printing.warn(
            f"{found.location} has no manifest that says which model made its vectors, so index "
            "cannot read them back; run adopt first, or export without --vectors"
        )
    return None


def _encoded_row(
    document: StoredDocument, made_by: dict[str, Any] | None, encoder: SparseEncoder
) -> dict[str, Any]:
    from splade_connectors.files.encoded import exported_row

    vector = document.vector
    terms = None if vector is None else common.terms(encoder, vector)
    return exported_row(document.id, terms, made_by, document.dense, document.payload)


def _write(out: IO[str], line: str, json: bool, *, first: bool) -> None:
    out.write(("" if first else ",\n") + line if json else f"{line}\n")


def _row(document: StoredDocument, id_field: str) -> dict[str, Any]:
    if id_field in document.payload:
        raise ConfigurationError(
            f"document {quoted(document.id)} already has a field {quoted(id_field)}, which the "
            "export needs for the id; choose another one (--id-field)"
        )
    return {id_field: document.id, **document.payload}
