"""Dense vectors of texts: what `index` asks for them, and a model of sentence-transformers.

Nothing of it is imported before a vector is needed: a night in which no text has changed loads no
model.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Sequence
from functools import cached_property
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path
from typing import Any, Protocol

from splade_connectors.errors import ConfigurationError
from splade_connectors.extras import require

Vectors = Sequence[Sequence[float]]

_BATCH = 32


class DenseSource(Protocol):
    """Makes the dense vectors of documents."""

    @property
    def name(self) -> str:
        """Tells the model from others: documents with vectors of another one are not unchanged."""

    def documents(self, texts: Sequence[str]) -> Vectors:
        """A vector for each text."""


class DenseModel:
    """A model of sentence-transformers, for documents in batches and for queries.

    Vectors of queries are kept: `evaluate` asks for those of each row again.

    Args:
        source: a folder, or the name of an installed package that holds one.

    Raises:
        ConfigurationError: when it is neither.
    """

    def __init__(self, source: str, load: Callable[[Path], Any] | None = None) -> None:
        self._folder = model_folder(source)
        self._load = load or load_model
        self._expected: list[str] = []
        self._queries: dict[str, Any] = {}

    @cached_property
    def name(self) -> str:
        """Of the folder, with a fingerprint of its settings and of the sizes of its files."""
        digest = hashlib.sha256()
        for path in sorted(self._folder.rglob("*")):
            if path.is_file():
                inside = path.relative_to(self._folder).as_posix()
                digest.update(f"{inside} {path.stat().st_size}\n".encode())
                if path.suffix == ".json":
                    digest.update(path.read_bytes())
        return f"{self._folder.name}-{digest.hexdigest()[:8]}"

    def documents(self, texts: Sequence[str]) -> Vectors:
        """A vector for each text, in batches."""
        encode = getattr(self._model, "encode_document", self._model.encode)
        return [vector.tolist() for vector in _batched(encode, texts)]

    def expect(self, texts: Sequence[str]) -> None:
        """These queries will be asked for: they are encoded together, when the first one is."""
        self._expected += texts

    def warm(self) -> None:
        """Encode now what is expected: what is measured from now on is without it."""
        self._keep([])

    def __call__(self, text: str) -> Any:
        """The vector of a query; a source for a `DenseLeg`."""
        if text not in self._queries:
            self._keep([text])
        return self._queries[text]

    def _keep(self, texts: Sequence[str]) -> None:
        wanted = list(dict.fromkeys([*texts, *self._expected]))
        self._expected = []
        if wanted:
            encode = getattr(self._model, "encode_query", self._model.encode)
            self._queries.update(zip(wanted, _batched(encode, wanted), strict=True))

    @cached_property
    def _model(self) -> Any:
        return self._load(self._folder)


def _batched(encode: Callable[..., Any], texts: Sequence[str]) -> Any:
    return encode(list(texts), batch_size=_BATCH, show_progress_bar=False)


def model_folder(source: str) -> Path:
    """The folder of a model of sentence-transformers.

    Raises:
        ConfigurationError: when the source is neither a folder nor an installed package with one.
    """
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
        "package that holds one; models of the Hugging Face hub are downloaded before, and named "
        "by their folder"
    )


def load_model(folder: Path) -> Any:
    """Nothing is downloaded, no code of the model is run, and weights come from safetensors."""
    os.environ.setdefault("HF_HUB_OFFLINE", "1")
    os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")
    library = require("sentence_transformers", "dense", "a dense model")
    utilities = require("transformers", "dense", "a dense model")
    utilities.utils.logging.disable_progress_bar()
    return library.SentenceTransformer(
        str(folder), local_files_only=True, model_kwargs={"use_safetensors": True}
    )
