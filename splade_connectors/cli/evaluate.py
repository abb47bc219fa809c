"""`splade-connectors evaluate TARGET --beir DIR`."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from splade_connectors.cli import common, hybrid, parameters, printing, progress
from splade_connectors.errors import ConfigurationError
from splade_connectors.shown import counted

if TYPE_CHECKING:
    from splade_connectors.evaluate.compare import Comparison
    from splade_connectors.evaluate.data import Judged
    from splade_connectors.evaluate.run import Evaluation
    from splade_connectors.evaluate.study import Study
    from splade_connectors.fusion.legs import Leg
    from splade_connectors.fusion.spec import Fusion
    from splade_connectors.options import OnProgress
    from splade_connectors.store import Store

EXAMPLES = (
    "evaluate edge:articles --beir .",
    "evaluate opensearch://localhost/articles --beir scifact --text-field text",
)


def command(
    target: parameters.TargetArgument,
    *,
    beir: Annotated[Path, typer.Option(help="Folder with queries.jsonl and qrels/SPLIT.tsv.")],
    split: parameters.Split = "test",
    run_file: Annotated[
        Path | None,
        typer.Option(
            help="Write the ranking to this TREC run file; with several rows, one file per row: "
            "OUT.trec becomes OUT.NAME.trec."
        ),
    ] = None,
    fusion: Annotated[
        list[str] | None,
        typer.Option(
            help=f"Compare this fusion; may be repeated: {hybrid.FUSION_HELP}.",
            rich_help_panel=parameters.HYBRID,
        ),
    ] = None,
    legs: parameters.JudgedLegs,
    model: parameters.Model,
    connection: parameters.Connection,
    json: parameters.Json = False,
) -> None:
    """Measure nDCG@10, recall@100 and MRR@10 on judged queries in BEIR layout.

    With a second leg, prints a table of each leg alone and each fusion, with latency and the
    p-value of the difference from the best leg. Without --fusion, compares rrf and the tuning that
    `tune --save` stored for these legs. A dense model encodes all queries beforehand; latencies
    exclude its time.
    """
    from splade_connectors.evaluate import evaluate, read_beir, write_run
    from splade_connectors.evaluate.data import beir_files
    from splade_connectors.evaluate.language import language_warning

    judged = read_beir(beir, split)
    read = [*beir_files(beir, split), legs.dense_vectors]
    common.check_outputs(run_file, connection=connection, inputs=read)
    made = hybrid.judged_legs(legs, judged)
    if fusion and len(made) == 1:
        raise ConfigurationError(
            "--fusion needs a second leg; add --dense-model, --dense-vectors or --text-field"
        )
    fusions = hybrid.parse_fusions(fusion or (), made)
    with (
        common.open_store(target, connection, model, queries_only=True) as store,
        progress.progress_bar("searching") as show,
    ):
        if len(made) > 1:
            hybrid.warm(made)
            compared = _compared(store, judged, made, fusions, show)
        else:
            ranking: dict[str, dict[str, float]] = {}
            found = evaluate(store, judged, show, run=ranking)
    warning = language_warning(store.encoder, judged.queries.values())
    if warning:
        printing.warn(warning)
    if len(made) > 1:
        if run_file:
            write_runs(compared, run_file)
        if json:
            printing.print_json(compared.to_json())
        else:
            print_comparison(compared)
        return
    if run_file:
        write_run(run_file, {id: hits.items() for id, hits in ranking.items()}, "sparse")
    if json:
        printing.print_json(found.to_json())
    else:
        print_evaluation(found)


def _compared(
    store: Store, judged: Judged, legs: list[Leg], fusions: list[Fusion], show: OnProgress
) -> Comparison:
    """Compare each leg and each fusion; by default rrf and the tuning saved for these legs."""
    from splade_connectors.evaluate import compare
    from splade_connectors.fusion.spec import Rrf
    from splade_connectors.fusion.tuning import misfit

    kept = store.tuning()
    tuning = None if fusions else kept
    other = misfit(tuning, [leg.name for leg in legs]) if tuning else None
    if other:
        printing.warn(f"{other}; it is not compared")
        tuning = None
    return compare(store, judged, legs, fusions or [Rrf()], show, tuning=tuning, kept=kept)


def print_evaluation(found: Evaluation) -> None:
    """Print a table of the measures, and warnings about gaps in the judgements."""
    from splade_connectors.cli.screen import Table

    table = Table()
    for name in (*found.measures, "queries", "p50", "p95"):
        table.column(name, number=True)
    table.row(
        *(f"{value:.4f}" for value in found.measures.values()),
        f"{found.queries:,}",
        f"{found.p50_ms:.1f} ms",
        f"{found.p95_ms:.1f} ms",
    )
    printing.print_table(table)
    warn_of_gaps(found)


def print_comparison(found: Comparison) -> None:
    """Print a row per leg and fusion, and warnings about gaps in the judgements."""
    from splade_connectors.cli.screen import Table
    from splade_connectors.evaluate.significance import TEST

    table = Table("")
    for name in (*found.rows[0].measures, "p50", "p95", "difference", "p"):
        table.column(name, number=True)
    for row in found.rows:
        table.row(
            f"{row.name}, tuned on these queries" if row.tuned_on else row.name,
            *(f"{value:.4f}" for value in row.measures.values()),
            f"{row.p50_ms:.1f} ms",
            f"{row.p95_ms:.1f} ms",
            "" if row.p is None else f"{row.difference:+.4f}",
            "" if row.p is None else shown_p(row.p),
            style="" if row.is_leg else "bold",
        )
    printing.print_table(table)
    printing.say(
        "[dim]{}; difference in nDCG@10 from the best leg, {}, and its p-value ({})[/dim]",
        counted(found.queries, "query", "queries"),
        found.best_leg,
        TEST,
    )
    warn_of_gaps(found)


def shown_p(p: float) -> str:
    """Format a p-value with four decimals."""
    return "<0.0001" if p < 0.0001 else f"{p:.4f}"


def write_runs(found: Comparison, path: Path) -> None:
    """Write one file per row: OUT.trec becomes OUT.sparse.trec, OUT.rrf-k-60.trec and so on."""
    from splade_connectors.evaluate import write_run

    for name, run in found.runs.items():
        tag = re.sub(r"[^\w.]+", "-", name)
        write_run(path.with_name(f"{path.stem}.{tag}{path.suffix or '.trec'}"), run, tag)


def warn_of_gaps(found: Evaluation | Comparison | Study) -> None:
    """Warn of judgements whose queries or documents do not exist."""
    if found.unknown_queries:
        unknown = counted(found.unknown_queries, "judged query", "judged queries")
        printing.warn(f"{unknown} not in queries.jsonl: ignored")
    if found.missing_documents:
        missing = counted(found.missing_documents, "relevant document")
        printing.warn(f"{missing} not in the store: counted as not found")
