"""`splade-connectors explain TARGET QUERY ID`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from splade_connectors.cli import common, parameters, printing
from splade_connectors.cli.groups import Flag, Group
from splade_connectors.errors import NotFound
from splade_connectors.options import SearchOptions
from splade_connectors.shown import quoted

if TYPE_CHECKING:
    from splade_connectors.documents import Explanation
    from splade_connectors.store import Store

EXAMPLES = (
    "explain edge:articles 'why does dough rise' bread-gluten-kneading",
    "explain qdrant://localhost/articles 'why does dough rise' 42 --json",
)

Explaining = Annotated[SearchOptions, Group(None, max_query_terms=Flag(minimum=1))]


def command(
    target: parameters.TargetArgument,
    query: Annotated[str, typer.Argument(help="The text that was searched for.")],
    id: Annotated[str, typer.Argument(metavar="ID", help="The document's id.")],
    *,
    options: Explaining,
    model: parameters.Model,
    connection: parameters.Connection,
    json: parameters.Json = False,
) -> None:
    """Why a document has its score: each shared term, its weights, and what it adds."""
    with common.open_store(target, connection, model, queries_only=True) as store:
        explanation = _explain(store, query, id, options.max_query_terms)
    if json:
        printing.print_json(as_json(explanation))
    else:
        print_explanation(explanation)


def _explain(store: Store, query: str, id: str, most: int | None) -> Explanation:
    """Integer ids look like text on a command line: both are tried."""
    try:
        return store.explain(query, id, max_query_terms=most)
    except NotFound:
        if not id.removeprefix("-").isdecimal():
            raise
        return store.explain(query, int(id), max_query_terms=most)


def as_json(explanation: Explanation) -> dict[str, Any]:
    """A JSON object."""
    return {
        "id": explanation.id,
        "query": explanation.query,
        "score": explanation.score,
        "query_terms": explanation.query_terms,
        "document_terms": explanation.document_terms,
        "terms": [
            {
                "token": term.token,
                "text": term.text,
                "query_weight": term.query_weight,
                "document_weight": term.document_weight,
                "contribution": term.contribution,
                "in_query": term.in_query,
                "in_document": term.in_document,
            }
            for term in explanation.terms
        ],
    }


def print_explanation(explanation: Explanation) -> None:
    """A table of terms; those that the model added are marked with +."""
    from splade_connectors.cli.screen import Table

    table = Table()
    table.column("term", style="bold")
    for name in ("query", "document", "adds", "share"):
        table.column(name, number=True)
    for term in explanation.terms:
        share = term.contribution / explanation.score
        table.row(
            term.text,
            f"{term.query_weight:.3f}{_mark(term.in_query)}",
            f"{term.document_weight:.3f}{_mark(term.in_document)}",
            f"{term.contribution:.3f}",
            f"{share:.0%}",
        )
    if explanation.terms:
        printing.print_table(table)
    printing.say(
        "score {:.4f}: {} terms shared of {} in the query and {} in document {}; + is a term that "
        "the text does not have, the model added it",
        explanation.score,
        len(explanation.terms),
        explanation.query_terms,
        explanation.document_terms,
        quoted(explanation.id),
    )


def _mark(own: bool) -> str:
    return " " if own else "+"
