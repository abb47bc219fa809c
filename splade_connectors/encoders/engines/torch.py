"""The torch encoder: any masked-language model of transformers, on CPU or CUDA."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from splade_connectors.encoders.batching import Tokens, pad
from splade_connectors.encoders.export.pooled import HEAD_TERMS, load_masked_lm, pooled_module
from splade_connectors.encoders.reference_tokenizer import check_alike
from splade_connectors.encoders.spec import EncoderSpec, ModelFolder
from splade_connectors.encoders.tokenizing import TokenizingEncoder
from splade_connectors.errors import ConfigurationError, ModelError
from splade_connectors.extras import require
from splade_connectors.options import EncodeOptions, Precision
from splade_connectors.shown import counted
from splade_connectors.vectors import SparseBatch

_BATCH_TOKENS = 2048
_BATCH_TOKENS_CUDA = 32_768
# A piece for 32,768 tokens takes 256 MiB in half precision; smaller pieces leave the GPU idle.
_HEAD_TERMS_CUDA = 4096

# torch's names of the precisions.
DTYPES: dict[Precision, str] = {"fp32": "float32", "fp16": "float16", "bf16": "bfloat16"}


class TorchEncoder(TokenizingEncoder):
    """Runs the model with torch, without ever making the (batch, tokens, vocabulary) array.

    Args:
        folder: of the model, with safetensors weights.
        spec: what the model computes.
        options: how texts become vectors.
        device: "cpu", "cuda", "cuda:1", …; None takes CUDA if there is one.
        precision: of weights and products: "fp32", "fp16" or "bf16". Bias, relu and log, which
            follow the maximum, are computed in float32.

    Raises:
        MissingDependency: if torch or transformers is not installed.
        ModelError: if the weights cannot be loaded.
        ConfigurationError: if the device is not available.
    """

    def __init__(
        self,
        folder: ModelFolder,
        spec: EncoderSpec,
        options: EncodeOptions,
        device: str | None = None,
        precision: Precision = "fp32",
    ) -> None:
        torch = require("torch", "torch", "the torch encoder")
        self._torch = torch
        self._device = _usable_device(torch, device or default_device())
        on_cuda = self._device.type == "cuda"
        tokenizer = folder.tokenizer()
        check_alike(folder.model, tokenizer)
        spec = replace(spec, precision=precision)
        super().__init__(tokenizer, spec, options, _BATCH_TOKENS_CUDA if on_cuda else _BATCH_TOKENS)
        if options.threads:
            torch.set_num_threads(options.threads)
        self._process = os.getpid()
        model = load_masked_lm(folder.model, attention="sdpa" if on_cuda else "eager")
        head_terms = _HEAD_TERMS_CUDA if on_cuda else HEAD_TERMS
        module = pooled_module(model, spec.activation, head_terms)
        self._module = module.to(self._device, getattr(torch, DTYPES[precision]))

    def forward(self, input_ids: Tokens, attention_mask: Tokens) -> NDArray[np.float32]:
        """Run the model, as `TokenizingEncoder.forward`."""
        pooled: NDArray[np.float32] = self._pooled(input_ids, attention_mask).cpu().numpy()
        return pooled

    def _vectors(self, passages: Sequence[Tokens]) -> SparseBatch:
        """The vectors of one batch; only nonzero weights leave the device."""
        pooled = self._pooled(*pad(passages, self._padding_id))
        rows, terms = pooled.nonzero(as_tuple=True)
        counts = self._torch.bincount(rows, minlength=len(passages))
        ends = counts.cumsum(dim=0).cpu().numpy()
        values = pooled[rows, terms].cpu().numpy()
        return SparseBatch(np.append(0, ends), terms.cpu().numpy().astype(np.uint32), values)

    def _pooled(self, input_ids: Tokens, attention_mask: Tokens) -> Any:
        torch = self._torch
        self._check_process()
        try:
            with torch.inference_mode():
                ids = torch.from_numpy(input_ids).to(self._device)
                mask = torch.from_numpy(attention_mask).to(self._device)
                pooled = self._module(ids, mask)
                overflowed = self.spec.precision == "fp16" and not pooled.isfinite().all()
        except (RuntimeError, IndexError) as error:  # out of memory, kernels, ids out of range
            texts, tokens = input_ids.shape
            reason = " ".join(str(error).split())[:300]
            raise ModelError(
                f"{self.spec.model} fails on a batch of {counted(texts, 'text')} of "
                f"{counted(tokens, 'token')} on {self._device}: {reason}"
            ) from error
        if overflowed:
            raise ModelError(
                f"{self.spec.model} exceeds the range of fp16: load it with precision='bf16'"
            )
        return pooled

    def _check_process(self) -> None:
        """After a fork, use one thread: the parent's threads would wait forever in the child."""
        if os.getpid() == self._process:
            return
        if self._device.type != "cpu":
            raise ModelError(
                f"{self.spec.model} was loaded on {self._device} before this process was forked, "
                "and a forked child cannot use it: load the encoder in the process that uses it"
            )
        self._torch.set_num_threads(1)
        self._process = os.getpid()


def default_device() -> str:
    """Name of the default device: "cuda" if torch sees one, else "cpu"."""
    torch = require("torch", "torch", "the torch encoder")
    return "cuda" if torch.cuda.is_available() else "cpu"


def _usable_device(torch: Any, name: str) -> Any:
    if name.startswith("cuda") and not torch.cuda.is_available():
        raise ConfigurationError(f"device={name!r} needs a CUDA device, but torch sees none")
    try:
        device = torch.device(name)
        torch.zeros(1, device=device).cpu()
    except (RuntimeError, AssertionError) as error:  # which one depends on the kind of device
        reason = str(error).partition(". ")[0]
        raise ConfigurationError(f"device {name!r} cannot be used: {reason}") from error
    return device
