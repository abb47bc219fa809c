"""The int8 kernels: an optional distribution, `splade_kernels`, looked for once."""

from __future__ import annotations

import importlib
import logging
from functools import cache
from typing import Any

from splade_connectors.errors import MissingDependency

log = logging.getLogger(__name__)

# Another minor version may compute other numbers, or read other files.
VERSION = "0.1"
_INSTALL = "pip install 'splade-connectors[fast]' (in a checkout: make kernels)"


def kernels() -> Any | None:
    """The module `splade_kernels`, None if it is missing or not of this version.

    One that is there and cannot be used is logged as a warning, once.
    """
    try:
        return _load()
    except MissingDependency:
        return None


def require_kernels(purpose: str) -> Any:
    """The module `splade_kernels`.

    Args:
        purpose: for the message.

    Raises:
        MissingDependency: when it is missing or not of this version, with the pip line.
    """
    try:
        return _load()
    except MissingDependency as error:
        raise MissingDependency(f"{purpose} needs {error}", extra="fast") from error


def say_what_is_slower(model: str) -> None:
    """Log, once a process, that a model runs in fp32 for want of the kernels."""
    _say_once(f"{model} runs on ONNX Runtime in fp32, several times slower than with: {_INSTALL}")


@cache
def _say_once(sentence: str) -> None:
    log.info(sentence)


def _load() -> Any:
    found = _imported()
    if isinstance(found, MissingDependency):
        raise found
    return found


@cache
def _imported() -> Any:
    """The module, or the error that says why there is none: a failing import is not repeated."""
    try:
        module = importlib.import_module("splade_kernels")
    except ImportError as error:
        if error.name == "splade_kernels":
            return MissingDependency(f"splade_kernels: {_INSTALL}", extra="fast")
        return _unusable(f"splade_kernels, which cannot be imported ({error}): {_INSTALL}")
    version = str(module.__version__)
    if version.split(".")[:2] != VERSION.split("."):
        return _unusable(f"splade_kernels {VERSION}, and {version} is installed: {_INSTALL}")
    return module


def _unusable(needed: str) -> MissingDependency:
    log.warning("int8 needs %s; models run in fp32", needed)
    return MissingDependency(needed, extra="fast")
