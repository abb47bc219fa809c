"""`splade-connectors verify TARGET`."""

from __future__ import annotations

from typing import Annotated

import typer

from splade_connectors.cli import common, parameters, printing, progress
from splade_connectors.cli.attach import print_remedy, print_verification

EXAMPLES = (
    "verify edge:articles --sample 20",
    "verify elasticsearch://localhost/articles --all",
)


def command(
    target: parameters.TargetArgument,
    *,
    sample: Annotated[int, typer.Option(min=1, help="Number of random documents to check.")] = 100,
    everything: Annotated[
        bool,
        typer.Option(
            "--all",
            help="Check every document: by the hash of its text if stored, else by encoding it.",
        ),
    ] = False,
    recheck: Annotated[
        bool, typer.Option("--recheck", help="Check every document by encoding its text.")
    ] = False,
    model: parameters.Model,
    prune: parameters.Pruning,
    connection: parameters.Connection,
    json: parameters.Json = False,
) -> None:
    """Compare stored vectors with fresh encodings of the stored texts.

    Exits with code 1 if a document lacks its vector or has a different one.
    """
    with (
        common.open_store(target, connection, model, prune=prune) as store,
        progress.progress_bar("verifying") as show,
    ):
        found = store.verify(
            sample=sample, everything=everything, recheck=recheck, on_progress=show
        )
    if json:
        printing.print_json(found.to_json())
    else:
        print_verification(found)
        print_remedy(found, target, model.model)
    if not found.complete:
        raise typer.Exit(1)
