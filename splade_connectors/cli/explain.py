"""`splade-connectors explain TARGET QUERY ID`."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import typer

from splade_connectors.cli import common, hybrid, parameters, printing
from splade_connectors.cli.groups import Flag, Group
from splade_connectors.errors import NotFound
from splade_connectors.options import SearchOptions
from splade_connectors.shown import counted, quoted

if TYPE_CHECKING:
    from splade_connectors.documents import DocumentId, Explanation, HybridExplanation

T = TypeVar("T")

EXAMPLES = (
    "explain edge:articles 'why does dough rise' bread-gluten-kneading",
    "explain qdrant://localhost/articles 'why does dough rise' 42 --text-field body",
)

Explaining = Annotated[SearchOptions, Group(None, max_query_terms=Flag(minimum=1))]


def command(
    target: parameters.TargetArgument,
    query: Annotated[str, typer.Argument(metavar="QUERY", help="Text that was searched for.")],
    id: Annotated[str, typer.Argument(metavar="ID", help="Id of the document.")],
    *,
    options: Explaining,
    fusion: hybrid.FusionOption = None,
    legs: parameters.Legs,
    model: parameters.Model,
    connection: parameters.Connection,
    json: parameters.Json = False,
) -> None:
    """Explain a document's score: each shared term, its weights and its contribution.

    With several legs: the contribution of each, and the terms of the sparse one.
    """
    several = hybrid.fusing(fusion, legs)
    most = options.max_query_terms
    used = legs.encoded_by(model)
    with common.open_store(target, connection, used, queries_only=True) as store:
        if several:
            several |= {"max_query_terms": most}
            whole = _of(id, lambda given: store.explain_hybrid(query, given, **several))
            printing.print_json(legs_as_json(whole)) if json else print_legs(whole)
            return
        explanation = _of(id, lambda given: store.explain(query, given, max_query_terms=most))
    if json:
        printing.print_json(as_json(explanation))
    else:
        print_explanation(explanation)


def _of(id: str, explain: Callable[[DocumentId], T]) -> T:
    """Try the id as a string, then as an integer: a command line cannot tell them apart."""
    try:
        return explain(id)
    except NotFound:
        if not id.removeprefix("-").isdecimal():
            raise
        return explain(int(id))


def legs_as_json(whole: HybridExplanation) -> dict[str, Any]:
    """Return the explanation as a JSON object."""
    return {
        "id": whole.id,
        "query": whole.query,
        "score": whole.score,
        "legs": [
            {
                "leg": part.leg,
                "rank": part.rank,
                "score": part.score,
                "contribution": part.contribution,
            }
            for part in whole.legs
        ],
        "sparse": None if whole.sparse is None else as_json(whole.sparse),
        "terms": {name: as_json(found) for name, found in whole.terms.items()},
    }


def print_legs(whole: HybridExplanation) -> None:
    """Print a table of the legs, and one of the sparse leg's terms."""
    from splade_connectors.cli.screen import Table

    table = Table()
    table.column("leg", style="bold")
    for name in ("rank", "score", "adds"):
        table.column(name, number=True)
    for part in whole.legs:
        score = "-" if part.score is None else f"{part.score:.4f}"
        rank = "-" if part.rank is None else part.rank
        table.row(part.leg, rank, score, f"{part.contribution:.5f}")
    printing.print_table(table)
    printing.say("fused score {:.5f}", whole.score)
    for name, found in whole.terms.items():
        if len(whole.terms) > 1:
            printing.say("\n[bold]{}[/bold]: score {:.4f}", name, found.score)
        print_explanation(found)


def as_json(explanation: Explanation) -> dict[str, Any]:
    """Return the explanation as a JSON object."""
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
    """Print a table of terms; those that the model added are marked with +."""
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
        "score {:.4f}: {} of {} in the query and {} in document {}; + marks terms that the "
        "model added to the text",
        explanation.score,
        counted(len(explanation.terms), "shared term"),
        explanation.query_terms,
        explanation.document_terms,
        quoted(explanation.id),
    )


def _mark(own: bool) -> str:
    return " " if own else "+"
