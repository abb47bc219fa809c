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
    model: Annotated[str, typer.Argument(metavar="MODEL", help="Folder or Hugging Face id.")],
    *,
    source: Annotated[
        str,
        typer.Option(
            "--from",
            metavar="TARGET|FILE",
            help="The collection: a target that MODEL has written, or JSONL, CSV, TSV, Parquet.",
        ),
    ],
    output: Annotated[Path, typer.Option("--output", "-o", help="The folder to make.")],
    queries: Annotated[
        Path | None,
        typer.Option(help="With --learn: a file of queries. Default: beginnings of documents."),
    ] = None,
    beir: Annotated[
        Path | None,
        typer.Option(
            help="Measure the loss: a folder with queries.jsonl, qrels/SPLIT.tsv and, with a FILE, "
            "corpus.jsonl."
        ),
    ] = None,
    split: parameters.Split = "test",
    finding: Finding,
    rows: parameters.Rows,
    encode: parameters.Encoding,
    connection: parameters.Connection,
    json: parameters.Json = False,
) -> None:
    """Weights for queries without inference, to an index that MODEL has written.

    The weights are inverse document frequencies of the collection, or fitted to the model's own
    queries (--learn). Searching with the folder needs neither onnxruntime nor torch; documents are
    encoded by MODEL as before. --beir says what is lost: nDCG@10 against the model's own queries.
    """
    from splade_connectors.encoders import load_encoder
    from splade_connectors.encoders.export.folder import refuse_what_is_there
    from splade_connectors.evaluate import read_beir
    from splade_connectors.train import make_query_weights

    refuse_what_is_there(output)
    if queries is not None and not finding.learn:
        raise ConfigurationError("--queries are what weights are fitted to: they go with --learn")
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
    """The collection: of a target, if it looks like one and is not a file."""
    if ":" not in source or Path(source).exists():
        if beir and not (beir / "corpus.jsonl").is_file():
            raise ConfigurationError(
                f"{beir} has no corpus.jsonl: what weights of a file lose is measured on the "
                "documents there"
            )
        yield _File(source, encoder, rows, beir)
        return
    with common.open_store(source, connection, encoder=encoder) as store:
        # Before the work: whether this model has written it.
        store.plan("a")
        manifest = store.inspect().manifest
        if manifest is not None:
            overlap = manifest.passage_overlap
            encoder = encoder.fitted(manifest.max_length, manifest.long_text, overlap)
        fields = rows.text_fields or (manifest.text_fields if manifest else ())
        if not fields:
            raise ConfigurationError(
                f"{source} does not say which fields its texts are in: name them with --text"
            )
        yield _Target(encoder, store, tuple(fields))


class _Collection(Protocol):
    """Where the texts are."""

    encoder: SparseEncoder

    def texts(self) -> Iterator[str]:
        """Of every document."""

    def search(self, judged: Judged) -> Searched:
        """Searches over the documents."""


@dataclass
class _File:
    """A file of documents; `beir` has those that are searched."""

    file: str
    encoder: SparseEncoder
    rows: ReadOptions
    beir: Path | None

    def texts(self) -> Iterator[str]:
        """As `_Collection.texts`."""
        return _texts_of(self.file, self.rows)

    def search(self, judged: Judged) -> Searched:
        """As `_Collection.search`: the documents are encoded, once."""
        from splade_connectors.train.loss import exact_search

        assert self.beir
        ids, texts = _documents(self.beir / "corpus.jsonl")
        with progress.progress_bar("encoding") as show:
            vectors = self.encoder.encode_documents(texts, on_progress=show)
        return exact_search(judged, ids, vectors, self.encoder.spec.vocabulary)


@dataclass
class _Target:
    """A collection or index that the model has written."""

    encoder: SparseEncoder
    store: Store
    fields: tuple[str, ...]

    def texts(self) -> Iterator[str]:
        """As `_Collection.texts`."""
        from splade_connectors.payloads import text_of

        for document in self.store.export():
            yield text_of(document.payload, self.fields)

    def search(self, judged: Judged) -> Searched:
        """As `_Collection.search`: the server searches."""
        from splade_connectors.train.loss import store_search

        return store_search(judged, self.store)


def _measuring(collection: _Collection, judged: Judged, dataset: str) -> Measure:
    from splade_connectors.train.loss import measured

    return lambda own, made: measured(judged, dataset, own, made, collection.search(judged))


def _counted(texts: Iterator[str]) -> Iterator[str]:
    """The texts, with a bar that ends when they do."""
    with progress.progress_bar("counting") as show:
        for count, text in enumerate(texts, start=1):
            yield text
            show(Progress(done=count))


def _texts_of(file: str, rows: ReadOptions) -> Iterator[str]:
    """The texts of a file; rows that are not documents are warned of."""
    from splade_connectors.documents import Document

    passed_over = 0
    with parameters.open_files([file], rows) as reader:
        for row in reader:
            if isinstance(row, Document):
                yield row.text
            else:
                passed_over += 1
    if passed_over:
        printing.warn(f"{passed_over:,} rows of {file} are not documents: they do not count")


def _documents(corpus: Path) -> tuple[list[str], list[str]]:
    from splade_connectors.documents import Document

    with parameters.open_files([str(corpus)], ReadOptions()) as reader:
        documents = [row for row in reader if isinstance(row, Document)]
    return [str(document.id) for document in documents], [document.text for document in documents]


_HOW = {"idf": "", "learned": "fitted to what its own queries find, beginning with "}


def _print(made: QueryWeights, output: Path) -> None:
    printing.say("{}: {:,} weights for queries to {}", output, made.tokens, made.model)
    printing.say("{}inverse document frequencies of {:,} texts", _HOW[made.method], made.texts)
    if made.loss is None:
        printing.say("what is lost was not measured: --beir FOLDER measures it")
        return
    found = made.loss
    printing.say("nDCG@10 on {} ({:,} queries):", found.dataset, found.queries)
    printing.say("{:.4f}, with the model's own queries {:.4f}", found.made, found.own)
    printing.say("a loss of {:+.4f}, p {} ({})", found.loss, shown_p(found.p), found.test)
