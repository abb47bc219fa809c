"""Building an inference-free query side for a model: a folder with a table of query weights."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from splade_connectors.encoders.base import SparseEncoder
from splade_connectors.encoders.cache import whole_or_not_at_all
from splade_connectors.encoders.export.folder import refuse_what_is_there
from splade_connectors.encoders.export.onnx_graph import write_about, write_tokenizer
from splade_connectors.encoders.places import locate
from splade_connectors.encoders.query_side import StaticSide, made_side, read_query_side
from splade_connectors.encoders.routes import IDF_FILE
from splade_connectors.encoders.sources import source_at
from splade_connectors.encoders.spec import ModelFolder
from splade_connectors.encoders.static_weights import special_ids, write_idf
from splade_connectors.encoders.tokenizer_settings import TOKENIZER_FILE
from splade_connectors.errors import ConfigurationError
from splade_connectors.options import EncodeOptions, QueryWeightOptions
from splade_connectors.train.collection import Collection
from splade_connectors.train.loss import Loss
from splade_connectors.train.regression import fit

# Stored with the weights: how they were computed, and their quality loss.
ABOUT_FILE = "query_weights.json"

Measure = Callable[[SparseEncoder, SparseEncoder], Loss]


@dataclass(frozen=True, kw_only=True, slots=True)
class QueryWeights:
    """Summary of the computed query weights.

    Attributes:
        model: model whose documents the queries fit.
        method: "idf" or "learned".
        texts: number of texts counted.
        tokens: number of tokens with a weight.
        sample: number of documents used for the fit; 0 without a fit.
        queries: number of queries used for the fit; 0 without a fit.
        loss: quality loss relative to the model's own queries; None without judgements.
    """

    model: str
    method: str
    texts: int
    tokens: int
    sample: int
    queries: int
    loss: Loss | None

    def to_json(self) -> dict[str, Any]:
        """Return a JSON object."""
        return asdict(self) | {"loss": self.loss.to_json() if self.loss else None}


def make_query_weights(
    model: str | Path | None,
    encoder: SparseEncoder,
    texts: Iterable[str],
    out: Path,
    *,
    queries: Sequence[str] = (),
    measure: Measure | None = None,
    options: QueryWeightOptions | None = None,
) -> QueryWeights:
    """Write a folder with a query side for a model, for `load_encoder`.

    Its queries fit every index whose documents the model encoded.

    Args:
        model: as for `load_encoder`.
        encoder: encoder of that model, with the index's maximum length and precision.
        texts: texts of the collection's documents.
        out: folder to create; it must not exist, or be empty.
        queries: queries to fit the weights to; empty means the first words of documents.
        measure: compares the model with the weights.
        options: how the weights are computed.

    Raises:
        ConfigurationError: if the folder is not empty, there are no texts, or the model already has
            a query side.
        MissingDependency: if scipy, which fitting and measuring need, is not installed.
    """
    options = options or QueryWeightOptions()
    refuse_what_is_there(out)
    folder = _folder_of(model)
    collection = Collection(encoder, options.sample if options.learn else 0)
    collection.read(texts)
    weights = collection.idf()
    asked = _queries(collection, queries, options)
    if options.learn:
        weights = fit(encoder, weights, asked, collection.sample)
    tokenizer = folder.tokenizer()
    table = weights.astype(np.float32)
    table[special_ids(tokenizer)] = 0
    side = made_side(encoder.spec, tokenizer, table)
    loss = measure(encoder, side.encoder(EncodeOptions(), "")) if measure else None
    made = QueryWeights(
        model=encoder.spec.model,
        method="learned" if options.learn else "idf",
        texts=collection.texts,
        tokens=int(np.count_nonzero(table)),
        sample=len(collection.sample),
        queries=len(asked),
        loss=loss,
    )
    _write(folder, side, made, out)
    return made


def _folder_of(model: str | Path | None) -> ModelFolder:
    place = locate(model, None)
    if read_query_side(place.folder, name=place.name, revision=place.revision) is not None:
        raise ConfigurationError(
            f"{place.name or place.folder} already has a query side of its own; query weights are "
            "for models that encode queries like documents"
        )
    return source_at(place, EncodeOptions(), None).folder


def _queries(
    collection: Collection, queries: Sequence[str], options: QueryWeightOptions
) -> list[str]:
    if not options.learn:
        return []
    given = [query for query in queries if query.strip()][: options.sample]
    words = options.query_words
    return given or [" ".join(text.split()[:words]) for text in collection.sample]


def _write(folder: ModelFolder, side: StaticSide, made: QueryWeights, out: Path) -> None:
    with whole_or_not_at_all(out) as unfinished:
        write_tokenizer(side.tokenizer.tokenizer, folder.model / TOKENIZER_FILE, unfinished)
        write_idf(side.weights, side.tokenizer, unfinished / IDF_FILE)
        write_about(side.spec, folder.positions, unfinished)
        about = json.dumps(made.to_json(), indent=2) + "\n"
        (unfinished / ABOUT_FILE).write_text(about, encoding="utf-8")
        license = folder.root / "LICENSE"
        if license.is_file():
            # Tokenizer and fitted weights derive from the model, so its licence applies.
            shutil.copy(license, unfinished)
