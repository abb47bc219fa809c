"""Dense vectors of texts: the interface that `index` uses, and sentence-transformers models.

Nothing is imported before the first vector is needed: a nightly run without changed texts loads no
model.
"""

from __future__ import annotations

import hashlib
import os
import sys
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
        """Identifies the model: documents with another model's vectors count as changed."""

    def documents(self, texts: Sequence[str]) -> Vectors:
        """One vector per text."""


class DenseModel:
    """A sentence-transformers model, for documents in batches and for queries.

    Query vectors are cached: `evaluate` needs them again for every row.

    Args:
        source: a folder, or the name of an installed package that contains one.

    Raises:
        ConfigurationError: if it is neither.
    """

    def __init__(self, source: str, load: Callable[[Path], Any] | None = None) -> None:
        self._folder = model_folder(source)
        self._load = load or load_model
        self._process = os.getpid()
        self._expected: list[str] = []
        self._queries: dict[str, Any] = {}

    @cached_property
    def name(self) -> str:
        """The folder's name with a fingerprint of its settings and file sizes."""
        digest = hashlib.sha256()
        for path in sorted(self._folder.rglob("*")):
            if path.is_file():
                inside = path.relative_to(self._folder).as_posix()
                digest.update(f"{inside} {path.stat().st_size}\n".encode())
                if path.suffix == ".json":
                    digest.update(path.read_bytes())
        return f"{self._folder.name}-{digest.hexdigest()[:8]}"

    def documents(self, texts: Sequence[str]) -> Vectors:
        """One vector per text, encoded in batches."""
        model = self._usable_model()
        encode = getattr(model, "encode_document", model.encode)
        return [vector.tolist() for vector in _batched(encode, texts)]

    def expect(self, texts: Sequence[str]) -> None:
        """Announce queries: they are encoded in one batch when the first one is needed."""
        self._expected += texts

    def warm(self) -> None:
        """Encode the announced queries now, so that later measurements exclude it."""
        self._keep([])

    def __call__(self, text: str) -> Any:
        """The vector of a query; usable as the source of a `DenseLeg`."""
        if text not in self._queries:
            self._keep([text])
        return self._queries[text]

    def _keep(self, texts: Sequence[str]) -> None:
        wanted = list(dict.fromkeys([*texts, *self._expected]))
        self._expected = []
        if wanted:
            model = self._usable_model()
            encode = getattr(model, "encode_query", model.encode)
            self._queries.update(zip(wanted, _batched(encode, wanted), strict=True))

    def _usable_model(self) -> Any:
        """After a fork, use one thread: the parent's threads would wait forever in the child."""
        torch = sys.modules.get("torch")
        if os.getpid() != self._process and torch is not None:
            device = getattr(vars(self).get("_model"), "device", None)
            if device is not None and device.type != "cpu":
                raise ConfigurationError(
                    f"the dense model {self._folder.name!r} was loaded on {device} before this "
                    "process was forked, and a forked child cannot use it: load it in the process "
                    "that uses it"
                )
            torch.set_num_threads(1)
            self._process = os.getpid()
        return self._model

    @cached_property
    def _model(self) -> Any:
        return self._load(self._folder)


def _batched(encode: Callable[..., Any], texts: Sequence[str]) -> Any:
    return encode(list(texts), batch_size=_BATCH, show_progress_bar=False)


def model_folder(source: str) -> Path:
    """The folder of a sentence-transformers model.

    Raises:
        ConfigurationError: if the source is neither a folder nor an installed package with one.
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
        f"the dense model {source!r} is neither a sentence-transformers folder nor an installed "
        "package that contains one; download a model from the Hugging Face hub first and pass its "
        "folder"
    )


def load_model(folder: Path) -> Any:
    """Load a model from safetensors, without downloads and without running its custom code."""
    os.environ.setdefault("HF_HUB_OFFLINE", "1")
    os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")
    library = require("sentence_transformers", "dense", "a dense model")
    utilities = require("transformers", "dense", "a dense model")
    utilities.utils.logging.disable_progress_bar()
    return library.SentenceTransformer(
        str(folder), local_files_only=True, model_kwargs={"use_safetensors": True}
    )
