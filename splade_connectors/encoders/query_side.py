"""The query side of a model folder, if queries are encoded differently from documents."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, replace
from pathlib import Path

from splade_connectors.encoders.inference_free import InferenceFreeEncoder
from splade_connectors.encoders.model_files import RECORD_FILE, file_hash, tokenizer_state
from splade_connectors.encoders.routes import IDF_FILE, MODULES_FILE, STATIC, has_sides, modules_of
from splade_connectors.encoders.sentence_transformers import Whole, read_whole
from splade_connectors.encoders.settings import read_settings
from splade_connectors.encoders.spec import (
    EncoderSpec,
    ModelFolder,
    read_folder,
    recorded_spec,
    refuse_without_tokenizer,
)
from splade_connectors.encoders.static_weights import StaticWeights, idf_weights, module_weights
from splade_connectors.encoders.text_tokens import MOST_CHARACTERS_OF_A_QUERY
from splade_connectors.encoders.tokenizer_settings import (
    TOKENIZER_FILE,
    FolderTokenizer,
    read_tokenizer,
)
from splade_connectors.errors import ModelError
from splade_connectors.options import EncodeOptions

# Maximum number of tokens of a query of OpenSearch's models.
_LONGEST = 512


@dataclass(frozen=True, kw_only=True, slots=True)
class StaticSide:
    """A query side that is a table of weights.

    Attributes:
        spec: of the model, as far as this side knows it.
        tokenizer: of queries.
        weights: float32[terms].
    """

    spec: EncoderSpec
    tokenizer: FolderTokenizer
    weights: StaticWeights

    def encoder(self, options: EncodeOptions, refusal: str) -> InferenceFreeEncoder:
        """Make the encoder of the queries."""
        return InferenceFreeEncoder(self.tokenizer, self.weights, self.spec, options, refusal)


@dataclass(frozen=True, kw_only=True, slots=True)
class ModelSide:
    """A query side that is a separate model ("efficient SPLADE").

    Attributes:
        folder: of the model; its spec has the revision of the query side.
    """

    folder: ModelFolder

    @property
    def tokenizer(self) -> FolderTokenizer:
        """The tokenizer of queries; read again at each access."""
        return self.folder.tokenizer()

    def for_queries(self, spec: EncoderSpec, revision: str | None) -> EncoderSpec:
        """The spec of an encoder for queries only."""
        side = side_hash(spec.revision, tokenizer_state(self.folder.model))
        return replace(spec, query_side=side, revision=revision or "")


QuerySide = StaticSide | ModelSide


def read_query_side(folder: Path, *, name: str | None, revision: str | None) -> QuerySide | None:
    """The query side of a model folder; None if queries are encoded like documents.

    Args:
        folder: of the model.
        name: of the model; None takes the folder's name.
        revision: of the model; None derives it from the content.

    Raises:
        ModelError: if the side cannot be read, or belongs to another vocabulary.
    """
    label = name or folder.resolve().name
    if (folder / RECORD_FILE).is_file():
        return _recorded(folder) if (folder / IDF_FILE).is_file() else None
    if not has_sides(folder):
        return None
    if not (folder / MODULES_FILE).is_file():
        return _of_opensearch(folder, label, revision)
    modules = modules_of(folder, "query")
    if [kind for kind, _ in modules] == [STATIC]:
        return _of_sentence_transformers(folder, modules[0][1], label, revision)
    # Without the revision: two commits may have the same query side.
    return ModelSide(folder=read_folder(folder, name=label, task="query"))


def side_hash(*parts: str) -> str:
    """16 hex digits that differ if one of the parts differs."""
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:16]


def holds_documents(folder: Path) -> bool:
    """Whether a folder written by this package has a model for documents, not only queries."""
    return any(folder.glob("model.*"))


def check_same_terms(queries: FolderTokenizer, documents: FolderTokenizer, *, alike: bool) -> None:
    """Refuse two sides whose term ids mean different terms.

    Args:
        queries: the tokenizer of the query side.
        documents: the tokenizer of the document side.
        alike: whether texts must also be tokenized alike: the only terms of a static side are its
            own tokens.

    Raises:
        ModelError: if they differ; names the first term or part that does.
    """
    if file_hash(queries.path) == file_hash(documents.path):
        return
    ours, theirs = (
        side.tokenizer.get_vocab(with_added_tokens=True) for side in (queries, documents)
    )
    if ours != theirs:
        different = min(ours.items() ^ theirs.items(), key=lambda term: (term[1], term[0]))
        raise ModelError(
            f"the two sides of the model use different tokenizers: {queries.path} has "
            f"{len(ours)} terms and {documents.path} {len(theirs)}, and the first difference is "
            f"{different[0]!r} ({different[1]}); queries would match the wrong terms"
        )
    if alike and (part := _different_part(queries, documents)):
        raise ModelError(
            f"the two sides of the model use different tokenizers: {queries.path} has another "
            f"{part} than {documents.path}; queries would be split into other terms than documents"
        )


def _different_part(queries: FolderTokenizer, documents: FolderTokenizer) -> str | None:
    one, other = (json.loads(side.tokenizer.to_str()) for side in (queries, documents))
    parts = ("normalizer", "pre_tokenizer", "model")
    return next((part for part in parts if one[part] != other[part]), None)


def _of_sentence_transformers(
    folder: Path, module: Path, label: str, revision: str | None
) -> StaticSide:
    refuse_without_tokenizer(module)
    tokenizer = read_tokenizer(module)
    weights = module_weights(module, folder, tokenizer)
    # sentence-transformers counts the length without special tokens, which queries do not have.
    special = len(tokenizer.tokenizer.encode("").ids)
    length = min(tokenizer.max_length or MOST_CHARACTERS_OF_A_QUERY, MOST_CHARACTERS_OF_A_QUERY)
    return _static(
        folder, label, revision, tokenizer, weights, read_whole(folder), length + special
    )


def _of_opensearch(folder: Path, label: str, revision: str | None) -> StaticSide:
    refuse_without_tokenizer(folder)
    tokenizer = read_tokenizer(folder)
    weights = idf_weights(folder / IDF_FILE, tokenizer, special=False)
    length = min(tokenizer.max_length or _LONGEST, _LONGEST)
    return _static(folder, label, revision, tokenizer, weights, Whole(), length)


def made_side(spec: EncoderSpec, tokenizer: FolderTokenizer, weights: StaticWeights) -> StaticSide:
    """A query side of weights that matches the documents of a model.

    Args:
        spec: of the model.
        tokenizer: of the model.
        weights: float32[terms].
    """
    length = spec.query_max_length or spec.max_length
    settings = ["", str(spec.max_active_dims), str(length)]
    side = side_hash(_hash(weights), tokenizer_state(tokenizer.path.parent), *settings)
    # No prompt: without a model to read it, its tokens would only weigh the same in every query.
    made = replace(spec, query_prompt="", query_max_length=length, query_side=side)
    return StaticSide(spec=made, tokenizer=tokenizer, weights=weights)


def _static(
    folder: Path,
    label: str,
    revision: str | None,
    tokenizer: FolderTokenizer,
    weights: StaticWeights,
    whole: Whole,
    length: int,
) -> StaticSide:
    settings = [whole.query_prompt, str(whole.max_active_dims), str(length)]
    at = tokenizer.path.parent
    spec = EncoderSpec(
        model=label,
        revision=revision or "",
        tokenizer=file_hash(at / TOKENIZER_FILE),
        vocabulary=int(weights.size),
        # Documents' activation; queries have none. `query_side` identifies matching documents.
        activation="log1p",
        max_length=length,
        query_max_length=length,
        query_prompt=whole.query_prompt,
        truncation_side=tokenizer.truncation_side,
        max_active_dims=whole.max_active_dims,
        query_side=side_hash(_hash(weights), tokenizer_state(at), *settings),
    )
    return StaticSide(spec=spec, tokenizer=tokenizer, weights=weights)


def _recorded(folder: Path) -> StaticSide:
    """A side that this package wrote; the record says which documents match it."""
    spec = recorded_spec(folder)
    refuse_without_tokenizer(folder)
    files = read_settings(folder / RECORD_FILE).section("files")
    if files.text(IDF_FILE) != file_hash(folder / IDF_FILE):
        raise ModelError(
            f"{folder / IDF_FILE} does not match {RECORD_FILE} beside it: make the query weights "
            "again, or export the model again"
        )
    tokenizer = read_tokenizer(folder)
    weights = idf_weights(folder / IDF_FILE, tokenizer)
    return StaticSide(spec=spec, tokenizer=tokenizer, weights=weights)


def _hash(weights: StaticWeights) -> str:
    return hashlib.sha256(weights.tobytes()).hexdigest()
