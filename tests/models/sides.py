"""Models with a query side of their own, of random numbers, as others save them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

from tests.models.small import SPECIAL, TERMS, model_folder, write


def random_idf(seed: int = 3) -> dict[str, float]:
    """A weight for most ordinary tokens."""
    drawn = np.random.default_rng(seed)
    tokens = [token for token in TERMS if token not in SPECIAL and drawn.random() < 0.8]
    return {token: round(float(drawn.uniform(0.1, 9)), 4) for token in tokens}


def opensearch_layout(folder: Path) -> Path:
    """A masked-language model with idf.json beside it."""
    model_folder(folder)
    write(folder / "idf.json", random_idf())
    return folder


def inference_free_peer(folder: Path, idf: Path | None = None, **whole: Any) -> Any:
    """A model of sentence-transformers: a static query side, and the model in `folder`."""
    import torch
    from sentence_transformers import SparseEncoder
    from sentence_transformers.sparse_encoder import modules

    documents = modules.Transformer(str(folder), transformer_task="fill-mask")
    if idf is not None:
        static = modules.SparseStaticEmbedding.from_json(
            str(idf), tokenizer=documents.tokenizer, frozen=True
        )
    else:
        torch.manual_seed(9)
        weight = torch.rand(len(TERMS)) * 5
        static = modules.SparseStaticEmbedding(documents.tokenizer, weight, frozen=True)
    return _routed(
        [static], [documents, modules.SpladePooling("max", "log1p_relu")], SparseEncoder, **whole
    )


def two_encoders_peer(queries: Path, documents: Path, **whole: Any) -> Any:
    """A model of sentence-transformers: a masked-language model for each side."""
    from sentence_transformers import SparseEncoder
    from sentence_transformers.sparse_encoder import modules

    sides = [
        [modules.Transformer(str(at), transformer_task="fill-mask"), modules.SpladePooling("max")]
        for at in (queries, documents)
    ]
    return _routed(*sides, SparseEncoder, **whole)


def _routed(queries: Any, documents: Any, kind: Any, **whole: Any) -> Any:
    from sentence_transformers.base.modules import Router

    router = Router.for_query_document(query_modules=queries, document_modules=documents)
    return kind(modules=[router], device="cpu", similarity_fn_name="dot", **whole)


def query_module(folder: Path) -> Path:
    """The folder of a saved model's static query side."""
    return next(folder.glob("query_0_*"))


def change(path: Path, **entries: Any) -> None:
    """Entries of a JSON object on disk."""
    write(path, json.loads(path.read_text(encoding="utf-8")) | entries)
