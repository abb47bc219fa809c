"""`splade-connectors delete TARGET ID…`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from splade_connectors.cli import common, parameters, printing
from splade_connectors.errors import ConfigurationError
from splade_connectors.shown import listed, plural

EXAMPLES = (
    "delete edge:articles bread-gluten-kneading 42",
    "delete qdrant://localhost/articles --file gone.txt",
)


def command(
    target: parameters.TargetArgument,
    ids: Annotated[
        list[str] | None,
        typer.Argument(metavar="ID", help="Ids of the documents.", show_default=False),
    ] = None,
    *,
    file: Annotated[
        Path | None,
        typer.Option(
            help="Read ids from this file, one per line, plain or JSON (rows with an id); - for "
            "stdin.",
            rich_help_panel=parameters.INPUT,
        ),
    ] = None,
    connection: parameters.Connection,
    json: parameters.Json = False,
) -> None:
    """Delete whole documents by id; unknown ids are not an error.

    A number is looked up both as a number and as a string. To delete documents that are no longer
    in a source, see index --delete-missing; to remove only sparse vectors, see detach.
    """
    from splade_connectors.cli.ids import ids_in, meant

    if bool(ids) == (file is not None):
        raise ConfigurationError("give either ids or --file FILE")
    given = ids_in(file) if file is not None else list(ids or ())
    with common.open_store(target, connection) as store:
        found, absent = meant(store, given)
        store.delete(found)
    if json:
        printing.print_json({"deleted": len(found), "absent": absent})
        return
    printing.say("[bold]{:,}[/bold] {} deleted", len(found), plural(len(found), "document"))
    if absent:
        printing.say("  {:,} not found: {}", len(absent), listed(absent, most=10))
