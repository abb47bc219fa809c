"""`splade-connectors demo`: the whole journey on a sample collection, nothing to set up."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from splade_connectors.cli import common, parameters, printing, progress
from splade_connectors.errors import MissingDependency

if TYPE_CHECKING:
    from rich.console import Console

    from splade_connectors.encoders.base import SparseEncoder
    from splade_connectors.store import Store

SAMPLE = Path(__file__).parent.parent / "sample"
QUERIES = (
    "why does dough rise",
    "coffee keeps me awake",
    "saving money for emergencies",
)
_HITS = 3
_TERMS = 6


def command(
    path: Annotated[
        Path, typer.Option(help="Folder of the embedded store; kept, so that you can go on.")
    ] = Path("splade-demo"),
    json: parameters.Json = False,
) -> None:
    """Index a sample collection in an embedded store, search it, explain hits, measure quality."""
    from splade_connectors.encoders import load_encoder
    from splade_connectors.files.readers import FileReader
    from splade_connectors.options import WriteOptions

    screen = printing.console(stderr=json)
    encoder = load_encoder()
    with common.open_store(f"edge:{path}", encoder) as store:
        with (
            FileReader(SAMPLE / "corpus.jsonl") as reader,
            progress.progress_bar("indexing", lambda: reader.fraction) as show,
        ):
            options = WriteOptions(text_fields=reader.text_fields)
            report = store.index(reader, options=options, on_progress=show)
        screen.print(
            f"Indexed [bold]{report.written}[/bold] sample passages into edge:{path} in "
            f"{report.seconds:.1f} s.\nThe model {encoder.spec.model} gave each of them "
            f"{report.terms / report.written:.0f} terms.\n"
        )
        for query in QUERIES:
            show_query(screen, store, encoder, query)
        measures = _measures(store)
    if json:
        printing.print_json({"report": report.to_json(), "measures": measures})
    elif measures:
        shown = ", ".join(f"{name} [bold]{value:.4f}[/bold]" for name, value in measures.items())
        screen.print(f"Over the sample's judged queries: {shown}.")
    screen.print(f"\nNext: splade-connectors search edge:{path} 'your own words'")


def show_query(screen: Console, store: Store, encoder: SparseEncoder, query: str) -> None:
    """The best hits with the terms that brought them, and what the query expanded to."""
    from rich.markup import escape

    vector = encoder.encode_queries([query])[0]
    own = encoder.own_terms(query)
    order = vector.values.argsort()[::-1]
    added = [index for index in vector.indices[order].tolist() if index not in own]
    screen.print(f"[bold]> {escape(query)}[/bold]")
    screen.print(f"  the model adds: {escape(', '.join(encoder.tokens(added[:8])))}", style="dim")
    for rank, hit in enumerate(store.search(query, limit=_HITS), start=1):
        terms = store.explain(query, hit.id).terms[:_TERMS]
        shared = ", ".join(
            f"{term.token} {term.contribution:.1f}{'' if term.in_query else '+'}" for term in terms
        )
        title = escape(str(hit.payload["title"]))
        screen.print(f"  {rank}. {hit.score:6.2f}  [bold]{title}[/bold]")
        screen.print(f"             {escape(shared)}", style="dim")
    screen.print()


def _measures(store: Store) -> dict[str, float]:
    from splade_connectors.evaluate import evaluate, read_beir

    try:
        return evaluate(store, read_beir(SAMPLE)).measures
    except MissingDependency as error:
        printing.warn(str(error))
        return {}
