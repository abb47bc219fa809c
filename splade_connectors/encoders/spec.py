"""What a model folder says about its model: kind, activation, length, tokenizer."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Literal

from splade_connectors.errors import ModelError
from splade_connectors.options import PASSAGE_OVERLAP, LongText, Precision

Activation = Literal["log1p", "log1p_log1p"]

# Written beside an ONNX file whose graph already pools: ours, exported or bundled.
RECORD_FILE = "splade_connectors.json"

# What BERT and nearly all of its kin have, for files that do not say it.
_POSITIONS = 512

# sentence-transformers 5.4 and later save the masked-language model as "Transformer".
_SPLADE_MODULES = (["MLMTransformer", "SpladePooling"], ["Transformer", "SpladePooling"])

# RoBERTa's position ids begin after the padding id: two of its positions are never used.
_POSITIONS_AFTER_PADDING = {"roberta", "xlm-roberta", "camembert", "mpnet"}


@dataclass(frozen=True, kw_only=True, slots=True)
class EncoderSpec:
    """What an encoder computes; the manifest of an index is made from it.

    Attributes:
        model: name of the model: a Hugging Face id, the folder's name, or "splade-tiny".
        revision: the hub's commit, or the first 16 hex digits of the weights' SHA-256.
        tokenizer: the first 16 hex digits of the tokenizer file's SHA-256.
        vocabulary: number of terms.
        activation: "log1p" is log(1 + relu(x)), "log1p_log1p" is log(1 + log(1 + relu(x))).
        max_length: most tokens of a text, special tokens included.
        long_text: what happens beyond `max_length`.
        passage_overlap: tokens shared by neighbouring passages, where `long_text` is "passages".
        precision: of the model's products: "fp32", or "int8" with the kernels.
    """

    model: str
    revision: str
    tokenizer: str
    vocabulary: int
    activation: Activation
    max_length: int
    long_text: LongText = "truncate"
    passage_overlap: int = PASSAGE_OVERLAP
    precision: Precision = "fp32"

    def to_json(self) -> dict[str, Any]:
        """A JSON object; the inverse of `EncoderSpec(**…)`."""
        return asdict(self)


def read_spec(folder: Path, *, name: str | None = None, revision: str | None = None) -> EncoderSpec:
    """Read a model folder, in the layout of transformers or sentence-transformers.

    Raises:
        ModelError: when the folder holds no SPLADE model: no tokenizer, another architecture,
            an inference-free or dense model; the message says what it is.
    """
    if not folder.is_dir():
        raise ModelError(f"there is no model folder {folder}")
    label = name or folder.resolve().name
    tokenizer = folder / "tokenizer.json"
    recorded = (folder / RECORD_FILE).is_file()
    if not recorded:
        # First of all: models of other kinds may keep their tokenizer elsewhere.
        _refuse_other_modules(folder, label)
    if not tokenizer.is_file():
        raise ModelError(
            f"the model folder {folder} has no tokenizer.json; save it there with "
            "AutoTokenizer.from_pretrained(…, use_fast=True).save_pretrained(…)"
        )
    if recorded:
        return _recorded(folder)
    config = _json(folder / "config.json")
    _refuse_other_architectures(label, config)
    _refuse_without_weights(folder)
    return EncoderSpec(
        model=label,
        revision=revision or _weights_hash(folder),
        tokenizer=file_hash(tokenizer),
        vocabulary=int(config["vocab_size"]),
        activation=_activation(folder, label),
        max_length=_max_length(folder, config),
    )


def positions(folder: Path) -> int:
    """Most tokens that the model of a folder has positions for, special tokens included."""
    if (folder / RECORD_FILE).is_file():
        return int(_json(folder / RECORD_FILE).get("positions") or _POSITIONS)
    return _positions(_json(folder / "config.json"))


def onnx_file(folder: Path) -> Path | None:
    """The ONNX file of a model folder, None if it has none."""
    for candidate in (folder / "model.onnx", folder / "onnx" / "model.onnx"):
        if candidate.is_file():
            return candidate
    return None


def has_weights(folder: Path) -> bool:
    """Whether a model folder has weights that are read without unpickling."""
    return any(folder.glob("model*.safetensors"))


def file_hash(path: Path) -> str:
    """The first 16 hex digits of a file's SHA-256."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()[:16]


def _recorded(folder: Path) -> EncoderSpec:
    record = _json(folder / RECORD_FILE)
    try:
        return EncoderSpec(**record["spec"])
    except (KeyError, TypeError) as error:
        raise ModelError(f"{folder / RECORD_FILE} is no record of an export: {error}") from error


def _json(path: Path) -> dict[str, Any]:
    value = _parsed(path)
    if not isinstance(value, dict):
        raise ModelError(f"{path} holds {type(value).__name__}, not a JSON object")
    return value


def _parsed(path: Path) -> Any:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise ModelError(f"the model folder {path.parent} has no {path.name}") from error
    except ValueError as error:
        raise ModelError(f"{path} is not valid JSON: {error}") from error


