"""`splade-connectors make-query-weights MODEL --from TARGET|FILE -o DIR`."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Protocol

import typer

from splade_connectors.cli import common, parameters, printing, progress
from splade_connectors.cli.evaluate import shown_p
from splade_connectors.cli.groups import Flag, Group
from splade_connectors.errors import ConfigurationError
from splade_connectors.options import Progress, QueryWeightOptions, ReadOptions
from splade_connectors.shown import counted

if TYPE_CHECKING:
    from splade_connectors.encoders.base import SparseEncoder
    from splade_connectors.evaluate.data import Judged
    from splade_connectors.options import ConnectOptions
    from splade_connectors.store import Store
    from splade_connectors.train import QueryWeights
    from splade_connectors.train.loss import Searched
    from splade_connectors.train.query_weights import Measure

EXAMPLES = (
    "make-query-weights splade-tiny --from corpus.jsonl --output my-queries",
    "make-query-weights splade-tiny --from edge:articles --output my-fitted-queries --learn",
)

Finding = Annotated[
    QueryWeightOptions,
    Group(None, learn=Flag("--learn"), sample=Flag(minimum=1), query_words=Flag(minimum=1)),
]


def command(
    model: Annotated[str, typer.Argument(metavar="MODEL", help="Model folder or Hugging Face id.")],
    *,
    source: Annotated[
        str,
        typer.Option(
            "--from",
            metavar="TARGET|FILE",
            help="Collection: a target written with MODEL, or a JSONL, CSV, TSV or Parquet file.",
        ),
    ],
    output: Annotated[Path, typer.Option("--output", "-o", help="Folder to create.")],
    queries: Annotated[
        Path | None,
        typer.Option(help="With --learn: file of queries. Default: the first words of documents."),
    ] = None,
    beir: Annotated[
        Path | None,
        typer.Option(
            help="Measure the quality loss: folder with queries.jsonl, qrels/SPLIT.tsv and, if "
            "--from is a file, corpus.jsonl."
        ),
    ] = None,
    split: parameters.Split = "test",
    finding: Finding,
    rows: parameters.Rows,
    encode: parameters.Encoding,
    connection: parameters.Connection,
    json: parameters.Json = False,
) -> None:
    """Compute query weights, to search an index written with MODEL without inference.

    The weights are the collection's inverse document frequencies, or fitted to the model's own
    query results (--learn). Searching with the folder needs neither onnxruntime nor torch; MODEL
    still encodes the documents. --beir measures the loss in nDCG@10 against the model's queries.
    """
    from splade_connectors.encoders import load_encoder
    from splade_connectors.encoders.export.folder import refuse_what_is_there
    from splade_connectors.evaluate import read_beir
    from splade_connectors.train import make_query_weights

    refuse_what_is_there(output)
    if queries is not None and not finding.learn:
        raise ConfigurationError("--queries needs --learn, which fits the weights to them")
    asked = list(_texts_of(str(queries), ReadOptions())) if queries else ()
    judged = read_beir(beir, split) if beir else None
    encoder = load_encoder(model, options=encode)
    with _opened(source, encoder, rows, connection, beir) as collection:
        dataset = f"{beir.resolve().name}/{split}" if beir else ""
        made = make_query_weights(
            model,
            collection.encoder,
            _counted(collection.texts()),
            output,
            queries=asked,
            measure=_measuring(collection, judged, dataset) if judged else None,
            options=finding,
        )
    if json:
        printing.print_json({"folder": str(output)} | made.to_json())
    else:
        _print(made, output)


@contextmanager
def _opened(
    source: str,
    encoder: SparseEncoder,
    rows: ReadOptions,
    connection: ConnectOptions,
    beir: Path | None,
) -> Iterator[_Collection]:
    """Open the collection: a target if it looks like one and is not an existing file."""
    if ":" not in source or Path(source).exists():
        if beir and not (beir / "corpus.jsonl").is_file():
            raise ConfigurationError(
                f"{beir} has no corpus.jsonl, which --beir needs if --from is a file"
            )
        yield _File(source, encoder, rows, beir)
        return
    with common.open_store(source, connection, encoder=encoder) as store:
        # Fail before the work starts if another model wrote it.
        store.plan("a")
        manifest = store.inspect().manifest
        if manifest is not None:
            overlap = manifest.passage_overlap
            encoder = encoder.fitted(manifest.max_length, manifest.long_text, overlap)
        fields = rows.text_fields or (manifest.text_fields if manifest else ())
        if not fields:
            raise ConfigurationError(
                f"{source} does not record its text fields; name them with --text"
            )
        yield _Target(encoder, store, tuple(fields))


class _Collection(Protocol):
    """A source of texts."""

    encoder: SparseEncoder

    def texts(self) -> Iterator[str]:
        """Yield the text of every document."""

    def search(self, judged: Judged) -> Searched:
        """Return searches over the documents."""


@dataclass
class _File:
    """A file of documents; `beir` has the corpus to search."""

    file: str
    encoder: SparseEncoder
    rows: ReadOptions
    beir: Path | None

    def texts(self) -> Iterator[str]:
        """As `_Collection.texts`."""
        return _texts_of(self.file, self.rows)

    def search(self, judged: Judged) -> Searched:
        """As `_Collection.search`; encodes the corpus once."""
        from splade_connectors.train.loss import exact_search

        assert self.beir
        ids, texts = _documents(self.beir / "corpus.jsonl")
        with progress.progress_bar("encoding") as show:
            vectors = self.encoder.encode_documents(texts, on_progress=show)
        return exact_search(judged, ids, vectors, self.encoder.spec.vocabulary)


@dataclass
class _Target:
    """A collection or index that the model wrote."""

    encoder: SparseEncoder
    store: Store
    fields: tuple[str, ...]

    def texts(self) -> Iterator[str]:
        """As `_Collection.texts`."""
        from splade_connectors.payloads import text_of

        for document in self.store.export():
            yield text_of(document.payload, self.fields)

    def search(self, judged: Judged) -> Searched:
        """As `_Collection.search`; the server searches."""
        from splade_connectors.train.loss import store_search

        return store_search(judged, self.store)


def _measuring(collection: _Collection, judged: Judged, dataset: str) -> Measure:
    from splade_connectors.train.loss import measured

    return lambda own, made: measured(judged, dataset, own, made, collection.search(judged))


def _counted(texts: Iterator[str]) -> Iterator[str]:
    """Yield the texts while showing a progress bar."""
    with progress.progress_bar("counting") as show:
        for count, text in enumerate(texts, start=1):
            yield text
            show(Progress(done=count))


def _texts_of(file: str, rows: ReadOptions) -> Iterator[str]:
    """Yield the texts of a file; warn of rows that are not documents."""
    from splade_connectors.documents import Document

    passed_over = 0
    with parameters.open_files([file], rows) as reader:
        for row in reader:
            if isinstance(row, Document):
                yield row.text
            else:
                passed_over += 1
    if passed_over:
        rows_of = counted(passed_over, "row")
        printing.warn(f"{rows_of} of {file} skipped: not valid documents")


def _documents(corpus: Path) -> tuple[list[str], list[str]]:
    from splade_connectors.documents import Document

    with parameters.open_files([str(corpus)], ReadOptions()) as reader:
        documents = [row for row in reader if isinstance(row, Document)]
    return [str(document.id) for document in documents], [document.text for document in documents]


_HOW = {"idf": "", "learned": "fitted to the model's own query results, starting from "}


def _print(made: QueryWeights, output: Path) -> None:
    weights = counted(made.tokens, "query weight")
    printing.say("{}: {} for {}", output, weights, made.model)
    texts = counted(made.texts, "text")
    printing.say("{}inverse document frequencies of {}", _HOW[made.method], texts)
    if made.loss is None:
        printing.say("quality loss not measured: pass --beir FOLDER to measure it")
        return
    found = made.loss
    queries = counted(found.queries, "query", "queries")
    printing.say("nDCG@10 on {} ({}):", found.dataset, queries)
    printing.say("{:.4f}, with the model's own queries {:.4f}", found.made, found.own)
    printing.say("a loss of {:+.4f}, p {} ({})", found.loss, shown_p(found.p), found.test)
