"""`splade-connectors encode FILE`, or `encode --query TEXT`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING, Annotated, Any

import typer

from splade_connectors.cli import common, parameters, printing, progress
from splade_connectors.errors import ConfigurationError
from splade_connectors.shown import counted

if TYPE_CHECKING:
    from splade_connectors.documents import Document, Rejected
    from splade_connectors.encoders.base import SparseEncoder
    from splade_connectors.files.readers import FileReader
    from splade_connectors.files.sources import FilesReader
    from splade_connectors.manifest import KeyStyle
    from splade_connectors.options import PruneOptions

EXAMPLES = (
    "encode --query 'why does dough rise'",
    "encode corpus.jsonl --output vectors.jsonl --payload",
)
_PORTION = 512


@dataclass(frozen=True, kw_only=True)
class Form:
    """The output format of rows.

    Attributes:
        ids: term ids instead of tokens.
        payload: include the rows' fields.
        json: one array instead of lines.
    """

    ids: bool
    payload: bool
    json: bool

    def row(self, document: Document, terms: dict[str, float], made_by: Any) -> dict[str, Any]:
        """Return one output row."""
        from splade_connectors.files.encoded import encoded_row

        return encoded_row(
            document.id, terms, made_by, dict(document.payload) if self.payload else None
        )


def command(
    files: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="FILE",
            show_default=False,
            help="JSON, CSV, TSV or Parquet files, compressed or not; folders; globs; - for stdin.",
        ),
    ] = None,
    *,
    query: Annotated[str | None, typer.Option(help="Encode this query instead.")] = None,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="Write to this file, not to stdout.")
    ] = None,
    ids: Annotated[bool, typer.Option("--ids", help="Write term ids instead of tokens.")] = False,
    payload: Annotated[
        bool,
        typer.Option("--payload", help="Include the rows' fields, to index them with the vectors."),
    ] = False,
    rows: parameters.Rows,
    model: parameters.ModelAlone,
    encode: parameters.Encoding,
    prune: parameters.Pruning,
    max_query_terms: Annotated[
        int | None,
        typer.Option(min=1, help="Maximum number of query terms, keeping the heaviest."),
    ] = None,
    json: parameters.Json = False,
) -> None:
    """Encode texts as sparse vectors.

    For files, writes one JSON object per line: {"id": …, "terms": {token: weight}, "made_by": …},
    or one array with --json; index reads either. For a query, prints a table of its terms.
    """
    from splade_connectors.files.outputs import check_outputs

    if (not files) == (query is None):
        raise ConfigurationError("pass either a FILE or --query TEXT")
    if query is not None and output:
        raise ConfigurationError("--output needs a FILE; the terms of a query go to stdout")
    check_outputs(output, inputs=map(Path, files or ()))
    if query is None and max_query_terms is not None:
        raise ConfigurationError("--max-query-terms needs --query; for a FILE use --prune-top-k")
    if query is not None and prune is not None:
        raise ConfigurationError("pruning needs a FILE; for a query use --max-query-terms")
    encoder = model.load(encode, queries_only=query is not None)
    if query is not None:
        _encode_query(encoder, query, max_query_terms, ids, json)
        return
    with (
        parameters.open_files(files or [], rows) as reader,
        common.written(output) as out,
        progress.progress_bar("encoding", lambda: reader.fraction) as show,
    ):
        form = Form(ids=ids, payload=payload, json=json)
        rejected = _encode_file(encoder, reader, out, form, show, prune)
    for item in rejected:
        where = f"{item.file}, " if item.file else ""
        printing.warn(f"{where}line {item.line}: {item.reason}")
    if rejected:
        raise typer.Exit(1)


def _encode_query(
    encoder: SparseEncoder, query: str, most: int | None, ids: bool, json: bool
) -> None:
    from splade_connectors.operations.many_terms import warn_of_many_terms
    from splade_connectors.options import PruneOptions

    whole = encoder.encode_queries([query])[0]
    vector = whole.prune(PruneOptions(top_k=most))
    warn_of_many_terms(encoder.spec.model, [vector], "a query")
    if json:
        printing.print_json({"query": query, "terms": common.terms(encoder, vector, ids=ids)})
        return
    from splade_connectors.cli.screen import Table

    own = encoder.own_terms(query)
    table = Table()
    table.column("term", style="bold")
    table.column("weight", number=True)
    order = vector.values.argsort()[::-1]
    for index, weight in zip(vector.indices[order], vector.values[order], strict=True):
        name = str(index) if ids else encoder.readable([int(index)])[0]
        table.row(name, f"{weight:.3f}{' ' if int(index) in own else '+'}")
    printing.print_table(table)
    of = counted(len(vector), "term") + (f" of {len(whole):,}" * (len(whole) > len(vector)))
    printing.say("{}; + marks terms that the model added to the text", of)
    if encoder.normalization:
        printing.say("spelling: {}", encoder.normalization)


def _encode_file(
    encoder: SparseEncoder,
    reader: FileReader | FilesReader,
    out: IO[str],
    form: Form,
    show: Any,
    prune: PruneOptions | None,
) -> list[Rejected]:
    from splade_connectors.documents import Document
    from splade_connectors.encoders.base import EncodeStats
    from splade_connectors.operations.encode import document_vectors
    from splade_connectors.options import Progress
    from splade_connectors.writing.chunks import portions

    if reader.made_by is not None:
        raise ConfigurationError("the input is already encoded; pass it to index")
    made_by = _made_by(encoder, reader, prune, form)
    rejected: list[Rejected] = []
    done = 0
    out.write("[" if form.json else "")
    for portion in portions(reader, _PORTION):
        documents = [row for row in portion if isinstance(row, Document)]
        rejected += [row for row in portion if not isinstance(row, Document)]
        vectors = document_vectors(encoder, documents, EncodeStats(), prune=prune)
        for document, vector in zip(documents, vectors, strict=True):
            record = form.row(document, common.terms(encoder, vector, ids=form.ids), made_by)
            line = printing.json_text(record, stream=out)
            out.write((",\n" if done else "") + line if form.json else f"{line}\n")
            done += 1
        show(Progress(done=done, rejected=len(rejected)))
    out.write("]\n" if form.json else "")
    return rejected


def _made_by(
    encoder: SparseEncoder,
    reader: FileReader | FilesReader,
    prune: PruneOptions | None,
    form: Form,
) -> dict[str, Any]:
    """The settings of the vectors; an index with other settings refuses them."""
    from splade_connectors.operations.session import manifest_of
    from splade_connectors.options import PruneOptions

    style: KeyStyle = "id" if form.ids else "token"
    prune = prune or PruneOptions()
    return manifest_of(encoder, prune, reader.text_fields, style).to_json()
