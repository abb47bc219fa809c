"""The weights of a static query side: one per term of the vocabulary, from a small file."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from splade_connectors.encoders.settings import read_settings
from splade_connectors.encoders.tokenizer_settings import FolderTokenizer
from splade_connectors.encoders.weights import read_weights
from splade_connectors.errors import ModelError
from splade_connectors.shown import quoted

StaticWeights = NDArray[np.float32]

_TENSOR = "weight"
_SETTINGS = "config.json"
# Larger than any 64-bit integer.
_LARGEST = 1e300


def module_weights(module: Path, root: Path, tokenizer: FolderTokenizer) -> StaticWeights:
    """The weights of a `SparseStaticEmbedding` of sentence-transformers.

    Args:
        module: folder of the module.
        root: folder of the whole model, which may hold the weights instead.
        tokenizer: of the module.

    Returns:
        float32[terms], all >= 0.

    Raises:
        ModelError: if they are missing, belong to another vocabulary, or are not valid weights.
    """
    settings = read_settings(module / _SETTINGS, optional=True)
    settings.refuse_others({"frozen", "path"})
    path = settings.text("path")
    if path is not None:
        found = next((at for at in (module, root) if (at / Path(path).name).is_file()), None)
        if found is None:
            raise ModelError(f"{settings.where} has its weights in {path!r}, which does not exist")
        return idf_weights(found / Path(path).name, tokenizer)
    tensors = read_weights(module)
    if _TENSOR not in tensors or tensors[_TENSOR].ndim != 1:
        raise ModelError(f"the weights in {module} have no tensor {_TENSOR!r} of shape (terms,)")
    with np.errstate(over="ignore"):  # too large becomes infinite, and is refused
        weights = tensors[_TENSOR].astype(np.float32)
    return _checked(weights, tokenizer, module / "model.safetensors")


def idf_weights(path: Path, tokenizer: FolderTokenizer, *, special: bool = True) -> StaticWeights:
    """The weights in a JSON object token -> weight, such as OpenSearch's idf.json.

    Args:
        path: the file.
        tokenizer: of the tokens.
        special: whether special tokens keep their weights.

    Returns:
        float32[terms], 0 for tokens that the file lacks.

    Raises:
        ModelError: if the tokenizer lacks a token, or a weight is not valid.
    """
    entries = read_settings(path).values
    # Look tokens up one by one: a dict of the vocabulary takes as long as loading the tokenizer.
    found = {token: tokenizer.tokenizer.token_to_id(token) for token in entries}
    strange = [token for token, at in found.items() if at is None]
    if strange:
        raise ModelError(
            f"{path} belongs to another vocabulary: {len(strange)} of its {len(entries)} tokens "
            f"are not in {tokenizer.path}, for example {strange[0]!r}"
        )
    ids = {token: at for token, at in found.items() if at is not None}
    weights = np.zeros(max(_size(tokenizer), 1 + max(ids.values(), default=0)), np.float32)
    with np.errstate(over="ignore"):  # too large becomes infinite, and is refused
        for token, weight in entries.items():
            weights[ids[token]] = _number(weight, token, path)
    if not special:
        weights[special_ids(tokenizer)] = 0
    return _checked(weights, tokenizer, path)


def write_idf(weights: StaticWeights, tokenizer: FolderTokenizer, path: Path) -> None:
    """Write weights for `idf_weights` to read, exactly; zeros are omitted."""
    kept = np.flatnonzero(weights)
    tokens = [tokenizer.tokenizer.id_to_token(int(at)) for at in kept]
    # The shortest decimal that parses to the same float32.
    entries = {
        token: float(str(weight))
        for token, weight in zip(tokens, weights[kept], strict=True)
        if token is not None
    }
    path.write_text(json.dumps(entries, ensure_ascii=False, indent=0) + "\n", encoding="utf-8")


def special_ids(tokenizer: FolderTokenizer) -> list[int]:
    """The ids of the special tokens, such as [CLS]."""
    added = tokenizer.tokenizer.get_added_tokens_decoder()
    return [at for at, token in added.items() if token.special]


def _size(tokenizer: FolderTokenizer) -> int:
    return int(tokenizer.tokenizer.get_vocab_size(with_added_tokens=True))


def _number(value: Any, token: str, path: Path) -> float:
    # JSON integers can have any length.
    number = not isinstance(value, bool) and isinstance(value, int | float)
    if not number or not abs(value) < _LARGEST:
        raise ModelError(
            f"{path} has the weight {quoted(value)} for {token!r}, which is not a number"
        )
    return float(value)


def _checked(weights: StaticWeights, tokenizer: FolderTokenizer, path: Path) -> StaticWeights:
    if weights.size < _size(tokenizer):
        raise ModelError(
            f"{path} belongs to another vocabulary: it has {weights.size} weights, but "
            f"{tokenizer.path} has {_size(tokenizer)} terms"
        )
    wrong = np.flatnonzero(~np.isfinite(weights) | (weights < 0))
    if wrong.size:
        token = tokenizer.tokenizer.id_to_token(int(wrong[0]))
        raise ModelError(
            f"{path} has {wrong.size} invalid weights, for example {weights[wrong[0]]} for "
            f"{token!r}: query weights must be finite and >= 0"
        )
    if not weights.any():
        raise ModelError(f"{path} has no weight above 0, so no query would find anything")
    return weights
