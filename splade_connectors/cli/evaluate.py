"""`splade-connectors evaluate TARGET --beir DIR`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from splade_connectors.cli import common

if TYPE_CHECKING:
    from splade_connectors.evaluate.run import Evaluation


def command(
    target: common.TargetArgument,
    beir: Annotated[Path, typer.Option(help="Folder with queries.jsonl and qrels/SPLIT.tsv.")],
    split: Annotated[str, typer.Option(help="Which judgements.")] = "test",
    model: common.Model = None,
    backend: common.Backend = "onnx",
    username: common.Username = None,
    ca_certs: common.CaCerts = None,
    timeout: common.Timeout = 30.0,
    manifest: common.Manifest = None,
    override_manifest: common.OverrideManifest = False,
    json: common.Json = False,
) -> None:
    """nDCG@10, recall@100 and MRR@10 over judged queries in BEIR layout."""
    from splade_connectors.evaluate import evaluate, read_beir

    judged = read_beir(beir, split)
    encoder = common.make_encoder(model, backend)
    with (
        common.open_store(
            target,
            encoder,
            username=username,
            ca_certs=ca_certs,
            timeout=timeout,
            manifest=manifest,
            override_manifest=override_manifest,
        ) as store,
        common.progress_bar("searching") as show,
    ):
        found = evaluate(store, judged, show)
    if json:
        common.print_json(found.to_json())
    else:
        print_evaluation(found)


def print_evaluation(found: Evaluation) -> None:
    """A table of the measures, and what does not fit together."""
    from rich.table import Table

    table = Table(box=None, pad_edge=False)
    for name in (*found.measures, "queries", "p50", "p95"):
        table.add_column(name, justify="right")
    table.add_row(
        *(f"{value:.4f}" for value in found.measures.values()),
        f"{found.queries:,}",
        f"{found.p50_ms:.1f} ms",
        f"{found.p95_ms:.1f} ms",
    )
    common.console().print(table)
    if found.unknown_queries:
        common.warn(f"{found.unknown_queries} judged queries are not in queries.jsonl: left out")
    if found.missing_documents:
        common.warn(
            f"{found.missing_documents} relevant documents are not in the store: they count as "
            "not found"
        )
