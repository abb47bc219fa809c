"""A masked-language model with SPLADE's pooling as a torch module, to run or export to ONNX."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from splade_connectors.encoders.model_files import has_weights
from splade_connectors.encoders.sentence_transformers import Activation
from splade_connectors.encoders.settings import read_settings
from splade_connectors.errors import ModelError
from splade_connectors.extras import require

if TYPE_CHECKING:
    import torch

log = logging.getLogger(__name__)

_TOLERANCE = 1e-4

# Terms per piece of the head, so that a piece's logits stay in the CPU's cache.
HEAD_TERMS = 512


def load_masked_lm(folder: Path, attention: Literal["eager", "sdpa"] = "eager") -> Any:
    """The transformers model of a folder in float32, from safetensors, without remote code.

    Args:
        folder: holds config.json and the weights.
        attention: "sdpa" is torch's fused attention, "eager" plain products, which ONNX supports.

    Raises:
        ModelError: if the weights are missing, incomplete or corrupt.
    """
    if not has_weights(folder):
        raise ModelError(f"the model folder {folder} has no model.safetensors, which torch needs")
    _refuse_own_code(folder)
    transformers = require("transformers", "torch", "the torch encoder")
    require("torch", "torch", "the torch encoder")
    transformers.utils.logging.disable_progress_bar()
    try:
        model, found = transformers.AutoModelForMaskedLM.from_pretrained(
            str(folder),
            use_safetensors=True,
            trust_remote_code=False,
            local_files_only=True,
            attn_implementation=attention,
            output_loading_info=True,
        )
    except (
        Exception
    ) as error:  # safetensors, transformers and torch each raise classes of their own
        reason = str(error).partition("\n")[0]
        raise ModelError(f"the model in {folder} cannot be loaded: {reason}") from error
    if missing := sorted(found["missing_keys"]):
        # transformers initializes them randomly at each load.
        raise ModelError(
            f"the weights in {folder} lack {len(missing)} tensors of the model, for example "
            f"{missing[0]}: they may belong to another model"
        )
    if (stored := str(model.dtype).removeprefix("torch.")) != "float32":
        log.warning(
            "the model in %s has the dtype %s but runs in float32; SparseEncoder needs "
            "model_kwargs={'dtype': 'float32'} for the same vectors",
            folder,
            stored,
        )
    return model.float().eval()


def _refuse_own_code(folder: Path) -> None:
    """Refuse a model whose classes are defined in Python files beside it, which are never run."""
    own = read_settings(folder / "config.json", optional=True).section("auto_map")
    if "AutoModelForMaskedLM" in own.values:
        raise ModelError(
            f"the model in {folder} consists of Python code of its own (auto_map in config.json), "
            "which this package does not run. If you trust that code, export it to ONNX once, to "
            f"{folder / 'onnx' / 'model.onnx'} (inputs input_ids and attention_mask, output "
            "logits); for queries alone, queries_only=True needs no export"
        )


def pooled_module(
    model: Any, activation: Activation, head_terms: int = HEAD_TERMS
) -> torch.nn.Module:
    """SPLADE over a masked-language model.

    The last layer of the head, hidden state x vocabulary, is taken out of the model and computed
    in pieces of `head_terms` terms, each immediately reduced to its maximum over the tokens. log
    and relu are monotonic and the bias is the same for all tokens, so all three can follow the
    maximum: max_t log(1 + relu(h_t w + b)) = log(1 + relu(max_t(h_t w) + b)). If the head is more
    than one linear layer, as in MobileBERT, the logits are computed whole.

    Args:
        model: from `load_masked_lm`; its head is replaced.
        activation: one log or two.
        head_terms: terms per piece; a piece has batch x tokens x `head_terms` logits.

    Returns:
        A module (input_ids, attention_mask[, token_type_ids]) -> float32[batch, vocabulary].
    """
    import torch

    example = _example(int(model.config.vocab_size))
    whole = _whole(model, activation)
    decoder = model.get_output_embeddings()
    with torch.inference_mode():
        expected = whole(*example)
        if not isinstance(decoder, torch.nn.Linear):
            return whole
        pieces = _in_pieces(model, decoder, activation, head_terms)
        try:
            found = pieces(*example)
        except (RuntimeError, AttributeError, TypeError):  # the head has more parts
            found = torch.full_like(expected, torch.nan)
    if found.shape == expected.shape and torch.allclose(found, expected, atol=_TOLERANCE):
        return pieces
    log.info("the head of %s is computed whole", type(model).__name__)
    model.set_output_embeddings(decoder)
    return whole


def _example(vocabulary: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Two rows of 8 tokens, the second with padding."""
    import torch

    ids = torch.arange(5, 21).reshape(2, 8) % vocabulary
    mask = torch.ones_like(ids)
    mask[1, 5:] = 0
    return ids, mask


