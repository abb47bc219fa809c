"""`load_encoder`: the bundled model, a folder, or a Hugging Face id."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

from splade_connectors.encoders.base import SparseEncoder
from splade_connectors.encoders.devices import engine_of_device
from splade_connectors.encoders.model_files import RECORD_FILE
from splade_connectors.encoders.pickled import Loaded, named_absolutely
from splade_connectors.encoders.places import Place, locate
from splade_connectors.encoders.precision import WantedPrecision, check_precision
from splade_connectors.encoders.query_side import (
    QuerySide,
    StaticSide,
    check_same_terms,
    holds_documents,
    read_query_side,
)
from splade_connectors.encoders.sentence_transformers import Activation
from splade_connectors.encoders.sources import ENGINES, Engine, Source, source_at
from splade_connectors.encoders.two_sides import QueriesOnly, TwoSidedEncoder
from splade_connectors.errors import ConfigurationError
from splade_connectors.options import EncodeOptions


def load_encoder(
    model: str | Path | None = None,
    *,
    engine: Engine | None = None,
    precision: WantedPrecision = "auto",
    options: EncodeOptions | None = None,
    activation: Activation | None = None,
    device: str | None = None,
    revision: str | None = None,
    queries_only: bool = False,
) -> SparseEncoder:
    """Load an encoder.

    Args:
        model: None for the bundled splade-tiny (nothing is downloaded), a model folder, or a
            Hugging Face id such as "prithivida/Splade_PP_en_v1".
        engine: what runs the model: "int8" is `splade_kernels`, several times faster than the
            others; "onnx" runs in fp32 on ONNX Runtime (a model without a pooling ONNX graph is
            converted once into the user's cache folder); "torch" runs the model unchanged. None
            takes the first one that is installed and supports the precision.
        precision: "fp32", "int8", "fp16" and "bf16" (torch), or "auto": the precision chosen from
            the measured loss when the model was exported or first converted; fp32 if the kernels
            are not installed. On a GPU, "auto" is fp16 or bf16 if the loss, measured there when
            the model is loaded, is within the same bound. An encoder with "auto" adopts the
            precision of the index that it writes to.
        options: how texts become vectors.
        activation: overrides the activation given by the model's folder.
        device: "cpu", "cuda", "cuda:1", … "cuda" takes the torch engine, or ONNX Runtime
            (onnxruntime-gpu) if that is requested or torch is not installed. None is the CPU,
            except with engine="torch", which takes CUDA if available.
        revision: of a Hugging Face model.
        queries_only: load only what queries need, and refuse documents. If the model has a separate
            query side (inference-free, or a smaller model), only that side is loaded, which may
            need neither onnxruntime nor the weights for documents.

    Raises:
        ModelError: if the model is missing, corrupt, or not a SPLADE model.
        MissingDependency: if a package is not installed; gives the pip line.
        ConfigurationError: if an option does not fit.
    """
    encoder = _load(model, engine, precision, options, activation, device, revision, queries_only)
    encoder.loaded = Loaded(
        model=named_absolutely(model),
        engine=engine,
        precision=precision,
        options=options,
        activation=activation,
        device=device,
        revision=revision,
        queries_only=queries_only,
    )
    return encoder


def _load(
    model: str | Path | None,
    engine: Engine | None,
    precision: WantedPrecision,
    options: EncodeOptions | None,
    activation: Activation | None,
    device: str | None,
    revision: str | None,
    queries_only: bool,
) -> SparseEncoder:
    chosen = engine or engine_of_device(device)
    wanted = _wanted_precision(chosen, precision)
    if chosen == "int8" and device not in (None, "cpu"):
        raise ConfigurationError(
            f"engine='int8' runs only on the CPU, not on {device!r}: omit one of the two"
        )
    options = options or EncodeOptions()
    place = locate(model, revision, queries_only=queries_only)
    queries = read_query_side(place.folder, name=place.name, revision=place.revision)
    running = _Running(chosen, wanted, device)
    if queries_only:
        return _queries_alone(place, queries, options, activation, running)
    if isinstance(queries, StaticSide) and _is_query_side_alone(place.folder):
        return queries.encoder(options, _only_queries_are_there(place.folder, queries.spec.model))
    source = source_at(place, options, activation)
    documents = running.encoder(source)
    if queries is None:
        return documents
    static = isinstance(queries, StaticSide)
    check_same_terms(queries.tokenizer, source.folder.tokenizer(), alike=static)
    return TwoSidedEncoder(_queries_of(place, queries, options, running), documents)


@dataclass(frozen=True)
class _Running:
    """How models run: the checked arguments of `load_encoder`."""

    engine: str | None
    wanted: WantedPrecision
    device: str | None

    def encoder(self, source: Source) -> SparseEncoder:
        """Make the encoder of a model."""
        if self.engine == "torch":
            return source.on_torch(self.device, self.wanted)
        if self.engine:
            return source.run(self.engine, self.device)
        if self.wanted != "auto":
            return source.in_precision(self.wanted)
        encoder = source.in_precision(source.decided())
        encoder.in_precision = cache(source.in_precision)
        return encoder


def _queries_alone(
    place: Place,
    queries: QuerySide | None,
    options: EncodeOptions,
    activation: Activation | None,
    running: _Running,
) -> SparseEncoder:
    if queries is None:
        encoder = running.encoder(source_at(place, options, activation))
        return QueriesOnly(encoder, _loaded_for_queries(encoder.spec.model))
    return _queries_of(place, queries, options, running)


def _queries_of(
    place: Place, queries: QuerySide, options: EncodeOptions, running: _Running
) -> SparseEncoder:
    """The encoder of a query side."""
    if isinstance(queries, StaticSide):
        return queries.encoder(options, _loaded_for_queries(queries.spec.model))
    # Settings for the length of documents do not apply to queries here.
    own = replace(options, max_length=None, long_text=None, passage_overlap=None)
    encoder = running.encoder(Source(queries.folder, queries.folder.spec, own))
    spec = queries.for_queries(encoder.spec, place.revision)
    return QueriesOnly(encoder, _loaded_for_queries(spec.model), spec)


def _is_query_side_alone(folder: Path) -> bool:
    return (folder / RECORD_FILE).is_file() and not holds_documents(folder)


def _loaded_for_queries(model: str) -> str:
    return (
        f"this encoder of {model} is for queries only: to encode documents, call load_encoder(…) "
        "without queries_only=True"
    )


def _only_queries_are_there(folder: Path, model: str) -> str:
    return (
        f"{folder} holds weights for queries only: to encode documents, load the model itself, "
        f"{model}; these queries fit its index"
    )


def _wanted_precision(engine: str | None, precision: WantedPrecision) -> WantedPrecision:
    if engine is not None and engine not in ENGINES:
        raise ConfigurationError(f"engine must be 'int8', 'onnx' or 'torch', not {engine!r}")
    check_precision(precision)
    if engine and precision not in ("auto", *ENGINES[engine]):
        raise ConfigurationError(
            f"engine={engine!r} computes in {' or '.join(ENGINES[engine])}, not in {precision}: "
            "omit one of the two"
        )
    return precision
