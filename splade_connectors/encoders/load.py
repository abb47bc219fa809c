"""`load_encoder`: the bundled model, a folder, or a Hugging Face id."""

from __future__ import annotations

import importlib.util
import logging
import re
from dataclasses import dataclass, replace
from functools import cache, partial
from pathlib import Path
from typing import Literal

from splade_connectors.encoders import cache as kept_models
from splade_connectors.encoders.base import SparseEncoder
from splade_connectors.encoders.devices import cuda_number, engine_of_device, on_gpu
from splade_connectors.encoders.kernels import kernels, say_what_is_slower
from splade_connectors.encoders.model_files import (
    RECORD_FILE,
    file_hash,
    has_weights,
    onnx_file,
    state_of,
)
from splade_connectors.encoders.onnx_files import data_files
from splade_connectors.encoders.precision import (
    WEIGHTS_FILE,
    PrecisionRecord,
    WantedPrecision,
    asked_for_by_environment,
    check_precision,
    read_record,
    recorded_weights,
)
from splade_connectors.encoders.reference_tokenizer import check_alike
from splade_connectors.encoders.sentence_transformers import Activation
from splade_connectors.encoders.settings import read_settings
from splade_connectors.encoders.spec import EncoderSpec, ModelFolder, overridden, read_folder
from splade_connectors.encoders.tokenizing import TokenizingEncoder
from splade_connectors.errors import ConfigurationError, ModelError
from splade_connectors.options import EncodeOptions, Precision

# The precisions of each engine; the engines of a precision are tried in this order.
_ENGINES: dict[str, tuple[Precision, ...]] = {
    "int8": ("int8",),
    "onnx": ("fp32",),
    "torch": ("fp32", "fp16", "bf16"),
}
Engine = Literal["int8", "onnx", "torch"]

log = logging.getLogger(__name__)

BUNDLED = "splade-tiny"
_MODELS = Path(__file__).parent.parent / "models"
# Of converted models; another one when their graphs change.
_CACHE_FORMAT = 2
_HUB_ID = re.compile(r"\w[\w.-]*/\w[\w.-]*")

# Pickled weights (*.bin, *.pt) and code are never fetched.
_HUB_FILES = [
    "*.safetensors",
    "*.json",
    "model.onnx",
    "onnx/model.onnx",
    "*.onnx_data",
    "*.onnx.data",
]
# Of models that have neither safetensors nor a model.onnx.
_HUB_GRAPHS = ["model_quantized.onnx", "onnx/model_quantized.onnx"]


def load_encoder(
    model: str | Path | None = None,
    *,
    engine: Engine | None = None,
    precision: WantedPrecision = "auto",
    options: EncodeOptions | None = None,
    activation: Activation | None = None,
    device: str | None = None,
    revision: str | None = None,
) -> SparseEncoder:
    """Load an encoder.

    Args:
        model: None for the bundled splade-tiny (nothing is downloaded), a model folder, or a
            Hugging Face id such as "prithivida/Splade_PP_en_v1".
        engine: what runs the model: "int8" is `splade_kernels`, several times faster than the
            others; "onnx" runs in fp32 on ONNX Runtime (a model without an ONNX graph that pools is
            converted once into the user's cache folder); "torch" runs it as it is. None takes the
            first of them that is installed and has the precision.
        precision: "fp32", "int8", "fp16" and "bf16" (torch), or "auto": what was decided for the
            model, when it was exported or first converted, from the loss that was measured; fp32
            where the kernels are not installed. On a GPU, "auto" is fp16 or bf16 if the loss,
            measured there when the model is loaded, is within the same bound. An encoder with
            "auto" follows the index that it writes to.
        options: how texts become vectors.
        activation: instead of what the model's folder says.
        device: "cpu", "cuda", "cuda:1", … "cuda" takes the torch engine, or ONNX Runtime
            (onnxruntime-gpu) if that is asked for or torch is not installed. None is the CPU,
            except with engine="torch", which takes CUDA where there is one.
        revision: of a Hugging Face model.

    Raises:
        ModelError: when the model is missing, corrupt, or no SPLADE model.
        MissingDependency: with the pip line for what is not installed.
        ConfigurationError: for an option that does not fit.
    """
    chosen = engine or engine_of_device(device)
    wanted = _wanted_precision(chosen, precision)
    if chosen == "int8" and device not in (None, "cpu"):
        raise ConfigurationError(
            f"engine='int8' runs on the CPU, not on {device!r}: omit one of the two"
        )
    source = find_model(model, options or EncodeOptions(), activation, revision)
    if chosen == "torch":
        return source.on_torch(device, wanted)
    if chosen:
        return source.run(chosen, device)
    if wanted != "auto":
        return source.in_precision(wanted)
    encoder = source.in_precision(source.decided())
    encoder.in_precision = cache(source.in_precision)
    return encoder


def _wanted_precision(engine: str | None, precision: WantedPrecision) -> WantedPrecision:
    if engine is not None and engine not in _ENGINES:
        raise ConfigurationError(f"engine must be 'int8', 'onnx' or 'torch', not {engine!r}")
    check_precision(precision)
    if engine and precision not in ("auto", *_ENGINES[engine]):
        raise ConfigurationError(
            f"engine={engine!r} computes in {' or '.join(_ENGINES[engine])}, not in {precision}: "
            "omit one of the two"
        )
    return precision


