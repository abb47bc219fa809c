"""The default encoder: ONNX Runtime, with the pooling inside the graph."""

from __future__ import annotations

import contextlib
import io
import os
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from splade_connectors.encoders.batching import Tokens
from splade_connectors.encoders.spec import EncoderSpec
from splade_connectors.encoders.tokenizer_settings import FolderTokenizer
from splade_connectors.encoders.tokenizing import TokenizingEncoder
from splade_connectors.errors import ConfigurationError, ModelError
from splade_connectors.extras import require
from splade_connectors.forks import not_destroyed_in_children, renewed_in_children
from splade_connectors.options import EncodeOptions

# Name of the output of graphs that pool: float32[batch, vocabulary].
OUTPUT = "term_weights"

# Measured on 2 cores: larger batches gain nothing, smaller ones lose a little.
_BATCH_TOKENS = 2048
_BATCH_TOKENS_CUDA = 16_384
_CUDA = "CUDAExecutionProvider"


# What exporters call the inputs, and how they are filled.
_IDS = {"input_ids"}
MASKS = {"attention_mask", "input_mask"}
SEGMENTS = {"token_type_ids", "segment_ids"}
INPUTS = _IDS | MASKS | SEGMENTS
_TYPES = {"tensor(int64)": np.int64, "tensor(int32)": np.int32}


class OnnxEncoder(TokenizingEncoder):
    """Runs a graph whose output is already pooled.

    The (batch, tokens, vocabulary) array of logits, 15 GiB for 256 texts of 512 tokens, never
    exists outside it.

    Args:
        tokenizer: of the model folder.
        graph: an ONNX file with the output `term_weights`.
        spec: what the graph computes.
        options: how texts become vectors.
        cuda: number of the GPU, which needs onnxruntime-gpu; None for the CPU.

    Raises:
        MissingDependency: without onnxruntime.
        ModelError: when the graph cannot be loaded or does not fit the spec.
        ConfigurationError: for a GPU that ONNX Runtime cannot use.
    """

    def __init__(
        self,
        tokenizer: FolderTokenizer,
        graph: Path,
        spec: EncoderSpec,
        options: EncodeOptions,
        cuda: int | None = None,
    ) -> None:
        budget = _BATCH_TOKENS if cuda is None else _BATCH_TOKENS_CUDA
        super().__init__(tokenizer, spec, options, budget)
        self._graph = PooledGraph(graph, options.threads or 0, cuda)

    def forward(self, input_ids: Tokens, attention_mask: Tokens) -> NDArray[np.float32]:
        """Run the graph. As `TokenizingEncoder.forward`."""
        return self._graph.run(input_ids, attention_mask)


class PooledGraph:
    """An ONNX file with the output `term_weights`, under the names and types of its own inputs.

    Args:
        path: the file.
        threads: of one pass; 0 takes all cores.
        cuda: number of the GPU; None for the CPU.

    Raises:
        MissingDependency: without onnxruntime.
        ModelError: when it cannot be loaded, or does not pool.
        ConfigurationError: for a GPU that ONNX Runtime cannot use.
    """

    def __init__(self, path: Path, threads: int = 0, cuda: int | None = None) -> None:
        self._path, self._threads, self._cuda = path, threads, cuda
        self._session = self._opened()
        renewed_in_children(self)
        if OUTPUT not in [output.name for output in self._session.get_outputs()]:
            raise ModelError(f"the ONNX file {path} has no output {OUTPUT!r}: it does not pool")
        self._inputs = {given.name: given.type for given in self._session.get_inputs()}
        for name, kind in self._inputs.items():
            if name not in INPUTS or kind not in _TYPES:
                raise ModelError(f"the ONNX file {path} has an input {name!r} of {kind}: not known")

    def after_fork(self) -> None:
        """The parent's session waits for threads that the child does not have: another one."""
        self._session = None

    def _of_this_process(self) -> Any:
        if self._session is None:
            if self._cuda is not None:
                raise ModelError(
                    f"the ONNX file {self._path} was loaded on a GPU before this process was "
                    "forked, and no child can use that: load the encoder in the process that "
                    "uses it"
                )
            self._session = self._opened()
        return self._session

    def _opened(self) -> Any:
        runtime = without_telemetry()
        settings = runtime.SessionOptions()
        settings.intra_op_num_threads = self._threads
        # Shapes change from batch to batch: remembered memory plans would only pile up.
        settings.enable_mem_pattern = False
        settings.log_severity_level = 4
        providers = _providers(runtime, self._cuda)
        try:
            session = runtime.InferenceSession(str(self._path), settings, providers=providers)
        except Exception as error:  # onnxruntime raises a dozen unrelated classes for a bad file
            raise ModelError(
                f"the ONNX file {self._path} cannot be loaded, it may be truncated or corrupt: "
                f"{_reason(error)}"
            ) from error
        if self._cuda is not None and session.get_providers()[0] != _CUDA:
            raise ConfigurationError(
                f"ONNX Runtime cannot use the GPU {self._cuda}: the driver, or the CUDA and cuDNN "
                "libraries that this version of onnxruntime-gpu needs, are missing"
            )
        return not_destroyed_in_children(session)

    def run(self, input_ids: Tokens, attention_mask: Tokens) -> NDArray[np.float32]:
        """Term weights, float32[batch, vocabulary].

        Args:
            input_ids: int64[batch, tokens].
            attention_mask: int64[batch, tokens].

        Raises:
            ModelError: when the graph fails on this batch.
        """
        filled = {name: _filled(name, input_ids, attention_mask) for name in self._inputs}
        feed = {
            name: array.astype(_TYPES[self._inputs[name]], copy=False)
            for name, array in filled.items()
        }
        session = self._of_this_process()
        try:
            (weights,) = session.run([OUTPUT], feed)
        except Exception as error:  # onnxruntime's own classes, and their number grows
            texts, tokens = input_ids.shape
            raise ModelError(
                f"the ONNX file {self._path} fails on a batch of {texts} texts of {tokens} tokens: "
                f"{_reason(error)}"
            ) from error
        pooled: NDArray[np.float32] = weights
        return pooled


def _providers(runtime: Any, cuda: int | None) -> list[Any]:
    if cuda is None:
        return ["CPUExecutionProvider"]
    if _CUDA not in runtime.get_available_providers():
        raise ConfigurationError(
            "the installed onnxruntime runs on CPUs only: pip uninstall onnxruntime, then "
            "pip install onnxruntime-gpu"
        )
    # The CUDA libraries of pip's nvidia-* packages, or of torch; what is not found it would print.
    with contextlib.redirect_stdout(io.StringIO()), contextlib.suppress(AttributeError):
        runtime.preload_dlls()
    # Products in TF32 would be rounded to 10 bits.
    return [(_CUDA, {"device_id": cuda, "use_tf32": 0}), "CPUExecutionProvider"]


def without_telemetry() -> Any:
    """onnxruntime, which tells its makers nothing unless the user has it do so.

    On Linux it begins to when it is imported [1.32.0]: it writes a database under the user's cache,
    looks up names, and leaves a thread that the child of a fork waits for when it ends.
    ORT_DISABLE_TELEMETRY=0 lets it.

    Raises:
        MissingDependency: when it is not installed.
    """
    os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
    return require("onnxruntime", "onnx", "the ONNX encoder")


def _filled(name: str, input_ids: Tokens, attention_mask: Tokens) -> Tokens:
    if name in MASKS:
        return attention_mask
    return np.zeros_like(input_ids) if name in SEGMENTS else input_ids


def _reason(error: Exception) -> str:
    return " ".join(str(error).split())[:300]
