"""The loss of int8 against fp32: cosines of vectors, and nDCG@10 on judged queries.

    python benchmarks/precision.py [--weights DIR] [--texts 200] [--judged] [--results FILE]

Encodes the first texts of a collection with the model in fp32 (ONNX Runtime) and with the int8
kernels, at most 256 tokens, and compares each pair of vectors, unpruned. With `--judged` it encodes
the whole collection and its queries, and ranks by exact dot products: documents and queries in
fp32, in int8, and each of the two mixtures.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from common import beir_folder, machine, save, texts, weights_folder
from scipy.sparse import csr_matrix

from splade_connectors import EncodeOptions, SparseEncoder, load_encoder

MAX_LENGTH = 256


def main() -> None:
    """Measure and print."""
    arguments = _arguments()
    options = EncodeOptions(max_length=MAX_LENGTH)
    fp32 = load_encoder(arguments.weights, precision="fp32", options=options)
    int8 = load_encoder(arguments.weights, precision="int8", options=options)
    given = texts(arguments.beir / "corpus.jsonl", arguments.texts)
    result = {
        "model": arguments.weights.resolve().name,
        "collection": arguments.beir.resolve().name,
        "texts": arguments.texts,
        "machine": machine(),
        "cosines": _cosines(_matrix(fp32, given), _matrix(int8, given)),
    }
    if arguments.judged:
        result["ndcg_at_10"] = _judged(arguments.beir, {"fp32": fp32, "int8": int8})
    if arguments.results:
        save(arguments.results, result)
    print(json.dumps(result, indent=None if arguments.json else 2))


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--beir", type=Path, default=beir_folder(), help="folder in BEIR layout")
    parser.add_argument("--texts", type=int, default=200)
    parser.add_argument(
        "--weights", type=Path, default=weights_folder(), help="folder with the model's weights"
    )
    parser.add_argument("--judged", action="store_true", help="also nDCG@10 on its judged queries")
    parser.add_argument("--results", type=Path, help="write the numbers to this file, as JSON")
    parser.add_argument("--json", action="store_true", help="print on one line")
    return parser.parse_args()


def _matrix(encoder: SparseEncoder, given: list[str], queries: bool = False) -> csr_matrix:
    found = encoder.encode_queries(given) if queries else encoder.encode_documents(given)
    return found.to_scipy(encoder.spec.vocabulary)


def _cosines(left: csr_matrix, right: csr_matrix) -> dict[str, float]:
    products = np.asarray(left.multiply(right).sum(axis=1)).ravel()
    squares = [np.asarray(one.multiply(one).sum(axis=1)).ravel() for one in (left, right)]
    found = products / np.sqrt(squares[0] * squares[1])
    return {
        "smallest": float(found.min()),
        "median": float(np.median(found)),
        "terms_fp32": left.nnz / left.shape[0],
        "terms_int8": right.nnz / right.shape[0],
    }


def _judged(beir: Path, encoders: dict[str, SparseEncoder]) -> dict[str, float]:
    judgements: dict[str, dict[str, int]] = {}
    for line in (beir / "qrels" / "test.tsv").read_text().splitlines()[1:]:
        query, document, grade = line.split("\t")
        judgements.setdefault(query, {})[document] = int(grade)
    rows = list(_rows(beir / "corpus.jsonl"))
    queries = [row for row in _rows(beir / "queries.jsonl") if row["_id"] in judgements]
    bodies = [f"{row.get('title', '')} {row['text']}".strip() for row in rows]
    documents = {name: _matrix(one, bodies) for name, one in encoders.items()}
    asked = [row["text"] for row in queries]
    vectors = {name: _matrix(one, asked, queries=True) for name, one in encoders.items()}
    ids = np.array([row["_id"] for row in rows])
    found = {}
    for mine in encoders:
        for theirs in encoders:
            scores = (vectors[mine] @ documents[theirs].T).toarray()
            best = ids[np.argsort(-scores, axis=1, kind="stable")[:, :10]]
            gains = [
                _ndcg(ranked.tolist(), judgements[row["_id"]])
                for ranked, row in zip(best, queries, strict=True)
            ]
            found[f"queries {mine}, documents {theirs}"] = float(np.mean(gains))
    return found


def _rows(path: Path) -> Iterator[dict[str, str]]:
    with path.open(encoding="utf-8") as lines:
        yield from map(json.loads, lines)


def _ndcg(ranked: list[str], grades: dict[str, int]) -> float:
    discounts = 1 / np.log2(np.arange(2, 12))
    gained = sum(grades.get(id, 0) * d for id, d in zip(ranked, discounts, strict=False))
    ideal = sorted(grades.values(), reverse=True)
    return float(gained / sum(g * d for g, d in zip(ideal, discounts, strict=False)))


if __name__ == "__main__":
    main()
