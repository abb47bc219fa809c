"""Queries without inference: their relevance and their cost.

    python benchmarks/inference_free.py [--beir FOLDER] [--vectors FILE] [--repeats 5]
                                        [--results FILE] [--json]

The first table has nDCG@10 on a BEIR folder, by exact dot products over the documents as the
bundled model encodes them, for four kinds of queries: the model's own (symmetric), weights of 1,
inverse document frequencies of the collection, and weights fitted to what its own queries find
(with the beginnings of documents as queries). A paired randomization test compares each with the
frequencies; the judgements are used for nothing else. The second table has
`encode_queries([query])` and the tokenizer's own `encode` in microseconds, each query's best of
several rounds, and the CPU seconds of fresh processes: import,
`load_encoder(…, queries_only=True)` and a first query, compared with `import numpy, tokenizers` and
loading the tokenizer. `--vectors` keeps the documents' vectors for another run.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import timeit
from pathlib import Path
from statistics import fmean, median
from typing import Any

import numpy as np
from common import beir_folder, machine, run, save

from splade_connectors import SparseBatch, SparseEncoder, load_encoder
from splade_connectors.encoders.query_side import made_side
from splade_connectors.encoders.tokenizer_settings import read_tokenizer
from splade_connectors.evaluate import Judged, read_beir
from splade_connectors.evaluate.significance import TEST, randomization_test
from splade_connectors.files.readers import FileReader
from splade_connectors.options import EncodeOptions, QueryWeightOptions
from splade_connectors.train.collection import Collection
from splade_connectors.train.loss import each_of, exact_search
from splade_connectors.train.query_weights import make_query_weights
from splade_connectors.train.regression import fit

MODEL = Path(__file__).parent.parent / "splade_connectors" / "models" / "splade-tiny"
BASIS = "idf"
MOST_TIMES_TOKENIZER = 3
MOST_TIMES_BASE = 2


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--beir", type=Path, default=beir_folder())
    parser.add_argument(
        "--vectors", type=Path, help="keep the documents' vectors in this file (.npz)"
    )
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--results", type=Path, help="write the numbers to this file, as JSON")
    parser.add_argument("--json", action="store_true", help="print one JSON document instead")
    arguments = parser.parse_args()
    judged = read_beir(arguments.beir)
    ids, texts = _documents(arguments.beir / "corpus.jsonl")
    encoder = load_encoder(precision="fp32")
    result: dict[str, Any] = {
        "machine": machine(),
        "dataset": arguments.beir.resolve().name,
        "documents": len(ids),
        "queries": len(judged.queries),
        "test": TEST,
        "ndcg@10": _quality(encoder, judged, ids, texts, arguments.vectors),
    }
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch) / "queries"
        make_query_weights(None, encoder, texts, folder)
        result["encode_queries"] = _speed(folder, list(judged.queries.values()))
        result["cpu_s"] = _processes(folder, arguments.repeats)
    if arguments.results:
        save(arguments.results, result)
    print(json.dumps(result)) if arguments.json else _print(result)


def _documents(corpus: Path) -> tuple[list[str], list[str]]:
    with FileReader(corpus) as reader:
        rows: list[Any] = list(reader)
    return [str(row.id) for row in rows], [row.text for row in rows]


def _quality(
    encoder: SparseEncoder, judged: Judged, ids: list[str], texts: list[str], kept: Path | None
) -> list[dict[str, Any]]:
    options = QueryWeightOptions(learn=True)
    collection = Collection(encoder, options.sample)
    collection.read(texts)
    idf = collection.idf()
    beginnings = [" ".join(text.split()[: options.query_words]) for text in collection.sample]
    tables = {
        "ones": np.ones_like(idf),
        BASIS: idf,
        "learned": fit(encoder, idf, beginnings, collection.sample),
    }
    sides: dict[str, SparseEncoder] = {"symmetric": encoder}
    tokenizer = read_tokenizer(MODEL)
    for name, weights in tables.items():
        side = made_side(encoder.spec, tokenizer, weights.astype(np.float32))
        sides[name] = side.encoder(EncodeOptions(), "")
    search = exact_search(judged, ids, _vectors(encoder, texts, kept), encoder.spec.vocabulary)
    each = {name: each_of(judged, search(side)) for name, side in sides.items()}
    return [
        {
            "queries": name,
            "ndcg@10": round(fmean(values), 4),
            "difference_to_idf": round(fmean(values) - fmean(each[BASIS]), 4),
            "p": round(randomization_test(values, each[BASIS]), 4) if name != BASIS else None,
        }
        for name, values in each.items()
    ]


def _vectors(encoder: SparseEncoder, texts: list[str], kept: Path | None) -> SparseBatch:
    if kept and kept.is_file():
        with np.load(kept) as found:
            return SparseBatch(found["indptr"], found["indices"], found["values"])
    vectors = encoder.encode_documents(texts)
    if kept:
        np.savez(kept, indptr=vectors.indptr, indices=vectors.indices, values=vectors.values)
    return vectors


def _speed(folder: Path, queries: list[str]) -> dict[str, float]:
    """Time one text at a time, in microseconds: each query's best of several rounds."""
    encoder, tokenizer = load_encoder(folder, queries_only=True), read_tokenizer(folder).tokenizer
    ours, theirs = [], []
    for query in queries:
        theirs.append(_best(lambda query=query: tokenizer.encode(query)))
        ours.append(_best(lambda query=query: encoder.encode_queries([query])))
    ratios = [mine / its for mine, its in zip(ours, theirs, strict=True)]
    return {
        "tokenizer_us": round(median(theirs), 1),
        "ours_us": round(median(ours), 1),
        "ratio_median": round(median(ratios), 2),
        "ratio_of_sums": round(sum(ours) / sum(theirs), 2),
    }


