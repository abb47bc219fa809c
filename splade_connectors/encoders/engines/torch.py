"""The torch encoder: any masked-language model of transformers, on CPU or CUDA."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from splade_connectors.encoders.batching import Tokens
from splade_connectors.encoders.export.pooled import load_masked_lm, pooled_module
from splade_connectors.encoders.reference_tokenizer import check_alike
from splade_connectors.encoders.spec import EncoderSpec, ModelFolder
from splade_connectors.encoders.tokenizing import TokenizingEncoder
from splade_connectors.errors import ConfigurationError, ModelError
from splade_connectors.extras import require
from splade_connectors.options import EncodeOptions

_BATCH_TOKENS = 2048
_BATCH_TOKENS_CUDA = 32_768


class TorchEncoder(TokenizingEncoder):
    """Runs the model with torch, without ever making the (batch, tokens, vocabulary) array.

    Args:
        folder: with safetensors weights.
        spec: what the model computes.
        options: how texts become vectors.
        device: "cpu", "cuda", "cuda:1", …; None takes CUDA where there is one.

    Raises:
        MissingDependency: without torch or transformers.
        ModelError: when the weights cannot be loaded.
        ConfigurationError: for a device that is not there.
    """

    def __init__(
        self,
        folder: ModelFolder,
        spec: EncoderSpec,
        options: EncodeOptions,
        device: str | None = None,
    ) -> None:
        torch = require("torch", "torch", "the torch encoder")
        name = device or ("cuda" if torch.cuda.is_available() else "cpu")
        if name.startswith("cuda") and not torch.cuda.is_available():
            raise ConfigurationError(f"device {name!r} asked for, but torch sees no CUDA device")
        self._device = _usable_device(torch, name)
        budget = _BATCH_TOKENS_CUDA if name.startswith("cuda") else _BATCH_TOKENS
        tokenizer = folder.tokenizer()
        check_alike(folder.model, tokenizer)
        super().__init__(tokenizer, spec, options, budget)
        if options.threads:
            torch.set_num_threads(options.threads)
        self._torch = torch
        model = load_masked_lm(folder.model)
        self._module = pooled_module(model, spec.activation).to(self._device)

    def forward(self, input_ids: Tokens, attention_mask: Tokens) -> NDArray[np.float32]:
        """Run the model. As `TokenizingEncoder.forward`."""
        torch = self._torch
        try:
            with torch.inference_mode():
                ids = torch.from_numpy(input_ids).to(self._device)
                mask = torch.from_numpy(attention_mask).to(self._device)
                pooled: NDArray[np.float32] = self._module(ids, mask).cpu().numpy()
        except (RuntimeError, IndexError) as error:  # memory, kernels, ids beyond a table
            texts, tokens = input_ids.shape
            reason = " ".join(str(error).split())[:300]
            raise ModelError(
                f"{self.spec.model} fails on a batch of {texts} texts of {tokens} tokens on "
                f"{self._device}: {reason}"
            ) from error
        return pooled


def _usable_device(torch: Any, name: str) -> Any:
    try:
        device = torch.device(name)
        torch.zeros(1, device=device).cpu()
    except (RuntimeError, AssertionError) as error:  # which of them depends on the kind of device
        reason = str(error).partition(". ")[0]
        raise ConfigurationError(f"device {name!r} cannot be used: {reason}") from error
    return device
