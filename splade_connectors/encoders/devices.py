"""The device that a model runs on, and the precision that `auto` selects on a GPU."""

from __future__ import annotations

import importlib.util
import logging
from collections.abc import Callable
from functools import cache

from splade_connectors.encoders.base import SparseEncoder
from splade_connectors.encoders.precision import asked_for_by_environment
from splade_connectors.encoders.tokenizing import TokenizingEncoder
from splade_connectors.errors import ConfigurationError, ModelError
from splade_connectors.options import Precision

log = logging.getLogger(__name__)

# fp16 first: it has three more fraction bits than bf16, which has fp32's range.
_OF_GPUS: tuple[Precision, ...] = ("fp16", "bf16")
MakeEncoder = Callable[[Precision], TokenizingEncoder]


def engine_of_device(device: str | None) -> str | None:
    """The engine for a device if the caller names no engine; None if any engine will do.

    Args:
        device: as for `load_encoder`.
    """
    if device in (None, "cpu"):
        return None
    installed = [name for name in ("torch", "onnxruntime") if importlib.util.find_spec(name)]
    return "onnx" if installed == ["onnxruntime"] else "torch"


def cuda_number(device: str | None) -> int | None:
    """The number in "cuda:1"; 0 for "cuda", None for "cpu" and None.

    Raises:
        ConfigurationError: for any other device.
    """
    if device in (None, "cpu"):
        return None
    name, _, number = str(device).partition(":")
    if name != "cuda" or not (number or "0").isdecimal():
        raise ConfigurationError(
            f"engine='onnx' runs on 'cpu', 'cuda' or 'cuda:N', not on {device!r}"
        )
    return int(number or 0)


def on_gpu(make: MakeEncoder, elsewhere: Callable[[Precision], SparseEncoder]) -> TokenizingEncoder:
    """An encoder whose precision is decided now, and which adopts that of the index it writes to.

    Args:
        make: makes the encoder in a precision, on the GPU.
        elsewhere: makes it in a precision that GPUs lack.

    Raises:
        ConfigurationError: if SPLADE_PRECISION requests a precision that GPUs lack.
    """
    asked = asked_for_by_environment()
    if asked == "int8":
        raise ConfigurationError(
            "SPLADE_PRECISION is int8, which runs only on the CPU: unset it, or omit the device"
        )
    encoder = make(asked) if asked else _fastest(make)
    made = encoder.spec.precision

    @cache
    def in_precision(precision: Precision) -> SparseEncoder:
        if precision == "int8":
            log.warning("the index holds int8 vectors, so the model runs on the CPU")
            return elsewhere(precision)
        return encoder if precision == made else make(precision)

    encoder.in_precision = in_precision
    return encoder


def _fastest(make: MakeEncoder) -> TokenizingEncoder:
    """The encoder in half precision if its loss on the calibration texts is within the bound."""
    from splade_connectors.encoders.export.int8 import BOUND, compare

    exact = make("fp32")
    for precision in _OF_GPUS:
        candidate = make(precision)
        try:
            loss = compare(exact, candidate).loss
        except ModelError as error:  # a number exceeds the precision's range
            log.info("%s: not in %s (%s)", exact.spec.model, precision, error)
            continue
        log.info("%s: loss in %s %.2g, bound %.2g", exact.spec.model, precision, loss, BOUND)
        if loss <= BOUND:
            return candidate
    return exact