def _modules(folder: Path) -> list[Mapping[str, str]]:
    path = folder / "modules.json"
    if not path.is_file():
        return []
    try:
        return [{"type": str(entry["type"]), "path": str(entry["path"])} for entry in _parsed(path)]
    except (KeyError, TypeError) as error:
        raise ModelError(f"{path} is no list of modules with type and path") from error


def _refuse_other_modules(folder: Path, label: str) -> None:
    kinds = [module["type"].rpartition(".")[2] for module in _modules(folder)]
    if "Router" in kinds or "SparseStaticEmbedding" in kinds:
        raise ModelError(
            f"{label} is an inference-free model ({', '.join(kinds)}); this version encodes "
            "models that use the masked-language-model head for documents and queries alike"
        )
    if kinds and kinds not in _SPLADE_MODULES:
        raise ModelError(
            f"{label} is a sentence-transformers model of {' + '.join(kinds)}, not a SPLADE model "
            "(MLMTransformer + SpladePooling)"
        )


def _refuse_other_architectures(label: str, config: Mapping[str, Any]) -> None:
    architectures = config.get("architectures") or []
    if not any(architecture.endswith("ForMaskedLM") for architecture in architectures):
        what = ", ".join(architectures) or f"a {config.get('model_type', 'nameless')} without head"
        raise ModelError(f"{label} is {what}, not a masked-language model (…ForMaskedLM)")
    if "vocab_size" not in config:
        raise ModelError(f"config.json of {label} does not say its vocab_size")


def _activation(folder: Path, label: str) -> Activation:
    pooling = [module for module in _modules(folder) if module["type"].endswith("SpladePooling")]
    if not pooling:
        return "log1p"
    settings = _json(folder / pooling[0]["path"] / "config.json")
    strategy = settings.get("pooling_strategy", "max")
    if strategy != "max":
        raise ModelError(f"{label} pools by {strategy!r}; only the maximum over tokens is known")
    function = settings.get("activation_function", "relu")
    known: dict[str, Activation] = {"relu": "log1p", "log1p_relu": "log1p_log1p"}
    if function not in known:
        raise ModelError(f"{label} has the activation {function!r}; known are {', '.join(known)}")
    return known[function]


def _max_length(folder: Path, config: Mapping[str, Any]) -> int:
    lengths = [_positions(config)]
    if (folder / "tokenizer_config.json").is_file():
        settings = _json(folder / "tokenizer_config.json")
        lengths.append(int(settings.get("model_max_length") or lengths[0]))
    for module in _modules(folder)[:1]:
        path = folder / module["path"] / "sentence_bert_config.json"
        if path.is_file():
            lengths.append(int(_json(path).get("max_seq_length") or lengths[0]))
    bare = folder / "sentence_bert_config.json"
    if bare.is_file():
        lengths.append(int(_json(bare).get("max_seq_length") or lengths[0]))
    return min(lengths)


def _positions(config: Mapping[str, Any]) -> int:
    count = int(config.get("max_position_embeddings") or _POSITIONS)
    if config.get("model_type") in _POSITIONS_AFTER_PADDING:
        count -= int(config.get("pad_token_id") or 0) + 1
    return count


def _refuse_without_weights(folder: Path) -> None:
    if not has_weights(folder) and onnx_file(folder) is None:
        raise ModelError(
            f"the model folder {folder} has neither model.safetensors nor an ONNX file "
            "(pickled weights such as pytorch_model.bin are not read)"
        )


def _weights_hash(folder: Path) -> str:
    if (folder / "model.safetensors").is_file():
        return file_hash(folder / "model.safetensors")
    if (folder / "model.safetensors.index.json").is_file():
        # The index alone is the same before and after a training: the shards count.
        shards = "".join(file_hash(path) for path in sorted(folder.glob("model-*.safetensors")))
        return hashlib.sha256(shards.encode()).hexdigest()[:16]
    graph = onnx_file(folder)
    assert graph is not None  # _refuse_without_weights
    return file_hash(graph)


def overridden(
    spec: EncoderSpec,
    *,
    positions: int,
    activation: Activation | None,
    max_length: int | None,
    long_text: LongText | None,
    passage_overlap: int | None,
) -> EncoderSpec:
    """The spec with what the caller asked for instead of what the folder says.

    Raises:
        ModelError: when `max_length` exceeds `positions`, what the model has positions for.
    """
    if max_length is not None and max_length > positions:
        raise ModelError(
            f"max_length={max_length} is more than the {positions} tokens that {spec.model} has "
            "positions for; long_text='passages' encodes longer texts"
        )
    return replace(
        spec,
        activation=activation or spec.activation,
        max_length=max_length or spec.max_length,
        long_text=long_text or "truncate",
        passage_overlap=PASSAGE_OVERLAP if passage_overlap is None else passage_overlap,
    )