def _best(call: Any) -> float:
    return min(timeit.repeat(call, number=10, repeat=5)) / 10 * 1e6


def _processes(folder: Path, repeats: int) -> dict[str, float]:
    """CPU seconds of processes that take turns, including the interpreter's start."""
    base = (
        "import numpy, tokenizers; "
        f"tokenizers.Tokenizer.from_file({str(folder / 'tokenizer.json')!r})"
    )
    first = (
        "import sys; from splade_connectors import load_encoder; "
        f"encoder = load_encoder({str(folder)!r}, queries_only=True); "
        "encoder.encode_queries(['how do vaccines work']); "
        "assert 'onnxruntime' not in sys.modules"
    )
    taken: dict[str, list[float]] = {base: [], first: []}
    for _ in range(repeats):
        for program in taken:
            taken[program].append(run([sys.executable, "-c", program]).cpu_s)
    found = {"base": median(taken[base]), "first_query": median(taken[first])}
    return {name: round(value, 3) for name, value in found.items()} | {
        "ratio": round(found["first_query"] / found["base"], 2)
    }


def _print(result: dict[str, Any]) -> None:
    from rich.console import Console
    from rich.table import Table

    screen = Console(width=100)
    documents, queries = result["documents"], result["queries"]
    table = Table(title=f"{result['dataset']}: {documents:,} documents, {queries} queries")
    for column in ("queries", "nDCG@10", "to idf", "p"):
        table.add_column(column)
    for row in result["ndcg@10"]:
        p = "" if row["p"] is None else f"{row['p']:.4f}"
        difference = f"{row['difference_to_idf']:+.4f}"
        table.add_row(row["queries"], f"{row['ndcg@10']:.4f}", difference, p)
    screen.print(table)
    speed, cpu = result["encode_queries"], result["cpu_s"]
    screen.print(
        f"encode_queries, one text: {speed['ours_us']} µs, the tokenizer's encode "
        f"{speed['tokenizer_us']} µs: {speed['ratio_median']} times at the median "
        f"(bound {MOST_TIMES_TOKENIZER})"
    )
    screen.print(
        f"fresh process, first query: {cpu['first_query']} s of CPU, numpy, tokenizers and the "
        f"tokenizer's load {cpu['base']} s: {cpu['ratio']} times (bound {MOST_TIMES_BASE})"
    )


if __name__ == "__main__":
    main()
