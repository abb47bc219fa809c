"""What the files of sentence-transformers (5 and 6) in a model folder say, or why they are refused.

Every setting that changes the vectors is taken over here, or refused by its name.
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

# Of the names of OpenSearch's models: the first two versions.
_ONE_LOGARITHM = re.compile(r"doc-v[12](?![0-9])")

# Up to 5.3 the masked-language model is an MLMTransformer, from 5.4 on a Transformer that says so.
_SPLADE_MODULES = (["MLMTransformer", "SpladePooling"], ["Transformer", "SpladePooling"])

# Its name depends on the model's type in old folders; sentence-transformers reads the first one.
_FIRST_MODULE_FILES = (
    "sentence_bert_config.json",
    "sentence_roberta_config.json",
    "sentence_distilbert_config.json",
    "sentence_camembert_config.json",
    "sentence_albert_config.json",
    "sentence_xlm-roberta_config.json",
    "sentence_xlnet_config.json",
)
# Arguments of the loading of model, tokenizer and configuration, under both of their names.
_ARGUMENTS = tuple(
    f"{what}_{kind}"
    for what in ("model", "processor", "tokenizer", "config")
    for kind in ("args", "kwargs")
)
# Of the first module: what is read here, and what changes no vector.
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
# Among these: how attention is computed, in which precision, and what `_length` reads.
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
        query_prompt: put before every query.
        document_prompt: put before every document.
        max_active_dims: most terms of a vector, the heaviest.
    """

    query_prompt: str = ""
    document_prompt: str = ""
    max_active_dims: int | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Recipe:
    """What sentence-transformers makes of a text before and after the model.

    Attributes:
        folder: where the model and its tokenizer lie.
        activation: one log or two.
        max_length: most tokens of a text, None when only the tokenizer says it.
        query_length: most tokens of a query, None when it is that of every text.
        document_length: most tokens of a document, likewise.
        lowercase: whether texts are put in lower case whatever the tokenizer does.
        query_prompt: put before every query.
        document_prompt: put before every document.
        max_active_dims: most terms of a vector, the heaviest.
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
    """The files whose settings `read_recipe` reads, those that are there."""
    if not (folder / MODULES_FILE).is_file():
        return []
    files = [*files_of_routes(folder), folder / CONFIG_FILE]
    for _, at in modules_of(folder, task):
        files += [at / name for name in (*_FIRST_MODULE_FILES, "config.json")]
    return list(dict.fromkeys(file for file in files if file.is_file()))


def read_recipe(folder: Path, label: str, task: Task = "document") -> Recipe:
    """What the modules of a folder say; the plain recipe when it has none.

    Without modules.json, sentence-transformers reads none of its other files either.

    Args:
        folder: of the model.
        label: of the model, for messages.
        task: whose modules, where documents and queries have their own.

    Raises:
        ModelError: when this is another kind of model, or has a setting that is not supported.
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
    """What holds for every module of a folder.

    Raises:
        ModelError: for what would make another model or other scores of it.
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
        # An empty object counts as absent there.
        if (folder / name).is_file() and (found := read_settings(folder / name)).values:
            return found
    return Settings({}, str(folder / _FIRST_MODULE_FILES[0]))


def _refuse_other_tasks(settings: Settings, kind: str, label: str) -> None:
    settings.refuse_others(_FIRST_MODULE_SETTINGS)
    task = settings.text("transformer_task", "fill-mask" if kind == "MLMTransformer" else None)
    if task != "fill-mask":
        raise ModelError(
            f"{label} runs its model for transformer_task {task or 'feature-extraction'!r}, not "
            f"for 'fill-mask' ({settings.where}): its vectors do not come from the "
            "masked-language-model head"
        )
    if settings.text("module_output_name", "token_embeddings") != "token_embeddings":
        raise settings.wrong("module_output_name", "'token_embeddings'")
    modalities = settings.section("modality_config")
    text = {"method": "forward", "method_output_name": "logits"}
    if modalities.values and modalities.values != {"text": text}:
        raise settings.wrong("modality_config", f"that of a model of texts alone ({text})")
    for name in _ARGUMENTS:
        known = _HARMLESS.get(name.partition("_")[0], ())
        settings.section(name).refuse_others(known, also_false=True)


def _length(settings: Settings) -> int | None:
    """`model_max_length` among the tokenizer's arguments goes before `max_seq_length`."""
    for name in ("processor_kwargs", "processor_args", "tokenizer_kwargs", "tokenizer_args"):
        if (length := settings.section(name).integer("model_max_length")) is not None:
            return length
    return settings.integer("max_seq_length")


def _activation_without_modules(folder: Path, label: str) -> Activation:
    """OpenSearch's models say it on their cards only: twice from the third version on."""
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
            f"{label} pools by {strategy!r}; only the maximum over tokens is known "
            f"(pooling_strategy in {settings.where})"
        )
    function = settings.text("activation_function", "relu")
    if function not in ACTIVATIONS:
        known = ", ".join(ACTIVATIONS)
        raise ModelError(
            f"{label} has the activation {function!r}; known are {known} "
            f"(activation_function in {settings.where})"
        )
    return ACTIVATIONS[function]


def _whole_model(settings: Settings) -> int | None:
    """`max_active_dims`; refused is what would make another model or other scores of it."""
    kind = settings.text("model_type", "SparseEncoder")
    if kind != "SparseEncoder":
        raise ModelError(f"{settings.where} has model_type {kind!r}, not 'SparseEncoder'")
    similarity = settings.text("similarity_fn_name", "dot")
    if similarity != "dot":
        raise ModelError(
            f"{settings.where} has similarity_fn_name {similarity!r}; scores of stores are dot "
            "products"
        )
    prompts = settings.section("prompts")
    default = settings.text("default_prompt_name")
    if default is not None and default not in ("query", "document") and prompts.text(default):
        # encode() puts it before every text, encode_query() and encode_document() do not.
        raise ModelError(
            f"{settings.where} has default_prompt_name {default!r}, which does not say whether it "
            "is for queries or documents: name the prompt 'query' or 'document'"
        )
    return settings.integer("max_active_dims")


def _prompt(settings: Settings, name: str) -> str:
    # As encode_query() and encode_document() choose it: prompts of other names are for callers who
    # ask for them.
    return settings.section("prompts").text(name) or ""
