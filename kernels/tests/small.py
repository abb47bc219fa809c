"""A small BERT of random weights, by its names in transformers."""

from typing import Any

import numpy as np

VOCABULARY = 211
POSITIONS = 96


def config(**changes: Any) -> dict[str, Any]:
    return {
        "model_type": "bert",
        "hidden_size": 48,
        "num_hidden_layers": 2,
        "num_attention_heads": 3,
        "intermediate_size": 72,
        "hidden_act": "gelu",
        "layer_norm_eps": 1e-12,
        **changes,
    }


def tensors() -> dict[str, np.ndarray[Any, Any]]:
    rng = np.random.default_rng(7)
    made: dict[str, np.ndarray[Any, Any]] = {}

    def matrix(name: str, rows: int, columns: int) -> None:
        made[name] = rng.normal(size=(rows, columns)).astype(np.float32) / np.sqrt(columns)

    def linear(name: str, rows: int, columns: int) -> None:
        matrix(f"{name}.weight", rows, columns)
        made[f"{name}.bias"] = rng.normal(size=rows).astype(np.float32) / 4

    def norm(name: str) -> None:
        made[f"{name}.weight"] = 1 + rng.normal(size=48).astype(np.float32) / 8
        made[f"{name}.bias"] = rng.normal(size=48).astype(np.float32) / 8

    embeddings = "bert.embeddings"
    matrix(f"{embeddings}.word_embeddings.weight", VOCABULARY, 48)
    matrix(f"{embeddings}.position_embeddings.weight", POSITIONS, 48)
    matrix(f"{embeddings}.token_type_embeddings.weight", 2, 48)
    norm(f"{embeddings}.LayerNorm")
    for i in range(2):
        layer = f"bert.encoder.layer.{i}"
        for part in ("query", "key", "value"):
            linear(f"{layer}.attention.self.{part}", 48, 48)
        linear(f"{layer}.attention.output.dense", 48, 48)
        norm(f"{layer}.attention.output.LayerNorm")
        linear(f"{layer}.intermediate.dense", 72, 48)
        linear(f"{layer}.output.dense", 48, 72)
        norm(f"{layer}.output.LayerNorm")
    linear("cls.predictions.transform.dense", 48, 48)
    norm("cls.predictions.transform.LayerNorm")
    made["cls.predictions.bias"] = rng.normal(size=VOCABULARY).astype(np.float32) / 4
    return made


def texts(lengths: list[int]) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    rng = np.random.default_rng(8)
    ids = rng.integers(0, VOCABULARY, sum(lengths)).astype(np.uint32)
    return ids, np.cumsum([0, *lengths], dtype=np.int64)
