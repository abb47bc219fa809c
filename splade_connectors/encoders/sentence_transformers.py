"""Read the files of sentence-transformers (5 and 6) in a model folder, or refuse them.

Every setting that affects the vectors is either applied or refused by name.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from splade_connectors.encoders.routes import (
    IDF_FILE,
    MODULES_FILE,
    Module,
    Task,
    files_of_routes,
    has_sides,
    modules_of,
)
from splade_connectors.encoders.settings import Settings, read_settings
from splade_connectors.errors import ModelError

Activation = Literal["log1p", "log1p_log1p"]
ACTIVATIONS: dict[str, Activation] = {"relu": "log1p", "log1p_relu": "log1p_log1p"}

CONFIG_FILE = "config_sentence_transformers.json"

# Matches the names of the first two versions of OpenSearch's models.
_ONE_LOGARITHM = re.compile(r"doc-v[12](?![0-9])")

# Up to 5.3 the masked-language model is an MLMTransformer, from 5.4 on a Transformer with a task.
_SPLADE_MODULES = (["MLMTransformer", "SpladePooling"], ["Transformer", "SpladePooling"])

# In old folders the name depends on the model type; sentence-transformers reads the first match.
_FIRST_MODULE_FILES = (
    "sentence_bert_config.json",
    "sentence_roberta_config.json",
    "sentence_distilbert_config.json",
    "sentence_camembert_config.json",
    "sentence_albert_config.json",
    "sentence_xlm-roberta_config.json",
    "sentence_xlnet_config.json",
)
# Arguments for loading the model, the tokenizer and the configuration, under both of their names.
_ARGUMENTS = tuple(
    f"{what}_{kind}"
    for what in ("model", "processor", "tokenizer", "config")
    for kind in ("args", "kwargs")
)
# Settings of the first module that are read here, or affect no vector.
_FIRST_MODULE_SETTINGS = {
    "max_seq_length",
    "do_lower_case",
    "query_length",
    "document_length",
    "transformer_task",
    "modality_config",
    "module_output_name",
    "unpad_inputs",
    *_ARGUMENTS,
}
# Accepted arguments: how attention is computed, the precision, and what `_length` reads.
_HARMLESS: dict[str, tuple[str, ...]] = {
    "model": (
        "attn_implementation",
        "low_cpu_mem_usage",
        "use_safetensors",
        "dtype",
        "torch_dtype",
    ),
    "processor": ("model_max_length",),
    "tokenizer": ("model_max_length",),
}


@dataclass(frozen=True, kw_only=True, slots=True)
class Whole:
    """Settings of a whole model.

    Attributes:
        query_prompt: prefix of every query.
        document_prompt: prefix of every document.
        max_active_dims: maximum number of terms of a vector; the heaviest are kept.
    """

    query_prompt: str = ""
    document_prompt: str = ""
    max_active_dims: int | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Recipe:
    """What sentence-transformers does with a text before and after the model.

    Attributes:
        folder: of the model and its tokenizer.
        activation: one log or two.
        max_length: maximum number of tokens of a text; None takes the tokenizer's.
        query_length: maximum number of tokens of a query; None takes `max_length`.
        document_length: maximum number of tokens of a document; None takes `max_length`.
        lowercase: whether texts are lowercased regardless of the tokenizer.
        query_prompt: prefix of every query.
        document_prompt: prefix of every document.
        max_active_dims: maximum number of terms of a vector; the heaviest are kept.
    """

    folder: Path
    activation: Activation = "log1p"
    max_length: int | None = None
    query_length: int | None = None
    document_length: int | None = None
    lowercase: bool = False
    query_prompt: str = ""
    document_prompt: str = ""
    max_active_dims: int | None = None


def files_of(folder: Path, task: Task = "document") -> list[Path]:
    """The existing files that `read_recipe` reads."""
    if not (folder / MODULES_FILE).is_file():
        return []
    files = [*files_of_routes(folder), folder / CONFIG_FILE]
    for _, at in modules_of(folder, task):
        files += [at / name for name in (*_FIRST_MODULE_FILES, "config.json")]
    return list(dict.fromkeys(file for file in files if file.is_file()))


def read_recipe(folder: Path, label: str, task: Task = "document") -> Recipe:
    """The recipe given by a folder's modules; the plain recipe if it has none.

    Without modules.json, sentence-transformers reads none of its other files either.

    Args:
        folder: of the model.
        label: name of the model, for messages.
        task: whose modules, if documents and queries have their own.

    Raises:
        ModelError: if this is another kind of model, or has an unsupported setting.
    """
    if not (folder / MODULES_FILE).is_file():
        return Recipe(folder=folder, activation=_activation_without_modules(folder, label))
    modules = modules_of(folder, task)
    _refuse_other_kinds(folder, label, modules, task)
    (first, model), (_, pooling) = modules
    settings = _first_module(model)
    _refuse_other_tasks(settings, first, label)
    whole = read_whole(folder)
    return Recipe(
        folder=model,
        activation=_activation(pooling, label),
        max_length=_length(settings),
        query_length=settings.integer("query_length"),
        document_length=settings.integer("document_length"),
        lowercase=bool(settings.flag("do_lower_case")),
        query_prompt=whole.query_prompt,
        document_prompt=whole.document_prompt,
        max_active_dims=whole.max_active_dims,
    )


def read_whole(folder: Path) -> Whole:
    """The settings that apply to all modules of a folder.

    Raises:
        ModelError: for a setting that makes this another kind of model, or changes its scores.
    """
    settings = read_settings(folder / CONFIG_FILE, optional=True)
    return Whole(
        query_prompt=_prompt(settings, "query"),
        document_prompt=_prompt(settings, "document"),
        max_active_dims=_whole_model(settings),
    )


def _refuse_other_kinds(folder: Path, label: str, modules: list[Module], task: Task) -> None:
    kinds = [kind for kind, _ in modules]
    if kinds not in _SPLADE_MODULES:
        raise ModelError(
            f"{label} is a sentence-transformers model of {' + '.join(kinds) or 'no modules'}"
            f"{_for(folder, task)}, not a SPLADE model (MLMTransformer + SpladePooling)"
        )


def _for(folder: Path, task: Task) -> str:
    return f" for {'documents' if task == 'document' else 'queries'}" if has_sides(folder) else ""


def _first_module(folder: Path) -> Settings:
    for name in _FIRST_MODULE_FILES:
        # sentence-transformers treats an empty object as missing.
        if (folder / name).is_file() and (found := read_settings(folder / name)).values:
            return found
    return Settings({}, str(folder / _FIRST_MODULE_FILES[0]))


def _refuse_other_tasks(settings: Settings, kind: str, label: str) -> None:
    settings.refuse_others(_FIRST_MODULE_SETTINGS)
    task = settings.text("transformer_task", "fill-mask" if kind == "MLMTransformer" else None)
    if task != "fill-mask":
        raise ModelError(
            f"{label} has transformer_task {task or 'feature-extraction'!r}, not 'fill-mask' "
            f"({settings.where}): its vectors do not come from the masked-language-model head"
        )
    if settings.text("module_output_name", "token_embeddings") != "token_embeddings":
        raise settings.wrong("module_output_name", "'token_embeddings'")
    modalities = settings.section("modality_config")
    text = {"method": "forward", "method_output_name": "logits"}
    if modalities.values and modalities.values != {"text": text}:
        raise settings.wrong("modality_config", f"that of a text-only model ({text})")
    for name in _ARGUMENTS:
        known = _HARMLESS.get(name.partition("_")[0], ())
        settings.section(name).refuse_others(known, also_false=True)


def _length(settings: Settings) -> int | None:
    """The length: `model_max_length` in the tokenizer's arguments overrides `max_seq_length`."""
    for name in ("processor_kwargs", "processor_args", "tokenizer_kwargs", "tokenizer_args"):
        if (length := settings.section(name).integer("model_max_length")) is not None:
            return length
    return settings.integer("max_seq_length")


