"""A query side without inference for a model that has none: a table of weights, in a folder."""

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

# Beside the weights: what they were made of, and what they lose.
ABOUT_FILE = "query_weights.json"

Measure = Callable[[SparseEncoder, SparseEncoder], Loss]


@dataclass(frozen=True, kw_only=True, slots=True)
class QueryWeights:
    """What was made.

    Attributes:
        model: whose documents these queries fit.
        method: "idf" or "learned".
        texts: that tokens were counted in.
        tokens: with a weight.
        sample: documents that the fit went by; 0 without one.
        queries: queries that the fit went by; 0 without one.
        loss: against the model's own queries; None if no judgements were given.
    """

    model: str
    method: str
    texts: int
    tokens: int
    sample: int
    queries: int
    loss: Loss | None

    def to_json(self) -> dict[str, Any]:
        """A JSON object."""
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
    """Write a folder with a query side for a model, which `load_encoder` reads.

    Its queries fit every index of documents that the model encoded.

    Args:
        model: as of `load_encoder`.
        encoder: of that model, with the length and precision of the index.
        texts: of the collection's documents.
        out: the folder to make; it must not exist, or be empty.
        queries: that the weights are fitted to; empty takes the beginnings of documents.
        measure: compares the model with what was made.
        options: how the weights are found.

    Raises:
        ConfigurationError: when something is in the way, there are no texts, or the model has a
            query side already.
        MissingDependency: without scipy, which a fit and a measurement need.
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
            f"{place.name or place.folder} has a query side of its own: weights are made for "
            "models whose queries are encoded as documents are"
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
            # The tokenizer and what was learned of the model are the model's.
            shutil.copy(license, unfinished)
