"""The int8 kernels: the optional package `splade_kernels`, imported once."""

from __future__ import annotations

import importlib
import logging
from functools import cache
from typing import Any

from splade_connectors.errors import MissingDependency

log = logging.getLogger(__name__)

# Another minor version may compute different numbers or read a different file format.
VERSION = "0.1"
_INSTALL = "pip install 'splade-connectors[fast]' (in a checkout: make kernels)"


def kernels() -> Any | None:
    """The module `splade_kernels`; None if it is missing or has another version.

    If it is installed but unusable, that is logged as a warning, once.
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
        MissingDependency: if it is missing or has another version; gives the pip line.
    """
    try:
        return _load()
    except MissingDependency as error:
        raise MissingDependency(f"{purpose} needs {error}", extra="fast") from error


def say_what_is_slower(model: str) -> None:
    """Log once per process that a model runs in fp32 because the kernels are missing."""
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
    """The module, or the error that explains its absence: a failed import is not repeated."""
    try:
        module = importlib.import_module("splade_kernels")
    except ImportError as error:
        if error.name == "splade_kernels":
            return MissingDependency(f"splade_kernels: {_INSTALL}", extra="fast")
        return _unusable(f"splade_kernels, which cannot be imported ({error}): {_INSTALL}")
    version = str(module.__version__)
    if version.split(".")[:2] != VERSION.split("."):
        return _unusable(f"splade_kernels {VERSION}, but {version} is installed: {_INSTALL}")
    return module


def _unusable(needed: str) -> MissingDependency:
    log.warning("int8 needs %s; models run in fp32", needed)
    return MissingDependency(needed, extra="fast")