def _whole(model: Any, activation: Activation) -> torch.nn.Module:
    import torch

    class Whole(torch.nn.Module):  # type: ignore[misc]  # torch is not read by mypy
        def __init__(self) -> None:
            super().__init__()
            self.model = model

        def forward(
            self, input_ids: torch.Tensor, attention_mask: torch.Tensor, *rest: torch.Tensor
        ) -> torch.Tensor:
            kinds = {"token_type_ids": rest[0]} if rest else {}
            logits = self.model(input_ids=input_ids, attention_mask=attention_mask, **kinds).logits
            return _activated(_without_padding(logits, attention_mask).amax(dim=1), activation)

    return Whole()


def _in_pieces(
    model: Any, decoder: Any, activation: Activation, head_terms: int
) -> torch.nn.Module:
    import torch

    class Nothing(torch.nn.Module):  # type: ignore[misc]  # torch is not read by mypy
        # Some models tie their bias to the head's when the head is replaced.
        weight = None
        bias = None

        def forward(self, hidden: torch.Tensor) -> torch.Tensor:
            return hidden

    class Pooled(torch.nn.Module):  # type: ignore[misc]  # torch is not read by mypy
        def __init__(self) -> None:
            super().__init__()
            self.weight = decoder.weight
            self.bias = decoder.bias
            model.set_output_embeddings(Nothing())
            self.model = model

        def forward(
            self, input_ids: torch.Tensor, attention_mask: torch.Tensor, *rest: torch.Tensor
        ) -> torch.Tensor:
            kinds = {"token_type_ids": rest[0]} if rest else {}
            hidden = self.model(input_ids=input_ids, attention_mask=attention_mask, **kinds).logits
            hidden = _without_padding(hidden, attention_mask)
            pieces = [
                (hidden @ self.weight[start : start + head_terms].T).amax(dim=1)
                for start in range(0, self.weight.shape[0], head_terms)
            ]
            pooled = torch.cat(pieces, dim=-1)
            if self.bias is not None:
                # In float32 even in half precision, so that small weights keep their digits.
                pooled = _float32(pooled) + _float32(self.bias)
            return _activated(pooled, activation)

    return Pooled()


def _without_padding(states: torch.Tensor, attention_mask: torch.Tensor) -> torch.Tensor:
    """Replace padding by the first token of its row, which does not change the maximum."""
    import torch

    return torch.where(attention_mask.unsqueeze(-1) > 0, states, states[:, :1])


def _activated(pooled: torch.Tensor, activation: Activation) -> torch.Tensor:
    import torch

    weights = torch.log1p(torch.relu(_float32(pooled)))
    return torch.log1p(weights) if activation == "log1p_log1p" else weights


def _float32(values: torch.Tensor) -> torch.Tensor:
    import torch

    # Without this test, an exported graph would cast float32 to float32.
    return values if values.dtype == torch.float32 else values.float()


def uses_token_types(model: Any) -> bool:
    """Whether the model has an input for segment ids."""
    return int(getattr(model.config, "type_vocab_size", 0) or 0) > 1
