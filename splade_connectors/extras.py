"""Optional dependencies: what is missing is named with the pip line that brings it."""

from __future__ import annotations

import importlib
from types import ModuleType

from splade_connectors.errors import MissingDependency


def require(module: str, extra: str, purpose: str) -> ModuleType:
    """Import an optional dependency.

    Raises:
        MissingDependency: with the pip line that brings it.
    """
    try:
        return importlib.import_module(module)
    except ImportError as error:
        if error.name and error.name.partition(".")[0] != module.partition(".")[0]:
            raise  # it is installed, but something that it needs is not
        raise MissingDependency(
            f"{purpose} needs {module.partition('.')[0]}: pip install 'splade-connectors[{extra}]'",
            extra=extra,
        ) from error
