"""Optional dependencies; if one is missing, the error names the pip command that installs it."""

from __future__ import annotations

import importlib
from types import ModuleType

from splade_connectors.errors import MissingDependency


def require(module: str, extra: str, purpose: str) -> ModuleType:
    """Import an optional dependency.

    Raises:
        MissingDependency: with the pip command that installs it.
    """
    try:
        return importlib.import_module(module)
    except ImportError as error:
        if error.name and error.name.partition(".")[0] != module.partition(".")[0]:
            raise  # the module is installed, but one of its own dependencies is not
        raise MissingDependency(
            f"{purpose} needs {module.partition('.')[0]}: pip install 'splade-connectors[{extra}]'",
            extra=extra,
        ) from error
