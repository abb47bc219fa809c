"""The default encoder: ONNX Runtime on the CPU, with the pooling inside the graph."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from splade_connectors.encoders.batching import Tokens
from splade_connectors.encoders.spec import EncoderSpec
from splade_connectors.encoders.tokenizing import TokenizingEncoder
from splade_connectors.errors import ModelError
from splade_connectors.extras import require
from splade_connectors.options import EncodeOptions

# Name of the output of graphs that pool: float32[batch, vocabulary].
OUTPUT = "term_weights"

# Measured on 2 cores: larger batches gain nothing, smaller ones lose a little.
_BATCH_TOKENS = 2048


class OnnxEncoder(TokenizingEncoder):
    """Runs a graph whose output is already pooled.

    The (batch, tokens, vocabulary) array of logits, 15 GiB for 256 texts of 512 tokens, never
    exists outside it.

    Args:
        folder: holds tokenizer.json.
        graph: an ONNX file with the output `term_weights`.
        spec: what the graph computes.
        options: how texts become vectors.

    Raises:
        MissingDependency: without onnxruntime.
        ModelError: when the graph cannot be loaded or does not fit the spec.
    """

    def __init__(
        self, folder: Path, graph: Path, spec: EncoderSpec, options: EncodeOptions
    ) -> None:
        super().__init__(folder, spec, options, _BATCH_TOKENS)
        runtime = require("onnxruntime", "onnx", "the ONNX encoder")
        settings = runtime.SessionOptions()
        settings.intra_op_num_threads = options.threads or 0
        # Shapes change from batch to batch: remembered memory plans would only pile up.
        settings.enable_mem_pattern = False
        settings.log_severity_level = 3
        try:
            self._session = runtime.InferenceSession(
                str(graph), settings, providers=["CPUExecutionProvider"]
            )
        except Exception as error:  # onnxruntime raises a dozen unrelated classes for a bad file
            raise ModelError(
                f"the ONNX file {graph} cannot be loaded, it may be truncated or corrupt: {error}"
            ) from error
        if OUTPUT not in [output.name for output in self._session.get_outputs()]:
            raise ModelError(f"the ONNX file {graph} has no output {OUTPUT!r}: it does not pool")
        self._inputs = {given.name for given in self._session.get_inputs()}

    def forward(self, input_ids: Tokens, attention_mask: Tokens) -> NDArray[np.float32]:
        """Run the graph. As `TokenizingEncoder.forward`."""
        feed = {"input_ids": input_ids, "attention_mask": attention_mask}
        if "token_type_ids" in self._inputs:
            feed["token_type_ids"] = np.zeros_like(input_ids)
        (weights,) = self._session.run([OUTPUT], feed)
        pooled: NDArray[np.float32] = weights
        return pooled
