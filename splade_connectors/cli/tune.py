"""`splade-connectors tune TARGET --beir DIR`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from splade_connectors.cli import common, hybrid, parameters, printing, progress
from splade_connectors.cli.evaluate import shown_p, warn_of_gaps
from splade_connectors.errors import ConfigurationError

if TYPE_CHECKING:
    from splade_connectors.evaluate.study import Study
    from splade_connectors.options import ConnectOptions

EXAMPLES = (
    "tune opensearch://localhost/articles --beir scifact --text-field text --save",
    "tune opensearch://localhost/articles --forget",
)


def command(
    target: parameters.TargetArgument,
    *,
    beir: Annotated[
        Path | None,
        typer.Option(help="Folder with queries.jsonl and qrels/SPLIT.tsv.", show_default=False),
    ] = None,
    split: parameters.Split = "test",
    folds: Annotated[int, typer.Option(help="Number of folds, each held out once.")] = 2,
    seed: Annotated[int, typer.Option(help="Random seed for the fold split.")] = 0,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="Write the tuning to this JSON file.")
    ] = None,
    report: Annotated[Path | None, typer.Option(help="Write a report to this HTML file.")] = None,
    save: Annotated[
        bool,
        typer.Option("--save", help="Save it in the index: searches with these legs use it."),
    ] = False,
    forget: Annotated[
        bool, typer.Option("--forget", help="Only remove the saved tuning; tune nothing.")
    ] = False,
    legs: parameters.JudgedLegs,
    model: parameters.Model,
    connection: parameters.Connection,
    json: parameters.Json = False,
) -> None:
    """Tune weights, scales and candidate window of a fusion on judged queries.

    Settings chosen on some of the queries are measured on the held-out ones, and recommended,
    saved or written only if they beat every single leg there. Needs at least 20 judged queries and
    a second leg.
    """
    from splade_connectors.evaluate import read_beir, tune
    from splade_connectors.evaluate.data import beir_files
    from splade_connectors.evaluate.html_report import render
    from splade_connectors.evaluate.study import write_tuning
    from splade_connectors.files.outputs import write_text

    if forget:
        if save or output or report:
            raise ConfigurationError(
                "--forget only removes a saved tuning; omit --save, --output and --report"
            )
        _forget(target, connection, json)
        return
    if beir is None:
        raise ConfigurationError("tune needs judged queries; pass --beir FOLDER (or --forget)")
    read = [*beir_files(beir, split), legs.dense_vectors]
    common.check_outputs(output, report, connection=connection, inputs=read)
    judged = read_beir(beir, split)
    made = hybrid.judged_legs(legs, judged)
    if len(made) == 1:
        raise ConfigurationError(
            "a single leg cannot be fused; add --dense-model, --dense-vectors or --text-field"
        )
    with (
        common.open_store(target, connection, model, queries_only=True) as store,
        progress.progress_bar("searching") as show,
    ):
        study = tune(
            store,
            judged,
            made,
            folds=folds,
            seed=seed,
            dataset=f"{beir.resolve().name}/{split}",
            save=save,
            on_progress=show,
        )
    if output and study.tuning.is_better:
        write_tuning(study.tuning, output)
    if report:
        write_text(report, render(study))
    for warning in study.warnings:
        printing.warn(warning)
    if json:
        better = study.tuning.is_better
        more = {"recommended": better, "saved": save and better}
        printing.print_json(study.tuning.to_json() | more)
    else:
        print_study(study, saved=save)


def _forget(target: str, connection: ConnectOptions, json: bool) -> None:
    with common.open_store(target, connection) as store:
        # Read it raw: an unusable tuning can be removed too.
        manifest = store.inspect().manifest
        found = manifest.tuning if manifest else None
        if found is not None:
            store.save_tuning(None)
    if json:
        printing.print_json({"removed": found})
    elif found is None:
        printing.say("The index has no saved tuning.")
    else:
        printing.say("Removed the saved tuning: {}", found.get("fusion"))


def print_study(study: Study, *, saved: bool = False) -> None:
    """Print the results on held-out queries, and the settings chosen."""
    from splade_connectors.cli.screen import Table
    from splade_connectors.evaluate.significance import TEST

    table = Table()
    table.column(style="bold")
    table.column("fusion")
    for name in ("nDCG@10", "difference", "p"):
        table.column(name, number=True)
    for result in study.results:
        table.row(
            result.name + (", tuned" if result.tuned else ""),
            result.fusion,
            f"{result.ndcg:.4f}",
            "" if result.p is None else f"{result.difference:+.4f}",
            "" if result.p is None else shown_p(result.p),
        )
    tuning = study.tuning
    printing.print_table(table)
    printing.say(
        "[dim]nDCG@10 on held-out queries ({:,} in {} folds); difference from {} and its p-value "
        "({})[/dim]",
        tuning.queries,
        tuning.folds,
        study.best_leg,
        TEST,
    )
    if not tuning.is_better:
        warn_of_gaps(study)
        return
    more = [f"--candidates {tuning.candidates}"]
    if tuning.max_query_terms is not None:
        more.append(f"--max-query-terms {tuning.max_query_terms}")
    printing.say("\nUse it: --fusion {} {}", tuning.fusion, " ".join(more))
    if saved:
        legs = ", ".join(tuning.legs)
        printing.say("Saved: searches with the legs {} use it unless they name a fusion.", legs)
    warn_of_gaps(study)
