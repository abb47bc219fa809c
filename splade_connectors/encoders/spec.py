"""Read a model folder: kind, activation, length, tokenizer."""

from __future__ import annotations

from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import Any, get_args

from splade_connectors.encoders.model_files import (
    RECORD_FILE,
    file_hash,
    refuse_without_weights,
    revision_of,
)
from splade_connectors.encoders.routes import IDF_FILE, Task
from splade_connectors.encoders.sentence_transformers import Activation, Recipe, read_recipe
from splade_connectors.encoders.settings import Settings, read_settings
from splade_connectors.encoders.tokenizer_settings import (
    TOKENIZER_FILE,
    FolderTokenizer,
    Side,
    read_tokenizer,
)
from splade_connectors.errors import ModelError
from splade_connectors.options import PASSAGE_OVERLAP, LongText, Precision

# The number of positions of BERT and most of its relatives, if the configuration lacks it.
_POSITIONS = 512

# RoBERTa's position ids start after the padding id, so two of its positions are never used.
_POSITIONS_AFTER_PADDING = {"roberta", "xlm-roberta", "camembert", "mpnet"}


@dataclass(frozen=True, kw_only=True, slots=True)
class EncoderSpec:
    """What an encoder computes; the manifest of an index is made from it.

    Attributes:
        model: name of the model: a Hugging Face id, the folder's name, or "splade-tiny".
        revision: the hub's commit, or 16 hex digits over everything that affects the vectors of
            documents: weights in every file, configuration, tokenizer. Empty if only queries are
            encoded and nothing says which documents match them; `query_side` does then.
        tokenizer: the first 16 hex digits of the tokenizer file's SHA-256.
        vocabulary: number of terms.
        activation: "log1p" is log(1 + relu(x)), "log1p_log1p" is log(1 + log(1 + relu(x))).
        max_length: maximum number of tokens of a text, including special tokens.
        long_text: what happens to a text longer than `max_length`.
        passage_overlap: tokens shared by neighbouring passages, if `long_text` is "passages".
        precision: of the model's products, such as "fp32", or "int8" with the kernels.
        query_max_length: maximum number of tokens of a query; None takes `max_length`.
        query_prompt: prefix of every query.
        document_prompt: prefix of every document.
        truncation_side: the side on which a text longer than `max_length` is truncated.
        max_active_dims: maximum number of terms of a vector, keeping the heaviest; None for all.
        query_side: 16 hex digits over everything that affects a query's vector, if queries are
            encoded differently from documents; else None.
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
    query_max_length: int | None = None
    query_prompt: str = ""
    document_prompt: str = ""
    truncation_side: Side = "right"
    max_active_dims: int | None = None
    query_side: str | None = None

    def to_json(self) -> dict[str, Any]:
        """The spec as a JSON object; the inverse of `EncoderSpec(**…)`."""
        made = asdict(self)
        if self.query_side is None:
            # As before query sides existed, so that hashes of it stay the same.
            del made["query_side"]
        return made


@dataclass(frozen=True, kw_only=True, slots=True)
class ModelFolder:
    """A model folder after reading.

    Attributes:
        root: the folder itself.
        model: folder of configuration, weights and tokenizer: the root, or one inside it.
        spec: what the model computes.
        positions: number of positions, including those for special tokens.
        lowercase: whether texts are lowercased regardless of the tokenizer.
        recorded: whether this package exported it: its ONNX file pools, its tokenizer is complete.
    """

    root: Path
    model: Path
    spec: EncoderSpec
    positions: int
    lowercase: bool = False
    recorded: bool = False

    def tokenizer(self) -> FolderTokenizer:
        """The folder's tokenizer, with all of the folder's settings for it.

        Raises:
            ModelError: if it cannot be read, or has a token that the model lacks.
        """
        found = read_tokenizer(self.model, lowercase=self.lowercase)
        _refuse_tokens_beyond(found, self.spec, self.model / TOKENIZER_FILE)
        return found


def read_folder(
    folder: Path,
    *,
    name: str | None = None,
    revision: str | None = None,
    task: Task = "document",
) -> ModelFolder:
    """Read a model folder, in the layout of transformers or sentence-transformers.

    Args:
        folder: of the model.
        name: of the model; None takes the folder's name.
        revision: of the model; None derives it from the content.
        task: whose model, if documents and queries have their own.

    Raises:
        ModelError: if the folder holds no SPLADE model for this task: no tokenizer, another
            architecture, a static or dense model; the message says what it is.
    """
    if not folder.is_dir():
        raise ModelError(f"the model folder {folder} does not exist")
    if (folder / RECORD_FILE).is_file():
        refuse_without_tokenizer(folder)
        return _recorded(folder)
    label = name or folder.resolve().name
    # Before looking for the tokenizer: other kinds of models may keep it elsewhere.
    recipe = read_recipe(folder, label, task)
    refuse_without_tokenizer(recipe.folder)
    _refuse_queries_only(recipe.folder)
    config = read_settings(recipe.folder / "config.json")
    _refuse_other_architectures(label, config)
    _refuse_adapters(recipe.folder, config)
    refuse_without_weights(recipe.folder)
    positions = _positions(config)
    return ModelFolder(
        root=folder,
        model=recipe.folder,
        spec=_spec(folder, recipe, config, positions, label, revision, task),
        positions=positions,
        lowercase=recipe.lowercase,
    )


def read_spec(folder: Path, *, name: str | None = None, revision: str | None = None) -> EncoderSpec:
    """What the model of a folder computes; as `read_folder`."""
    return read_folder(folder, name=name, revision=revision).spec


def _spec(
    folder: Path,
    recipe: Recipe,
    config: Settings,
    positions: int,
    label: str,
    revision: str | None,
    task: Task,
) -> EncoderSpec:
    tokenizer = read_tokenizer(recipe.folder)
    # sentence-transformers uses its own length even if the tokenizer's is smaller.
    longest = recipe.max_length or min(positions, tokenizer.max_length or positions)
    document = min(positions, recipe.document_length or longest)
    query = min(positions, recipe.query_length or longest)
    vocabulary = config.integer("vocab_size")
    if vocabulary is None:
        raise ModelError(f"config.json of {label} has no vocab_size")
    return EncoderSpec(
        model=label,
        revision=revision or revision_of(folder, recipe.folder, task),
        tokenizer=file_hash(recipe.folder / TOKENIZER_FILE),
        vocabulary=vocabulary,
        activation=recipe.activation,
        max_length=document,
        query_max_length=None if query == document else query,
        query_prompt=recipe.query_prompt,
        document_prompt=recipe.document_prompt,
        truncation_side=tokenizer.truncation_side,
        max_active_dims=recipe.max_active_dims,
    )


def recorded_spec(folder: Path) -> EncoderSpec:
    """The spec recorded in a folder that this package wrote.

    Raises:
        ModelError: if the record is not valid.
    """
    raw = read_settings(folder / RECORD_FILE).section("spec")
    try:
        return EncoderSpec(**_checked(raw))
    except TypeError as error:
        raise ModelError(f"{folder / RECORD_FILE} is not an export record: {error}") from error


def _recorded(folder: Path) -> ModelFolder:
    record = read_settings(folder / RECORD_FILE)
    spec = recorded_spec(folder)
    positions = record.integer("positions", _POSITIONS)
    assert positions is not None
    return ModelFolder(root=folder, model=folder, spec=spec, positions=positions, recorded=True)


def _checked(raw: Settings) -> dict[str, Any]:
    """The entries of a recorded spec, with their types checked."""
    numbers = {"vocabulary", "max_length", "passage_overlap", "query_max_length", "max_active_dims"}
    choices: dict[str, Any] = {
        "activation": Activation,
        "long_text": LongText,
        "truncation_side": Side,
    }
    choices["precision"] = Precision
    found: dict[str, Any] = {}
    for field in fields(EncoderSpec):
        if field.name not in raw:
            continue
        if field.name in choices:
            known = get_args(choices[field.name])
            found[field.name] = raw.one_of(field.name, known, known[0])
        elif field.name in numbers:
            least = 0 if field.name == "passage_overlap" else 1
            found[field.name] = raw.integer(field.name, at_least=least)
        else:
            found[field.name] = raw.text(field.name)
    return found


def refuse_without_tokenizer(folder: Path) -> None:
    """Refuse a folder without tokenizer.json.

    Raises:
        ModelError: if it has none; says how to write one.
    """
    if not (folder / TOKENIZER_FILE).is_file():
        raise ModelError(
            f"the model folder {folder} has no tokenizer.json; save it there with "
            "AutoTokenizer.from_pretrained(…, use_fast=True).save_pretrained(…)"
        )


def _refuse_other_architectures(label: str, config: Settings) -> None:
    architectures = config.texts("architectures")
    if not any(architecture.endswith("ForMaskedLM") for architecture in architectures):
        model_type = config.text("model_type", "nameless")
        what = ", ".join(architectures) or f"a {model_type} model without a head"
        raise ModelError(f"{label} is {what}, not a masked-language model (…ForMaskedLM)")


def _refuse_queries_only(folder: Path) -> None:
    if (folder / IDF_FILE).is_file() and not (folder / "config.json").is_file():
        raise ModelError(
            f"the model folder {folder} holds only query weights ({IDF_FILE}; it has no "
            "config.json): it encodes queries (queries_only=True), but documents need the model"
        )


def _refuse_adapters(folder: Path, config: Settings) -> None:
    if (folder / "adapter_config.json").is_file():
        raise ModelError(
            f"the model folder {folder} holds an adapter (adapter_config.json): merge it into the "
            "model (merge_and_unload) and save the merged model"
        )
    if "quantization_config" in config:
        raise ModelError(
            f"{config.where} has a quantization_config, which is not supported: save the model "
            "without quantization, or export it to ONNX"
        )


def _refuse_tokens_beyond(tokenizer: FolderTokenizer, spec: EncoderSpec, path: Path) -> None:
    beyond = {
        at: token
        for token, at in tokenizer.tokenizer.get_vocab(with_added_tokens=True).items()
        if at >= spec.vocabulary
    }
    if beyond:
        first = min(beyond)
        raise ModelError(
            f"the tokenizer {path} has {beyond[first]!r} as token {first}, but the head of "
            f"{spec.model} has {spec.vocabulary} terms: a text with that token cannot be encoded"
        )


def _positions(config: Settings) -> int:
    count = config.integer("max_position_embeddings", _POSITIONS)
    assert count is not None
    if config.text("model_type") in _POSITIONS_AFTER_PADDING:
        padding = config.integer("pad_token_id", 0, at_least=0)
        assert padding is not None
        count -= padding + 1
    if count < 1:
        raise ModelError(f"{config.where} leaves {count} positions for tokens")
    return count


def overridden(
    spec: EncoderSpec,
    *,
    positions: int,
    activation: Activation | None,
    max_length: int | None,
    long_text: LongText | None,
    passage_overlap: int | None,
) -> EncoderSpec:
    """The spec with the caller's settings in place of the folder's.

    Raises:
        ModelError: if `max_length` exceeds `positions`, the model's number of positions.
    """
    if max_length is not None and max_length > positions:
        raise ModelError(
            f"max_length={max_length} exceeds the {positions} token positions of {spec.model}; "
            "long_text='passages' encodes longer texts"
        )
    query = spec.query_max_length
    return replace(
        spec,
        activation=activation or spec.activation,
        max_length=max_length or spec.max_length,
        query_max_length=min(query, max_length) if query and max_length else query,
        long_text=long_text or "truncate",
        passage_overlap=PASSAGE_OVERLAP if passage_overlap is None else passage_overlap,
    )
