"""`splade-connectors tune TARGET --beir DIR`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from splade_connectors.cli import common, hybrid, parameters, printing, progress
from splade_connectors.cli.evaluate import shown_p, warn_of_gaps
from splade_connectors.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from splade_connectors.evaluate.study import Study


def command(
    target: parameters.TargetArgument,
    beir: Annotated[
        Path | None,
        typer.Option(help="Folder with queries.jsonl and qrels/SPLIT.tsv.", show_default=False),
    ] = None,
    split: Annotated[str, typer.Option(help="Which judgements.")] = "test",
    dense_model: parameters.DenseModel = None,
    dense_vectors: Annotated[
        Path | None,
        typer.Option(help="The queries' dense vectors instead: .npz with ids and vectors."),
    ] = None,
    dense_field: parameters.DenseField = None,
    text_field: parameters.TextFields = None,
    folds: Annotated[int, typer.Option(help="Parts of the queries; each is held out once.")] = 2,
    seed: Annotated[int, typer.Option(help="Of the dealing into folds.")] = 0,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="Write the tuning here, as JSON.")
    ] = None,
    report: Annotated[
        Path | None, typer.Option(help="Write a report here, as one HTML file.")
    ] = None,
    save: Annotated[
        bool, typer.Option("--save", help="Keep it with the index: searches of these legs use it.")
    ] = False,
    forget: Annotated[
        bool, typer.Option("--forget", help="Only remove what --save has kept; nothing is tuned.")
    ] = False,
    model: parameters.Model = None,
    engine: parameters.Engine = None,
    precision: parameters.Precision = "auto",
    username: parameters.Username = None,
    ca_certs: parameters.CaCerts = None,
    client_cert: parameters.ClientCert = None,
    client_key: parameters.ClientKey = None,
    timeout: parameters.Timeout = 30.0,
    manifest: parameters.Manifest = None,
    override_manifest: parameters.OverrideManifest = False,
    json: parameters.Json = False,
) -> None:
    """Find weights, scales and windows of a fusion from judged queries.

    What is chosen on some of the queries is measured on the others. Needs at least 20 judged
    queries, and a second leg.
    """
    from splade_connectors.evaluate import QueryVectors, read_beir, tune
    from splade_connectors.evaluate.data import beir_files
    from splade_connectors.evaluate.html_report import render
    from splade_connectors.evaluate.study import write_tuning
    from splade_connectors.files.outputs import check_outputs, write_text

    place: dict[str, Any] = {
        "username": username,
        "ca_certs": ca_certs,
        "client_cert": client_cert,
        "client_key": client_key,
        "timeout": timeout,
        "manifest": manifest,
        "override_manifest": override_manifest,
    }
    if forget:
        if save or output or report:
            raise ConfigurationError(
                "--forget only removes what is kept: it goes without --save, --output and --report"
            )
        _forget(target, place, json)
        return
    if beir is None:
        raise ConfigurationError("tune needs judged queries: --beir FOLDER (or --forget)")
    read = [*beir_files(beir, split), dense_vectors, Path(manifest) if manifest else None]
    check_outputs(output, report, inputs=read)
    judged = read_beir(beir, split)
    if dense_model and dense_vectors:
        raise ConfigurationError("give either --dense-model or --dense-vectors")
    dense = QueryVectors(dense_vectors, judged) if dense_vectors else None
    legs = hybrid.make_legs(
        dense or hybrid.dense_encoder(dense_model), text_field, dense_field=dense_field
    )
    if len(legs) == 1:
        raise ConfigurationError(
            "there is one leg, so nothing to fuse: add --dense-model, --dense-vectors or "
            "--text-field"
        )
    encoder = common.make_encoder(model, engine, precision)
    with (
        common.open_store(target, encoder, **place) as store,
        progress.progress_bar("searching") as show,
    ):
        name = beir.resolve().name
        study = tune(
            store,
            judged,
            legs,
            folds=folds,
            seed=seed,
            dataset=f"{name}/{split}",
            save=save,
            on_progress=show,
        )
    if output:
        write_tuning(study.tuning, output)
    if report:
        write_text(report, render(study))
    for warning in study.warnings:
        printing.warn(warning)
    if json:
        printing.print_json(study.tuning.to_json())
    else:
        print_study(study, saved=save)


def _forget(target: str, place: Mapping[str, Any], json: bool) -> None:
    with common.open_store(target, **place) as store:
        # As it lies there: what cannot be used can be removed too.
        manifest = store.inspect().manifest
        found = manifest.tuning if manifest else None
        if found is not None:
            store.save_tuning(None)
    if json:
        printing.print_json({"removed": found})
    elif found is None:
        printing.say("The index keeps no tuning.")
    else:
        printing.say("Removed: {}", found.get("fusion"))


def print_study(study: Study, *, saved: bool = False) -> None:
    """The results on held-out queries, and what was chosen."""
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
        "[dim]nDCG@10 on held-out queries ({:,} in {} folds); difference to {} and its p value "
        "({})[/dim]",
        tuning.queries,
        tuning.folds,
        study.best_leg,
        TEST,
    )
    more = [f"--candidates {tuning.candidates}"]
    if tuning.max_query_terms is not None:
        more.append(f"--max-query-terms {tuning.max_query_terms}")
    printing.say("\nUse it: --fusion {} {}", tuning.fusion, " ".join(more))
    if saved:
        legs = ", ".join(tuning.legs)
        printing.say("Saved: searches by {} that name no fusion use it.", legs)
    warn_of_gaps(study)
