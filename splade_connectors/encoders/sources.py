"""A model on disk, and the engines that run it."""

from __future__ import annotations

import importlib.util
import logging
import re
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Literal

from splade_connectors.encoders import cache as kept_models
from splade_connectors.encoders.devices import cuda_number, on_gpu
from splade_connectors.encoders.kernels import kernels, say_what_is_slower
from splade_connectors.encoders.model_files import (
    RECORD_FILE,
    file_hash,
    has_weights,
    onnx_file,
    state_of,
)
from splade_connectors.encoders.onnx_files import data_files
from splade_connectors.encoders.places import Place
from splade_connectors.encoders.precision import (
    WEIGHTS_FILE,
    PrecisionRecord,
    WantedPrecision,
    asked_for_by_environment,
    read_record,
    recorded_weights,
)
from splade_connectors.encoders.reference_tokenizer import check_alike
from splade_connectors.encoders.sentence_transformers import Activation
from splade_connectors.encoders.settings import read_settings
from splade_connectors.encoders.spec import EncoderSpec, ModelFolder, overridden, read_folder
from splade_connectors.encoders.tokenizing import TokenizingEncoder
from splade_connectors.errors import ModelError
from splade_connectors.options import EncodeOptions, Precision

Engine = Literal["int8", "onnx", "torch"]
# The precisions of each engine; for a precision, engines are tried in this order.
ENGINES: dict[str, tuple[Precision, ...]] = {
    "int8": ("int8",),
    "onnx": ("fp32",),
    "torch": ("fp32", "fp16", "bf16"),
}
# Format of converted models; increment it if their graphs change.
_CACHE_FORMAT = 2

log = logging.getLogger(__name__)


def source_at(place: Place, options: EncodeOptions, activation: Activation | None) -> Source:
    """The model of a folder; the model for documents, if queries have their own.

    Raises:
        ModelError: if it cannot be read, or has fewer positions than `max_length`.
    """
    folder = read_folder(place.folder, name=place.name, revision=place.revision)
    spec = overridden(
        folder.spec,
        positions=folder.positions,
        activation=activation,
        max_length=options.max_length,
        long_text=options.long_text,
        passage_overlap=options.passage_overlap,
    )
    return Source(folder, spec, options)