def _activation_without_modules(folder: Path, label: str) -> Activation:
    """OpenSearch's model cards alone say it: two logs from the third version on."""
    if not (folder / IDF_FILE).is_file() or _ONE_LOGARITHM.search(label):
        return "log1p"
    return "log1p_log1p"


def _activation(folder: Path, label: str) -> Activation:
    settings = read_settings(folder / "config.json")
    settings.refuse_others(
        {"pooling_strategy", "activation_function", "chunk_size"}
        | {"embedding_dimension", "word_embedding_dimension"}
    )
    strategy = settings.text("pooling_strategy", "max")
    if strategy != "max":
        raise ModelError(
            f"{label} pools by {strategy!r}; only 'max', the maximum over tokens, is supported "
            f"(pooling_strategy in {settings.where})"
        )
    function = settings.text("activation_function", "relu")
    if function not in ACTIVATIONS:
        known = ", ".join(ACTIVATIONS)
        raise ModelError(
            f"{label} has the activation {function!r}; supported are {known} "
            f"(activation_function in {settings.where})"
        )
    return ACTIVATIONS[function]


def _whole_model(settings: Settings) -> int | None:
    """`max_active_dims`; refuses settings of another kind of model, or that change its scores."""
    kind = settings.text("model_type", "SparseEncoder")
    if kind != "SparseEncoder":
        raise ModelError(f"{settings.where} has model_type {kind!r}, not 'SparseEncoder'")
    similarity = settings.text("similarity_fn_name", "dot")
    if similarity != "dot":
        raise ModelError(
            f"{settings.where} has similarity_fn_name {similarity!r}, but stores score by dot "
            "product"
        )
    prompts = settings.section("prompts")
    default = settings.text("default_prompt_name")
    if default is not None and default not in ("query", "document") and prompts.text(default):
        # encode() prefixes it to every text, encode_query() and encode_document() do not.
        raise ModelError(
            f"{settings.where} has default_prompt_name {default!r}, which does not say whether it "
            "is for queries or documents: name the prompt 'query' or 'document'"
        )
    return settings.integer("max_active_dims")


def _prompt(settings: Settings, name: str) -> str:
    # Chosen as by encode_query() and encode_document(): prompts with other names have to be
    # requested.
    return settings.section("prompts").text(name) or ""
