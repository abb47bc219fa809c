"""What a model folder says about its model: kind, activation, length, tokenizer."""

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
from splade_connectors.encoders.routes import Task
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

# What BERT and nearly all of its kin have, for files that do not say it.
_POSITIONS = 512

# RoBERTa's position ids begin after the padding id: two of its positions are never used.
_POSITIONS_AFTER_PADDING = {"roberta", "xlm-roberta", "camembert", "mpnet"}


@dataclass(frozen=True, kw_only=True, slots=True)
class EncoderSpec:
    """What an encoder computes; the manifest of an index is made from it.

    Attributes:
        model: name of the model: a Hugging Face id, the folder's name, or "splade-tiny".
        revision: the hub's commit, or 16 hex digits over everything that changes the vectors of
            documents: weights in every file, configuration, tokenizer. Empty where queries alone
            are encoded and nothing says which documents go with them: `query_side` tells then.
        tokenizer: the first 16 hex digits of the tokenizer file's SHA-256.
        vocabulary: number of terms.
        activation: "log1p" is log(1 + relu(x)), "log1p_log1p" is log(1 + log(1 + relu(x))).
        max_length: most tokens of a text, special tokens included.
        long_text: what happens beyond `max_length`.
        passage_overlap: tokens shared by neighbouring passages, where `long_text` is "passages".
        precision: of the model's products: "fp32", or "int8" with the kernels.
        query_max_length: most tokens of a query, None when it is that of every text.
        query_prompt: put before every query.
        document_prompt: put before every document.
        truncation_side: where a text loses what is beyond `max_length`.
        max_active_dims: most terms of a vector, the heaviest; None for all.
        query_side: 16 hex digits over everything that changes a query's vector, where queries are
            encoded in another way than documents; None if both are alike.
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
        """A JSON object; the inverse of `EncoderSpec(**…)`."""
        made = asdict(self)
        if self.query_side is None:
            # As it was before there were sides: what was made of it stays the same.
            del made["query_side"]
        return made


@dataclass(frozen=True, kw_only=True, slots=True)
class ModelFolder:
    """A model folder that was read.

    Attributes:
        root: the folder itself.
        model: where configuration, weights and tokenizer lie: the folder, or one inside it.
        spec: what the model computes.
        positions: most tokens that it has positions for, special tokens included.
        lowercase: whether texts are put in lower case whatever the tokenizer does.
        recorded: whether this package exported it: its ONNX file pools, its tokenizer is complete.
    """

    root: Path
    model: Path
    spec: EncoderSpec
    positions: int
    lowercase: bool = False
    recorded: bool = False

    def tokenizer(self) -> FolderTokenizer:
        """The folder's tokenizer, with every setting that the folder has for it.

        Raises:
            ModelError: when it cannot be read, or has a token that the model has not.
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
        folder: the folder.
        name: of the model; None takes the folder's.
        revision: of the model; None makes one of the content.
        task: whose model, where documents and queries have their own.

    Raises:
        ModelError: when the folder holds no SPLADE model for this task: no tokenizer, another
            architecture, a static or dense model; the message says what it is.
    """
    if not folder.is_dir():
        raise ModelError(f"there is no model folder {folder}")
    if (folder / RECORD_FILE).is_file():
        refuse_without_tokenizer(folder)
        return _recorded(folder)
    label = name or folder.resolve().name
    # First of all: models of other kinds may keep their tokenizer elsewhere.
    recipe = read_recipe(folder, label, task)
    refuse_without_tokenizer(recipe.folder)
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
    """What the model of a folder computes. As `read_folder`."""
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
    # sentence-transformers takes its own length without comparing it with the tokenizer's.
    longest = recipe.max_length or min(positions, tokenizer.max_length or positions)
    document = min(positions, recipe.document_length or longest)
    query = min(positions, recipe.query_length or longest)
    vocabulary = config.integer("vocab_size")
    if vocabulary is None:
        raise ModelError(f"config.json of {label} does not say its vocab_size")
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
    """What the record in a folder of this package says.

    Raises:
        ModelError: when it says no such thing.
    """
    raw = read_settings(folder / RECORD_FILE).section("spec")
    try:
        return EncoderSpec(**_checked(raw))
    except TypeError as error:
        raise ModelError(f"{folder / RECORD_FILE} is not a record of an export: {error}") from error


def _recorded(folder: Path) -> ModelFolder:
    record = read_settings(folder / RECORD_FILE)
    spec = recorded_spec(folder)
    positions = record.integer("positions", _POSITIONS)
    assert positions is not None
    return ModelFolder(root=folder, model=folder, spec=spec, positions=positions, recorded=True)


def _checked(raw: Settings) -> dict[str, Any]:
    """The entries of a recorded spec, each of its type."""
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
        ModelError: saying what writes one.
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
        what = ", ".join(architectures) or f"a {model_type} without a head"
        raise ModelError(f"{label} is {what}, not a masked-language model (…ForMaskedLM)")


def _refuse_adapters(folder: Path, config: Settings) -> None:
    if (folder / "adapter_config.json").is_file():
        raise ModelError(
            f"the model folder {folder} holds an adapter (adapter_config.json): merge it into the "
            "model (merge_and_unload) and save the whole"
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
            f"the tokenizer {path} has {beyond[first]!r} as token {first}, and {spec.model} a head "
            f"of {spec.vocabulary} terms: a text with that token could not be encoded"
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
    """The spec with what the caller asked for instead of what the folder says.

    Raises:
        ModelError: when `max_length` exceeds `positions`, what the model has positions for.
    """
    if max_length is not None and max_length > positions:
        raise ModelError(
            f"max_length={max_length} is more than the {positions} tokens that {spec.model} has "
            "positions for; long_text='passages' encodes longer texts"
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
