"""The files of a model folder: which hold weights, and a hash over all that affect vectors."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from pathlib import Path, PurePosixPath

from splade_connectors.encoders import sentence_transformers, tokenizer_settings
from splade_connectors.encoders.onnx_files import data_files
from splade_connectors.encoders.routes import Task
from splade_connectors.encoders.settings import read_json, read_settings
from splade_connectors.errors import ModelError

# This package's record beside an ONNX file whose graph already pools, exported or bundled.
RECORD_FILE = "splade_connectors.json"

_WEIGHTS = "model.safetensors"
_INDEX = "model.safetensors.index.json"
# Settings that only say who wrote a file, where, and with which version.
_PROVENANCE = {
    "_name_or_path",
    "name_or_path",
    "transformers_version",
    "__version__",
    "_commit_hash",
    "is_local",
    "local_files_only",
    "tokenizer_file",
    "special_tokens_map_file",
}


def onnx_file(folder: Path) -> Path | None:
    """The ONNX file of a model folder, or None.

    Without safetensors, a single ONNX file of another name (model_quantized.onnx) counts too.

    Raises:
        ModelError: if there are several and none is named model.onnx.
    """
    for candidate in (folder / "model.onnx", folder / "onnx" / "model.onnx"):
        if candidate.is_file():
            return candidate
    if has_weights(folder):
        return None
    others = sorted(path for place in (folder, folder / "onnx") for path in place.glob("*.onnx"))
    if len(others) > 1:
        names = ", ".join(str(path.relative_to(folder)) for path in others)
        raise ModelError(
            f"the model folder {folder} has several ONNX files ({names}): rename the one to run to "
            "model.onnx, with its data beside it"
        )
    return others[0] if others else None


def has_weights(folder: Path) -> bool:
    """Whether a model folder has weights that torch can load without unpickling."""
    return (folder / _WEIGHTS).is_file() or (folder / _INDEX).is_file()


def refuse_without_weights(folder: Path) -> None:
    """Refuse a folder without weights, or with an index that names missing weights."""
    _safetensors(folder)
    if not has_weights(folder) and onnx_file(folder) is None:
        raise ModelError(
            f"the model folder {folder} has neither model.safetensors nor an ONNX file "
            "(pickled weights such as pytorch_model.bin are not read)"
        )


def file_hash(path: Path) -> str:
    """The first 16 hex digits of a file's SHA-256."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()[:16]


def revision_of(root: Path, model: Path, task: Task = "document") -> str:
    """16 hex digits that differ if anything that affects the vectors differs.

    That is: the weights in every file (safetensors, ONNX graphs and their external data), the
    configuration, the tokenizer, and the settings that sentence-transformers reads.

    Args:
        root: the folder that the user names.
        model: the model's folder inside it.
        task: whose settings, if documents and queries have their own.
    """
    files = [*_weights(model), *_settings(root, model, task)]
    return _together(f"{_name(path, root)} {_state(path)}" for path in files)


def state_of(root: Path, model: Path) -> str:
    """8 hex digits that differ if different files of the same hub commit were downloaded."""
    files = [*_weights(model), *_settings(root, model)]
    return _together(f"{_name(path, root)} {path.stat().st_size}" for path in files)[:8]


def _weights(model: Path) -> list[Path]:
    graph = onnx_file(model)
    graphs = [graph, *data_files(graph, model)] if graph else []
    return [*_safetensors(model), *graphs]


def _safetensors(folder: Path) -> list[Path]:
    if (folder / _WEIGHTS).is_file():
        return [folder / _WEIGHTS]
    if not (folder / _INDEX).is_file():
        return []
    # Hash the shards: training leaves the index itself unchanged.
    names = read_settings(folder / _INDEX).section("weight_map").values.values()
    shards = sorted({str(name) for name in names})
    for name in shards:
        if PurePosixPath(name).name != name or "\\" in name:
            raise ModelError(f"{folder / _INDEX} names the weights {name!r}, outside its folder")
        if not (folder / name).is_file():
            raise ModelError(f"the model folder {folder} has no {name}, which {_INDEX} names")
    return [folder / name for name in shards]


def _settings(root: Path, model: Path, task: Task = "document") -> list[Path]:
    own = [model / name for name in ("config.json", *tokenizer_settings.FILES)]
    return [path for path in (*own, *sentence_transformers.files_of(root, task)) if path.is_file()]


def tokenizer_state(folder: Path) -> str:
    """16 hex digits that differ if a tokenizer may differ."""
    files = [folder / name for name in tokenizer_settings.FILES]
    return _together(f"{path.name} {_state(path)}" for path in files if path.is_file())


def _name(path: Path, root: Path) -> str:
    return path.relative_to(root).as_posix()


def _state(path: Path) -> str:
    """A hash of the content; for settings, without entries that affect no vector."""
    if path.suffix != ".json" or path.name == tokenizer_settings.TOKENIZER_FILE:
        return file_hash(path)
    value = read_json(path)
    if isinstance(value, dict):
        value = {name: entry for name, entry in value.items() if name not in _PROVENANCE}
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()[:16]


def _together(lines: Iterable[str]) -> str:
    return hashlib.sha256("\n".join(sorted(lines)).encode()).hexdigest()[:16]
