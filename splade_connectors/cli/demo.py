"""`splade-connectors demo`: everything on a sample collection, with nothing to set up."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from splade_connectors.cli import parameters, printing, progress
from splade_connectors.errors import MissingDependency

if TYPE_CHECKING:
    from collections.abc import Callable

    from splade_connectors.encoders.base import SparseEncoder
    from splade_connectors.store import Store

EXAMPLES = (
    "demo",
    "demo --path another-folder --json",
)
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
        Path, typer.Option(help="Folder of the embedded store; kept for further searches.")
    ] = Path("splade-demo"),
    json: parameters.Json = False,
) -> None:
    """Index a sample collection in an embedded store, search it, explain hits, measure quality."""
    from splade_connectors.encoders import load_encoder
    from splade_connectors.files.readers import FileReader
    from splade_connectors.opening import connect
    from splade_connectors.options import WriteOptions

    say = partial(printing.say, stderr=json)
    encoder = load_encoder()
    with connect(f"edge:{path}", encoder=encoder) as store:
        with (
            FileReader(SAMPLE / "corpus.jsonl") as reader,
            progress.progress_bar("indexing", lambda: reader.fraction) as show,
        ):
            options = WriteOptions(text_fields=reader.text_fields)
            report = store.index(reader, options=options, on_progress=show)
        say(
            "Indexed [bold]{}[/bold] sample passages into edge:{} in {:.1f} s.\n"
            "The model {} gave each of them {:.0f} terms.\n",
            report.written,
            path,
            report.seconds,
            encoder.spec.model,
            report.terms / report.written,
        )
        for query in QUERIES:
            show_query(say, store, encoder, query)
        measures = _measures(store)
    if json:
        printing.print_json({"report": report.to_json(), "measures": measures})
    elif measures:
        names = ", ".join(f"{name} [bold]{{:.4f}}[/bold]" for name in measures)
        say(f"Over the sample's judged queries: {names}.", *measures.values())
    say("\nNext: {}", printing.search_line(f"edge:{path}"), wrap=False)


def show_query(say: Callable[..., None], store: Store, encoder: SparseEncoder, query: str) -> None:
    """Print the best hits with their matching terms, and the terms that expand the query."""
    vector = encoder.encode_queries([query])[0]
    own = encoder.own_terms(query)
    order = vector.values.argsort()[::-1]
    added = [index for index in vector.indices[order].tolist() if index not in own]
    say("[bold]> {}[/bold]", query)
    say("[dim]  the model adds: {}[/dim]", ", ".join(encoder.readable(added[:8])))
    for rank, hit in enumerate(store.search(query, limit=_HITS), start=1):
        terms = store.explain(query, hit.id).terms[:_TERMS]
        shared = ", ".join(
            f"{term.text} {term.contribution:.1f}{'' if term.in_query else '+'}" for term in terms
        )
        say("  {}. {:6.2f}  [bold]{}[/bold]", rank, hit.score, hit.payload["title"])
        say("[dim]             {}[/dim]", shared)
    say("")


def _measures(store: Store) -> dict[str, float]:
    from splade_connectors.evaluate import evaluate, read_beir

    try:
        return evaluate(store, read_beir(SAMPLE)).measures
    except MissingDependency as error:
        printing.warn(str(error))
        return {}
