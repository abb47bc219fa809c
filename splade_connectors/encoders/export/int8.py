"""Convert a model to int8 weights, and measure the differences."""

from __future__ import annotations

import json
import logging
import os
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from splade_connectors.encoders.base import SparseEncoder
from splade_connectors.encoders.kernels import require_kernels
from splade_connectors.encoders.model_files import file_hash
from splade_connectors.encoders.precision import WEIGHTS_FILE, PrecisionRecord
from splade_connectors.encoders.weights import read_weights
from splade_connectors.errors import ModelError
from splade_connectors.vectors import SparseVector, dot

log = logging.getLogger(__name__)

# The largest loss (1 - the smallest cosine to fp32) for which `auto` takes int8.
BOUND = 0.005
_CALIBRATION = Path(__file__).with_name("calibration.txt")


@dataclass(frozen=True, kw_only=True, slots=True)
class Differences:
    """How the vectors of two encoders differ on the same texts.

    Attributes:
        texts: number of texts.
        smallest_cosine: over all texts.
        median_cosine: over all texts.
        largest_weight: largest difference between the weights of a term.
        terms: mean number of terms of the first encoder's vectors.
        other_terms: mean number of terms of the second encoder's vectors.
    """

    texts: int
    smallest_cosine: float
    median_cosine: float
    largest_weight: float
    terms: float
    other_terms: float

    @property
    def loss(self) -> float:
        """1 - the smallest cosine; `auto` decides by this."""
        return 1 - self.smallest_cosine

    def to_json(self) -> dict[str, Any]:
        """The differences as a JSON object."""
        return asdict(self)


def calibration_texts() -> list[str]:
    """Queries and passages from several fields and languages, written for this purpose."""
    return _CALIBRATION.read_text(encoding="utf-8").splitlines()


def compare(reference: SparseEncoder, candidate: SparseEncoder) -> Differences:
    """How the vectors of two encoders differ on the calibration texts."""
    texts = calibration_texts()
    left, right = reference.encode_documents(texts), candidate.encode_documents(texts)
    cosines = [_cosine(one, other) for one, other in zip(left, right, strict=True)]
    return Differences(
        texts=len(texts),
        smallest_cosine=round(min(cosines), 6),
        median_cosine=round(float(np.median(cosines)), 6),
        largest_weight=round(max(map(_distance, left, right)), 6),
        terms=round(len(left.indices) / len(texts), 1),
        other_terms=round(len(right.indices) / len(texts), 1),
    )


def write_int8(folder: Path, out: Path) -> None:
    """Write the int8 weights of a transformers model into a folder.

    Args:
        folder: holds config.json and safetensors.
        out: an existing folder.

    Raises:
        MissingDependency: if splade_kernels is not installed.
        ModelError: if weights are missing or damaged, or the kernels do not support the model.
    """
    module = require_kernels("writing int8 weights")
    tensors = read_weights(folder)
    # A name per process: another one may be converting the same model.
    unfinished = out / f"{WEIGHTS_FILE}.{os.getpid()}.unfinished"
    try:
        config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
        module.write_model(unfinished, config, tensors)
        unfinished.replace(out / WEIGHTS_FILE)
    except (ValueError, OSError) as error:
        raise ModelError(f"the model in {folder} cannot run in int8: {error}") from error
    finally:
        unfinished.unlink(missing_ok=True)


def recorded(out: Path, differences: Differences, *, forced: bool = False) -> PrecisionRecord:
    """The decision for the int8 weights in a folder, from the measured differences."""
    return PrecisionRecord(
        precision="int8" if forced or differences.loss <= BOUND else "fp32",
        loss=round(differences.loss, 6),
        bound=BOUND,
        differences=differences.to_json(),
        weights=file_hash(out / WEIGHTS_FILE),
        forced=forced and differences.loss > BOUND,
    )


def _cosine(one: SparseVector, other: SparseVector) -> float:
    lengths = float(np.linalg.norm(one.values) * np.linalg.norm(other.values))
    if lengths == 0.0:
        return float(len(one) == len(other))
    return dot(one, other) / lengths


def _distance(one: SparseVector, other: SparseVector) -> float:
    weights = np.zeros(int(max([0, *one.indices[-1:], *other.indices[-1:]])) + 1, np.float32)
    weights[one.indices] = one.values
    weights[other.indices] -= other.values
    return float(np.abs(weights).max())