@dataclass(frozen=True)
class Source:
    """A model folder, and the settings that its encoders share."""

    folder: ModelFolder
    spec: EncoderSpec
    options: EncodeOptions

    def in_precision(self, precision: Precision) -> TokenizingEncoder:
        """The encoder on the first installed engine that can read the folder."""
        fitting = [name for name, its in ENGINES.items() if precision in its]
        if not has_weights(self.folder.model) and len(fitting) > 1:
            fitting.remove("torch")
        modules = {"int8": "splade_kernels", "onnx": "onnxruntime", "torch": "torch"}
        installed = [name for name in fitting if importlib.util.find_spec(modules[name])]
        return self.run((installed or fitting)[0], precision=precision)

    def on_torch(self, device: str | None, wanted: WantedPrecision) -> TokenizingEncoder:
        """The encoder on torch; on a GPU, `auto` is decided by measuring there."""
        from splade_connectors.encoders.engines.torch import default_device

        device = device or default_device()
        if wanted == "auto" and device != "cpu":
            return on_gpu(partial(self.run, "torch", device), self.in_precision)
        return self.run("torch", device, "fp32" if wanted == "auto" else wanted)

    def run(
        self, engine: str, device: str | None = None, precision: Precision = "fp32"
    ) -> TokenizingEncoder:
        """The encoder on this engine; `precision` is for torch, the others have only one."""
        if engine == "torch":
            from splade_connectors.encoders.engines.torch import TorchEncoder

            return TorchEncoder(self.folder, self.spec, self.options, device, precision)
        if engine == "int8":
            from splade_connectors.encoders.engines.int8 import Int8Encoder

            tokenizer, weights = self.folder.tokenizer(), self._int8_weights()
            return Int8Encoder(tokenizer, weights, self.spec, self.options)
        from splade_connectors.encoders.engines.onnx import OnnxEncoder

        # The tokenizer first: its errors appear immediately, those of a conversion after minutes.
        tokenizer = self.folder.tokenizer()
        return OnnxEncoder(tokenizer, self.graph(), self.spec, self.options, cuda_number(device))

    def graph(self) -> Path:
        """The ONNX file that pools: the folder's own, or one converted into the cache."""
        return _pooled_graph(self.folder, self.spec.activation)

    def decided(self) -> Precision:
        """The precision that `auto` means; measured if none is recorded and int8 can run."""
        if asked := asked_for_by_environment():
            return asked
        record = read_record(self._kept_in())
        if record and record.precision == "int8" and kernels() is None:
            # A folder exported in int8 has no other weights: loading it says what to install.
            if self.is_exported and onnx_file(self.folder.root) is None:
                return "int8"
            say_what_is_slower(self.spec.model)
        if kernels() is None:
            return "fp32"
        if record is None and not self.is_exported:
            record = self._measure()
        return record.precision if record else "fp32"

    def _measure(self) -> PrecisionRecord:
        from splade_connectors.encoders.export.int8 import BOUND, compare, recorded

        kept = self._kept_in()
        kept_models.make(kept)
        reference = self.in_precision("fp32")
        try:
            differences = compare(reference, self.run("int8"))
        except ModelError as error:
            record = PrecisionRecord(precision="fp32", bound=BOUND, reason=str(error))
        else:
            record = recorded(kept, differences)
        record.write(kept)
        log.info("%s: precision %s (loss %s)", self.spec.model, record.precision, record.loss)
        return record

    def _int8_weights(self) -> Path:
        kept = self._kept_in()
        record = read_record(kept)
        if record and record.weights:
            return recorded_weights(kept, record)
        if self.is_exported:
            raise ModelError(
                f"the model folder {self.folder.root} was exported without int8 weights; export "
                "the model again with --precision int8"
            )
        from splade_connectors.encoders.export.int8 import write_int8

        if not (kept / WEIGHTS_FILE).is_file():
            check_alike(self.folder.model, self.folder.tokenizer())
            kept_models.make(kept)
            log.info("converting %s to int8, once", self.spec.model)
            write_int8(self.folder.model, kept)
        return kept / WEIGHTS_FILE

    @property
    def is_exported(self) -> bool:
        """Whether this package exported the folder."""
        return self.folder.recorded

    def _kept_in(self) -> Path:
        """The folder of the int8 weights and the decision: an exported model's, or the cache."""
        if self.is_exported:
            return self.folder.root
        spec = replace(self.folder.spec, activation=self.spec.activation)
        # Not the graph's folder, which a conversion replaces as a whole.
        return kept_models.entry(f"{_entry_name(self.folder, spec)}-int8")


def _pooled_graph(folder: ModelFolder, activation: Activation) -> Path:
    """The graph that pools: the folder's own, or one converted into the cache."""
    if folder.recorded:
        return _recorded_graph(folder, activation)
    spec = replace(folder.spec, activation=activation)
    cached = kept_models.entry(_entry_name(folder, spec))
    if not kept_models.is_usable(cached):
        from splade_connectors.encoders.export.onnx_graph import convert

        convert(folder, spec, cached)
    return cached / kept_models.GRAPH_FILE


def _recorded_graph(folder: ModelFolder, activation: Activation) -> Path:
    graph, spec = onnx_file(folder.root), folder.spec
    if graph is None:
        raise ModelError(f"the model folder {folder.root} has no model.onnx")
    if activation != spec.activation:
        raise ModelError(
            f"the graph of {spec.model} has the activation {spec.activation!r} built in; load the "
            f"folder with the model's weights for {activation!r}"
        )
    recorded = read_settings(folder.root / RECORD_FILE).section("files")
    for path in (graph, *data_files(graph, folder.root)):
        expected = recorded.text(path.relative_to(folder.root).as_posix())
        if recorded.values and file_hash(path) != expected:
            raise ModelError(
                f"{path} does not match {RECORD_FILE} beside it: export the model again"
            )
    return graph


def _entry_name(folder: ModelFolder, spec: EncoderSpec) -> str:
    """A name that differs if anything that the conversion reads differs, or its output format."""
    name = re.sub(r"[^\w.-]+", "--", spec.model)
    state = state_of(folder.root, folder.model)
    return f"{name}-{spec.revision}-{spec.activation}-{state}-{_CACHE_FORMAT}"
