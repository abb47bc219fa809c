"""`load_encoder`: the bundled model, a folder, or a Hugging Face id."""

from __future__ import annotations

import hashlib
import re
from dataclasses import replace
from pathlib import Path
from typing import Literal

from platformdirs import user_cache_path

from splade_connectors.encoders.base import SparseEncoder
from splade_connectors.encoders.spec import (
    RECORD_FILE,
    Activation,
    EncoderSpec,
    file_hash,
    onnx_file,
    overridden,
    positions,
    read_spec,
)
from splade_connectors.errors import ConfigurationError, ModelError
from splade_connectors.options import EncodeOptions

Engine = Literal["onnx", "torch"]

BUNDLED = "splade-tiny"
_MODELS = Path(__file__).parent.parent / "models"
_HUB_ID = re.compile(r"\w[\w.-]*/\w[\w.-]*")

# Pickled weights (*.bin, *.pt) and code are never fetched.
_HUB_FILES = [
    "*.safetensors",
    "*.safetensors.index.json",
    "*.json",
    "model.onnx",
    "onnx/model.onnx",
]


def load_encoder(
    model: str | Path | None = None,
    *,
    engine: Engine = "onnx",
    options: EncodeOptions | None = None,
    activation: Activation | None = None,
    device: str | None = None,
    revision: str | None = None,
) -> SparseEncoder:
    """Load an encoder.

    Args:
        model: None for the bundled splade-tiny (nothing is downloaded), a model folder, or a
            Hugging Face id such as "prithivida/Splade_PP_en_v1".
        engine: "onnx" runs everything on ONNX Runtime; a model without an ONNX graph that pools
            is converted once into the user's cache folder. "torch" runs it as it is.
        options: how texts become vectors.
        activation: instead of what the model's folder says.
        device: for the torch engine: "cpu", "cuda", …
        revision: of a Hugging Face model.

    Raises:
        ModelError: when the model is missing, corrupt, or no SPLADE model.
        MissingDependency: with the pip line for what is not installed.
        ConfigurationError: for an option that does not fit.
    """
    options = options or EncodeOptions()
    if engine not in ("onnx", "torch"):
        raise ConfigurationError(f"engine must be 'onnx' or 'torch', not {engine!r}")
    if device and engine == "onnx":
        raise ConfigurationError("device is for engine='torch'; the ONNX encoder runs on the CPU")
    folder, found = _locate(model, revision)
    spec = overridden(
        found,
        positions=positions(folder),
        activation=activation,
        max_length=options.max_length,
        long_text=options.long_text,
        passage_overlap=options.passage_overlap,
    )
    if engine == "torch":
        from splade_connectors.encoders.engines.torch import TorchEncoder

        return TorchEncoder(folder, spec, options, device)
    from splade_connectors.encoders.engines.onnx import OnnxEncoder

    graph = _pooled_graph(folder, found, spec.activation)
    return OnnxEncoder(folder, graph, spec, options)


def _locate(model: str | Path | None, revision: str | None) -> tuple[Path, EncoderSpec]:
    if model is None or model == BUNDLED:
        folder = _MODELS / BUNDLED
        return folder, read_spec(folder)
    if isinstance(model, str) and model.startswith(("http://", "https://")):
        raise ConfigurationError(
            "an encoder behind a URL is not part of this version; pass a folder or a hub id"
        )
    if Path(model).exists():
        return Path(model), read_spec(Path(model))
    if isinstance(model, str) and _HUB_ID.fullmatch(model):
        folder, commit = _download(model, revision)
        return folder, read_spec(folder, name=model, revision=commit)
    raise ModelError(
        f"there is no model {str(model)!r}: pass an existing folder, a Hugging Face id "
        f"(OWNER/NAME), or nothing for the bundled {BUNDLED}"
    )


def _download(model: str, revision: str | None) -> tuple[Path, str]:
    from huggingface_hub import snapshot_download

    try:
        found = snapshot_download(model, revision=revision, allow_patterns=_HUB_FILES)
    except Exception as error:  # a dozen classes of three libraries: hub, HTTP client, cache
        reason = str(error).partition("\n")[0]
        raise ModelError(
            f"{model} could not be fetched from the Hugging Face hub ({type(error).__name__}: "
            f"{reason}); download it elsewhere and pass the folder"
        ) from error
    return Path(found), Path(found).name


def _pooled_graph(folder: Path, spec: EncoderSpec, activation: Activation) -> Path:
    """A graph that pools: the folder's own, or one converted into the cache."""
    graph = onnx_file(folder)
    if (folder / RECORD_FILE).is_file():
        return _recorded_graph(folder, graph, spec, activation)
    from splade_connectors.encoders.export.onnx_graph import convert

    spec = replace(spec, activation=activation)
    cached = _cache_folder(folder, graph, spec)
    if not (cached / "model.onnx").is_file():
        convert(folder, graph, spec, cached)
    return cached / "model.onnx"


def _recorded_graph(
    folder: Path, graph: Path | None, spec: EncoderSpec, activation: Activation
) -> Path:
    if graph is None:
        raise ModelError(f"the model folder {folder} has no model.onnx")
    if activation != spec.activation:
        raise ModelError(
            f"the graph of {spec.model} has the activation {spec.activation!r} built in; load the "
            f"folder with the model's weights for {activation!r}"
        )
    return graph


def _cache_folder(folder: Path, graph: Path | None, spec: EncoderSpec) -> Path:
    """Another one for everything that the conversion reads."""
    name = re.sub(r"[^\w.-]+", "--", spec.model)
    read = [folder / "config.json", *([graph] if graph else [])]
    state = hashlib.sha256("".join(file_hash(path) for path in read).encode()).hexdigest()[:8]
    folder_name = f"{name}-{spec.revision}-{spec.activation}-{state}"
    return user_cache_path("splade-connectors") / "models" / folder_name
