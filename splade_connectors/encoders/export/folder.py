"""Export a model to a folder that needs neither torch nor the hub."""

from __future__ import annotations

import os
import shutil
from dataclasses import replace
from pathlib import Path

from splade_connectors.encoders.engines.int8 import Int8Encoder
from splade_connectors.encoders.export.int8 import BOUND, compare, recorded, write_int8
from splade_connectors.encoders.export.onnx_graph import write_about, write_tokenizer
from splade_connectors.encoders.onnx_files import data_files
from splade_connectors.encoders.places import locate
from splade_connectors.encoders.precision import (
    WEIGHTS_FILE,
    PrecisionRecord,
    WantedPrecision,
    check_precision,
    read_record,
    recorded_weights,
)
from splade_connectors.encoders.query_side import (
    ModelSide,
    QuerySide,
    StaticSide,
    read_query_side,
)
from splade_connectors.encoders.routes import IDF_FILE
from splade_connectors.encoders.sentence_transformers import Activation
from splade_connectors.encoders.sources import Source, source_at
from splade_connectors.encoders.spec import EncoderSpec
from splade_connectors.encoders.static_weights import write_idf
from splade_connectors.encoders.tokenizer_settings import TOKENIZER_FILE
from splade_connectors.errors import ConfigurationError, ModelError
from splade_connectors.options import EncodeOptions


def export_model(
    model: str | Path | None,
    out: Path,
    *,
    precision: WantedPrecision = "auto",
    force: bool = False,
    options: EncodeOptions | None = None,
    activation: Activation | None = None,
    revision: str | None = None,
) -> PrecisionRecord:
    """Write a folder for `load_encoder`: tokenizer, settings, and weights in one precision.

    int8 weights are compared with the fp32 model on calibration texts, and the differences are
    written beside them. The folder appears complete or not at all.

    Args:
        model: as for `load_encoder`.
        out: the folder to create; it must be empty or not exist.
        precision: "auto" takes int8 if its loss is within `BOUND`.
        force: write int8 weights regardless of their loss.
        options: how texts become vectors; `max_length` becomes that of the exported model.
        activation: overrides the activation given by the model's folder.
        revision: of a Hugging Face model.

    Raises:
        ConfigurationError: if `out` is not empty, or the model has separate models per side.
        ModelError: if the model cannot be read, or loses more than `BOUND`; gives the loss.
        MissingDependency: if a package is not installed; gives the pip line.
    """
    check_precision(precision)
    refuse_what_is_there(out)
    place = locate(model, revision)
    queries = read_query_side(place.folder, name=place.name, revision=place.revision)
    _refuse_two_models(queries)
    source = source_at(place, options or EncodeOptions(), activation)
    # A name per process: another one may be exporting to the same folder.
    unfinished = out.with_name(f"{out.name}.{os.getpid()}.unfinished")
    shutil.rmtree(unfinished, ignore_errors=True)
    unfinished.mkdir(parents=True)
    try:
        record = _write_weights(source, unfinished, precision, force)
        record.write(unfinished)
        folder = source.folder
        write_tokenizer(folder.tokenizer().tokenizer, folder.model / TOKENIZER_FILE, unfinished)
        write_about(_write_queries(source, queries, unfinished), folder.positions, unfinished)
        if out.is_dir():
            out.rmdir()
        unfinished.rename(out)
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)
    return record


def _refuse_two_models(queries: QuerySide | None) -> None:
    if isinstance(queries, ModelSide):
        raise ConfigurationError(
            f"{queries.folder.spec.model} has separate models for queries and documents, but an "
            "exported folder holds one: export each of its routes as a separate model"
        )


def _write_queries(source: Source, queries: QuerySide | None, out: Path) -> EncoderSpec:
    """Write the weights of a separate query side, if any; return the spec including them."""
    spec = replace(source.spec, precision="fp32")
    if not isinstance(queries, StaticSide):
        return spec
    write_idf(queries.weights, queries.tokenizer, out / IDF_FILE)
    own = queries.spec
    return replace(
        spec,
        query_prompt=own.query_prompt,
        query_max_length=own.query_max_length,
        query_side=own.query_side,
    )


def refuse_what_is_there(out: Path) -> None:
    """Refuse to write into a folder that is not empty.

    Raises:
        ConfigurationError: if it is not empty.
    """
    if out.exists() and not (out.is_dir() and not any(out.iterdir())):
        raise ConfigurationError(f"{out} already exists: name a new folder, or empty this one")


def _write_weights(
    source: Source, out: Path, precision: WantedPrecision, force: bool
) -> PrecisionRecord:
    if precision != "fp32":
        try:
            record = _write_int8(source, out, force)
        except ModelError as error:
            if precision == "int8":
                raise
            record = PrecisionRecord(precision="fp32", bound=BOUND, reason=str(error))
        if record.precision == "int8":
            return record
        if precision == "int8":
            raise ModelError(
                f"{source.spec.model} loses {record.loss:.4f} in int8 (1 - the smallest cosine to "
                f"fp32 over the calibration texts), more than the bound of {BOUND}; force=True "
                "(--force) exports it anyway"
            )
        (out / WEIGHTS_FILE).unlink(missing_ok=True)
        record = replace(record, weights=None)
    else:
        record = PrecisionRecord(precision="fp32", bound=BOUND, reason="fp32 was requested")
    graph = source.graph()
    for path in (graph, *data_files(graph, graph.parent)):
        shutil.copy(path, out)
    return record


def _write_int8(source: Source, out: Path, force: bool) -> PrecisionRecord:
    """Write and measure int8 weights, or copy those of an exported folder."""
    if source.is_exported:
        record = read_record(source.folder.root)
        if record is None or record.weights is None:
            raise ModelError(
                f"{source.folder.root} was exported without int8 weights and without the weights "
                "to make them from: export the original model"
            )
        shutil.copy(recorded_weights(source.folder.root, record), out)
        return record
    write_int8(source.folder.model, out)
    candidate = Int8Encoder(
        source.folder.tokenizer(), out / WEIGHTS_FILE, source.spec, source.options
    )
    return recorded(out, compare(source.in_precision("fp32"), candidate), forced=force)
