"""The precision that a model runs in, decided once from a measured loss and recorded beside it."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal, get_args

from splade_connectors.encoders.model_files import file_hash
from splade_connectors.errors import ConfigurationError, ModelError
from splade_connectors.options import Precision

WantedPrecision = Literal["fp32", "int8", "fp16", "bf16", "auto"]
_NAMES = ", ".join(map(repr, get_args(WantedPrecision)[:-1])) + " or 'auto'"

# The decision, and the measurements behind it.
PRECISION_FILE = "precision.json"
# The int8 weights, as splade_kernels reads them.
WEIGHTS_FILE = "model.splade"
# Overrides what `auto` means in this process, regardless of the recorded decision.
VARIABLE = "SPLADE_PRECISION"


@dataclass(frozen=True, kw_only=True, slots=True)
class PrecisionRecord:
    """The decision for a model.

    Attributes:
        precision: what `auto` means for it.
        loss: 1 - the smallest cosine between a text's int8 and fp32 vectors, over the calibration
            texts; None if int8 is not possible.
        bound: largest loss for which `auto` is int8.
        differences: the measurements, as returned by `Differences.to_json`.
        reason: why int8 is not possible.
        weights: the first 16 hex digits of the SHA-256 of the int8 weights beside the record.
        forced: whether int8 was forced despite a loss beyond the bound.
    """

    precision: Precision
    loss: float | None = None
    bound: float
    differences: Mapping[str, Any] | None = None
    reason: str | None = None
    weights: str | None = None
    forced: bool = False

    def write(self, folder: Path) -> None:
        """Write the record beside the model, atomically."""
        unfinished = folder / f"{PRECISION_FILE}.{os.getpid()}.unfinished"
        unfinished.write_text(json.dumps(asdict(self), indent=2) + "\n", encoding="utf-8")
        unfinished.replace(folder / PRECISION_FILE)


def read_record(folder: Path) -> PrecisionRecord | None:
    """The decision for the model in a folder, or None.

    Raises:
        ModelError: if the file is not a valid record.
    """
    path = folder / PRECISION_FILE
    try:
        raw = json.loads(path.read_text(encoding="utf-8"))
        record = PrecisionRecord(**raw)
    except FileNotFoundError:
        return None
    except (ValueError, TypeError) as error:
        raise ModelError(f"{path} is damaged ({error}); export the model again") from error
    if record.precision not in get_args(Precision):
        raise ModelError(f"{path} is damaged (precision {record.precision!r}); export it again")
    return record


def recorded_weights(folder: Path, record: PrecisionRecord) -> Path:
    """The int8 weights beside a record.

    Raises:
        ModelError: if they are missing, or do not match the record.
    """
    path = folder / WEIGHTS_FILE
    if not path.is_file():
        raise ModelError(f"the model folder {folder} has no int8 weights ({WEIGHTS_FILE})")
    if file_hash(path) != record.weights:
        raise ModelError(
            f"{path} does not match {PRECISION_FILE} beside it and may be damaged: export the "
            "model again"
        )
    return path


def check_precision(wanted: str) -> None:
    """Refuse anything that is not a precision.

    Raises:
        ConfigurationError: if it is not; names the precisions.
    """
    if wanted not in get_args(WantedPrecision):
        raise ConfigurationError(f"precision must be {_NAMES}, not {wanted!r}")


def asked_for_by_environment() -> Precision | None:
    """The precision in SPLADE_PRECISION that overrides `auto`, or None.

    Raises:
        ConfigurationError: if it is not a precision.
    """
    value = os.environ.get(VARIABLE) or "auto"
    if value == "auto":
        return None
    if value not in get_args(Precision):
        raise ConfigurationError(f"{VARIABLE} must be {_NAMES}, not {value!r}")
    return value  # type: ignore[return-value]  # one of them
