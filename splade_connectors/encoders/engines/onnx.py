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
from splade_connectors.forks import never_destroy_in_children, repair_in_children
from splade_connectors.options import EncodeOptions
from splade_connectors.shown import counted

# Name of the output of graphs that pool: float32[batch, vocabulary].
OUTPUT = "term_weights"

# Measured on 2 cores: larger batches gain nothing, smaller ones are slightly slower.
_BATCH_TOKENS = 2048
_BATCH_TOKENS_CUDA = 16_384
_CUDA = "CUDAExecutionProvider"


# The names that exporters give the inputs, by how they are filled.
_IDS = {"input_ids"}
MASKS = {"attention_mask", "input_mask"}
SEGMENTS = {"token_type_ids", "segment_ids"}
INPUTS = _IDS | MASKS | SEGMENTS
_TYPES = {"tensor(int64)": np.int64, "tensor(int32)": np.int32}


class OnnxEncoder(TokenizingEncoder):
    """Runs a graph whose output is already pooled.

    The (batch, tokens, vocabulary) array of logits, 15 GiB for 256 texts of 512 tokens, never
    exists outside the graph.

    Args:
        tokenizer: of the model folder.
        graph: an ONNX file with the output `term_weights`.
        spec: what the graph computes.
        options: how texts become vectors.
        cuda: number of the GPU, which needs onnxruntime-gpu; None for the CPU.

    Raises:
        MissingDependency: if onnxruntime is not installed.
        ModelError: if the graph cannot be loaded, or does not fit the spec.
        ConfigurationError: if ONNX Runtime cannot use the GPU.
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
        """Run the graph, as `TokenizingEncoder.forward`."""
        return self._graph.run(input_ids, attention_mask)


class PooledGraph:
    """An ONNX file with the output `term_weights` and any known names and types of inputs.

    Args:
        path: of the file.
        threads: for one pass; 0 takes all cores.
        cuda: number of the GPU; None for the CPU.

    Raises:
        MissingDependency: if onnxruntime is not installed.
        ModelError: if the file cannot be loaded, or does not pool.
        ConfigurationError: if ONNX Runtime cannot use the GPU.
    """

    def __init__(self, path: Path, threads: int = 0, cuda: int | None = None) -> None:
        self._path, self._threads, self._cuda = path, threads, cuda
        self._session = self._opened()
        repair_in_children(self)
        if OUTPUT not in [output.name for output in self._session.get_outputs()]:
            raise ModelError(f"the ONNX file {path} has no output {OUTPUT!r}: it does not pool")
        self._inputs = {given.name: given.type for given in self._session.get_inputs()}
        for name, kind in self._inputs.items():
            if name not in INPUTS or kind not in _TYPES:
                raise ModelError(f"the ONNX file {path} has an unknown input {name!r} of {kind}")

    def after_fork(self) -> None:
        """Drop the session: the parent's waits for threads that the child does not have."""
        self._session = None

    def _of_this_process(self) -> Any:
        if self._session is None:
            if self._cuda is not None:
                raise ModelError(
                    f"the ONNX file {self._path} was loaded on a GPU before this process was "
                    "forked, and a forked child cannot use it: load the encoder in the process "
                    "that uses it"
                )
            self._session = self._opened()
        return self._session

    def _opened(self) -> Any:
        runtime = without_telemetry()
        settings = runtime.SessionOptions()
        settings.intra_op_num_threads = self._threads
        # Shapes change from batch to batch, so cached memory plans would only accumulate.
        settings.enable_mem_pattern = False
        settings.log_severity_level = 4
        providers = _providers(runtime, self._cuda)
        try:
            session = runtime.InferenceSession(str(self._path), settings, providers=providers)
        except Exception as error:  # onnxruntime raises a dozen unrelated classes for a bad file
            raise ModelError(
                f"the ONNX file {self._path} cannot be loaded and may be truncated or corrupt: "
                f"{_reason(error)}"
            ) from error
        if self._cuda is not None and session.get_providers()[0] != _CUDA:
            raise ConfigurationError(
                f"ONNX Runtime cannot use GPU {self._cuda}: install the driver, and the CUDA and "
                "cuDNN libraries that this version of onnxruntime-gpu needs"
            )
        return never_destroy_in_children(session)

    def run(self, input_ids: Tokens, attention_mask: Tokens) -> NDArray[np.float32]:
        """Term weights, float32[batch, vocabulary].

        Args:
            input_ids: int64[batch, tokens].
            attention_mask: int64[batch, tokens].

        Raises:
            ModelError: if the graph fails on this batch.
        """
        filled = {name: _filled(name, input_ids, attention_mask) for name in self._inputs}
        feed = {
            name: array.astype(_TYPES[self._inputs[name]], copy=False)
            for name, array in filled.items()
        }
        session = self._of_this_process()
        try:
            (weights,) = session.run([OUTPUT], feed)
        except Exception as error:  # onnxruntime's own classes, of which there are ever more
            texts, tokens = input_ids.shape
            raise ModelError(
                f"the ONNX file {self._path} fails on a batch of {counted(texts, 'text')} of "
                f"{counted(tokens, 'token')}: {_reason(error)}"
            ) from error
        pooled: NDArray[np.float32] = weights
        return pooled


def _providers(runtime: Any, cuda: int | None) -> list[Any]:
    if cuda is None:
        return ["CPUExecutionProvider"]
    if _CUDA not in runtime.get_available_providers():
        raise ConfigurationError(
            "the installed onnxruntime runs only on CPUs: pip uninstall onnxruntime, then "
            "pip install onnxruntime-gpu"
        )
    # Load the CUDA libraries of pip's nvidia-* packages or of torch; it would print missing ones.
    with contextlib.redirect_stdout(io.StringIO()), contextlib.suppress(AttributeError):
        runtime.preload_dlls()
    # Products in TF32 would be rounded to 10 bits.
    return [(_CUDA, {"device_id": cuda, "use_tf32": 0}), "CPUExecutionProvider"]


def without_telemetry() -> Any:
    """Import onnxruntime with its telemetry off, unless the user enables it.

    On Linux telemetry starts at import [1.32.0]: it writes a database in the user's cache, resolves
    host names, and leaves a thread that a forked child waits for at exit. ORT_DISABLE_TELEMETRY=0
    enables it.

    Raises:
        MissingDependency: if it is not installed.
    """
    os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
    return require("onnxruntime", "onnx", "the ONNX encoder")


def _filled(name: str, input_ids: Tokens, attention_mask: Tokens) -> Tokens:
    if name in MASKS:
        return attention_mask
    return np.zeros_like(input_ids) if name in SEGMENTS else input_ids


def _reason(error: Exception) -> str:
    return " ".join(str(error).split())[:300]