def find_model(
    model: str | Path | None,
    options: EncodeOptions,
    activation: Activation | None = None,
    revision: str | None = None,
) -> Source:
    """A model that encoders are made of. Arguments and errors as of `load_encoder`."""
    folder = _locate(model, revision)
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
    """A model folder, and what its encoders have in common."""

    folder: ModelFolder
    spec: EncoderSpec
    options: EncodeOptions

    def in_precision(self, precision: Precision) -> TokenizingEncoder:
        """On the first engine that is installed."""
        fitting = [name for name, its in _ENGINES.items() if precision in its]
        modules = {"int8": "splade_kernels", "onnx": "onnxruntime", "torch": "torch"}
        installed = [name for name in fitting if importlib.util.find_spec(modules[name])]
        return self.run((installed or fitting)[0], precision=precision)

    def on_torch(self, device: str | None, wanted: WantedPrecision) -> TokenizingEncoder:
        """On torch; on a GPU, `auto` is decided there."""
        from splade_connectors.encoders.engines.torch import default_device

        device = device or default_device()
        if wanted == "auto" and device != "cpu":
            return on_gpu(partial(self.run, "torch", device), self.in_precision)
        return self.run("torch", device, "fp32" if wanted == "auto" else wanted)

    def run(
        self, engine: str, device: str | None = None, precision: Precision = "fp32"
    ) -> TokenizingEncoder:
        """On this engine; a precision is for torch, the others have one each."""
        if engine == "torch":
            from splade_connectors.encoders.engines.torch import TorchEncoder

            return TorchEncoder(self.folder, self.spec, self.options, device, precision)
        if engine == "int8":
            from splade_connectors.encoders.engines.int8 import Int8Encoder

            tokenizer, weights = self.folder.tokenizer(), self._int8_weights()
            return Int8Encoder(tokenizer, weights, self.spec, self.options)
        from splade_connectors.encoders.engines.onnx import OnnxEncoder

        # First the tokenizer: its mistakes show in a moment, those of a conversion after minutes.
        tokenizer = self.folder.tokenizer()
        return OnnxEncoder(tokenizer, self.graph(), self.spec, self.options, cuda_number(device))

    def graph(self) -> Path:
        """The ONNX file that pools: the folder's own, or one converted into the cache."""
        return _pooled_graph(self.folder, self.spec.activation)

    def decided(self) -> Precision:
        """What `auto` is for this model; measured where nothing is recorded and int8 can run."""
        if asked := asked_for_by_environment():
            return asked
        record = read_record(self._kept_in())
        if record and record.precision == "int8" and kernels() is None:
            # A folder that was exported in int8 has nothing else: its own error says what to do.
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
        """Whether this package made the folder."""
        return self.folder.recorded

    def _kept_in(self) -> Path:
        """Where the int8 weights and the decision lie: beside an exported model, or the cache."""
        if self.is_exported:
            return self.folder.root
        spec = replace(self.folder.spec, activation=self.spec.activation)
        # A folder of its own: that of the graph is replaced as a whole when it is converted.
        return kept_models.entry(f"{_entry_name(self.folder, spec)}-int8")


def _locate(model: str | Path | None, revision: str | None) -> ModelFolder:
    if model is None or model == BUNDLED:
        return read_folder(_MODELS / BUNDLED)
    if isinstance(model, str) and model.startswith(("http://", "https://")):
        raise ConfigurationError(
            "an encoder behind a URL is not part of this version; pass a folder or a hub id"
        )
    if Path(model).exists():
        return read_folder(Path(model))
    if isinstance(model, str) and _HUB_ID.fullmatch(model):
        folder, commit = _download(model, revision)
        return read_folder(folder, name=model, revision=commit)
    raise ModelError(
        f"there is no model {str(model)!r}: pass an existing folder, a Hugging Face id "
        f"(OWNER/NAME), or nothing for the bundled {BUNDLED}"
    )


def _download(model: str, revision: str | None) -> tuple[Path, str]:
    found = _fetch(model, revision, _HUB_FILES)
    models = [path.parent for path in found.rglob("config.json")]
    if not any(has_weights(folder) or onnx_file(folder) for folder in models):
        found = _fetch(model, revision, [*_HUB_FILES, *_HUB_GRAPHS])
    return found, found.name


def _fetch(model: str, revision: str | None, patterns: list[str]) -> Path:
    from huggingface_hub import snapshot_download

    try:
        return Path(snapshot_download(model, revision=revision, allow_patterns=patterns))
    except Exception as error:  # a dozen classes of three libraries: hub, HTTP client, cache
        reason = str(error).partition("\n")[0]
        raise ModelError(
            f"{model} could not be fetched from the Hugging Face hub ({type(error).__name__}: "
            f"{reason}); download it elsewhere and pass the folder"
        ) from error


def _pooled_graph(folder: ModelFolder, activation: Activation) -> Path:
    """A graph that pools: the folder's own, or one converted into the cache."""
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
                f"{path} is not the one that {RECORD_FILE} beside it describes: export the model "
                "again"
            )
    return graph


def _entry_name(folder: ModelFolder, spec: EncoderSpec) -> str:
    """Another one for everything that the conversion reads, and for each form of what it writes."""
    name = re.sub(r"[^\w.-]+", "--", spec.model)
    state = state_of(folder.root, folder.model)
    return f"{name}-{spec.revision}-{spec.activation}-{state}-{_CACHE_FORMAT}"
