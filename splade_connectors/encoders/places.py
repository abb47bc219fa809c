"""Locate a model: bundled, in a folder, or on the Hugging Face hub, from which it is downloaded."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from splade_connectors.encoders.model_files import has_weights, onnx_file
from splade_connectors.encoders.routes import has_sides, modules_of
from splade_connectors.errors import ConfigurationError, ModelError

BUNDLED = "splade-tiny"
_MODELS = Path(__file__).parent.parent / "models"
_HUB_ID = re.compile(r"\w[\w.-]*/\w[\w.-]*")

# Pickled weights (*.bin, *.pt) and code are never fetched.
_SETTINGS = "*.json"
_HUB_FILES = [
    "*.safetensors",
    _SETTINGS,
    "model.onnx",
    "onnx/model.onnx",
    "*.onnx_data",
    "*.onnx.data",
]
# Additional files if a model has neither safetensors nor a model.onnx.
_HUB_GRAPHS = ["model_quantized.onnx", "onnx/model_quantized.onnx"]


@dataclass(frozen=True)
class Place:
    """A model folder, and what is known about it beyond its content.

    Attributes:
        folder: of the model.
        name: of the model; None takes the folder's name.
        revision: of the model; None derives it from the content.
    """

    folder: Path
    name: str | None = None
    revision: str | None = None


def locate(model: str | Path | None, revision: str | None, *, queries_only: bool = False) -> Place:
    """Find a model, and download it if it is on the hub.

    Args:
        model: as for `load_encoder`.
        revision: of a Hugging Face model.
        queries_only: download only what queries need, if the model has a separate query side.

    Raises:
        ModelError: if the model does not exist or cannot be downloaded.
        ConfigurationError: for the URL of a service.
    """
    if model is None or model == BUNDLED:
        return Place(_MODELS / BUNDLED)
    if isinstance(model, str) and model.startswith(("http://", "https://")):
        raise ConfigurationError(
            "this version has no encoder behind a URL; pass a folder or a Hugging Face id"
        )
    if Path(model).exists():
        if not Path(model).is_dir():
            raise ModelError(f"{model} is a file, not a model folder")
        return Place(Path(model))
    if isinstance(model, str) and _HUB_ID.fullmatch(model):
        folder = _download_queries(model, revision) if queries_only else None
        folder = folder or _download(model, revision)
        return Place(folder, model, folder.name)
    raise ModelError(
        f"the model {str(model)!r} does not exist: pass an existing folder, a Hugging Face id "
        f"(OWNER/NAME), or nothing for the bundled {BUNDLED}"
    )


def _download(model: str, revision: str | None) -> Path:
    found = _fetch(model, revision, _HUB_FILES)
    models = [path.parent for path in found.rglob("config.json")]
    if not any(has_weights(folder) or onnx_file(folder) for folder in models):
        found = _fetch(model, revision, [*_HUB_FILES, *_HUB_GRAPHS])
    return found


def _download_queries(model: str, revision: str | None) -> Path | None:
    """Download the query side alone; None if the model has no separate one."""
    found = _fetch(model, revision, [_SETTINGS])
    if not has_sides(found):
        return None
    if not (found / "modules.json").is_file():
        return found
    modules = [at.relative_to(found).as_posix() for _, at in modules_of(found, "query")]
    inside = ["" if at == "." else f"{at}/" for at in modules]
    wanted = [f"{at}{pattern}" for at in inside for pattern in _HUB_FILES]
    return _fetch(model, revision, [_SETTINGS, *wanted])


def _fetch(model: str, revision: str | None, patterns: list[str]) -> Path:
    from huggingface_hub import snapshot_download

    try:
        return Path(snapshot_download(model, revision=revision, allow_patterns=patterns))
    except Exception as error:  # a dozen classes from three libraries: hub, HTTP client, cache
        reason = str(error).partition("\n")[0]
        raise ModelError(
            f"{model} could not be downloaded from the Hugging Face hub ({type(error).__name__}: "
            f"{reason}); download it elsewhere and pass the folder"
        ) from error
