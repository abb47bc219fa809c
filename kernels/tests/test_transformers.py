"""The families against transformers, with random weights that make attention matter."""

from typing import Any

import numpy as np
import pytest

import splade_kernels as sk

transformers = pytest.importorskip("transformers", reason="pip install torch transformers")
torch = pytest.importorskip("torch")

pytestmark = pytest.mark.models

SMALL = {
    "vocab_size": 300,
    "hidden_size": 64,
    "num_hidden_layers": 3,
    "num_attention_heads": 2,
    "intermediate_size": 96,
    "max_position_embeddings": 130,
}
ENDS = {
    "pad_token_id": 0,
    "bos_token_id": 1,
    "eos_token_id": 2,
    "cls_token_id": 1,
    "sep_token_id": 2,
}
MODELS: dict[str, tuple[str, dict[str, Any]]] = {
    "bert": ("Bert", SMALL),
    "bert, odd widths, tanh": (
        "Bert",
        {**SMALL, "hidden_size": 84, "num_attention_heads": 6, "hidden_act": "gelu_new"},
    ),
    "distilbert": (
        "DistilBert",
        {
            "vocab_size": 300,
            "dim": 64,
            "n_layers": 2,
            "n_heads": 4,
            "hidden_dim": 128,
            "max_position_embeddings": 128,
        },
    ),
    "roberta": ("Roberta", SMALL),
    "xlm-roberta, relu": ("XLMRoberta", {**SMALL, "hidden_act": "relu"}),
    "camembert": ("Camembert", SMALL),
    "modernbert": (
        "ModernBert",
        {**SMALL, **ENDS, "num_hidden_layers": 5, "local_attention": 20},
    ),
}


def build(family: str, config: dict[str, Any]) -> Any:
    """A model with weights large enough that its texts differ and its attention is sharp."""
    torch.manual_seed(1)
    made = getattr(transformers, f"{family}Config")(**config)
    model = getattr(transformers, f"{family}ForMaskedLM")(made).eval()
    with torch.no_grad():
        for name, tensor in model.named_parameters():
            if tensor.ndim == 1:
                tensor.add_(torch.randn_like(tensor) * 0.1)
            else:
                queries = any(part in name for part in ("query", "key", "q_lin", "k_lin", "Wqkv"))
                tensor.mul_(12 if queries else 4)
    return model


@pytest.mark.parametrize("name", MODELS)
def test_it_is_the_same_model(name: str) -> None:
    original = build(*MODELS[name])
    tensors = {key: tensor.numpy() for key, tensor in original.state_dict().items()}
    ours = sk.Model.from_arrays(original.config.to_dict(), tensors)
    rng = np.random.default_rng(2)
    texts = [rng.integers(5, 300, length) for length in (1, 2, 40, 128)]
    ids, offsets = np.concatenate(texts), np.cumsum([0, *map(len, texts)])
    got = ours.encode(ids.astype(np.uint32), offsets)
    for text, logits in zip(texts, got, strict=True):
        with torch.inference_mode():
            wanted = original(input_ids=torch.tensor(text[None])).logits[0].amax(0).numpy()
        centred = [x - x.mean() for x in (logits, wanted)]
        norms = [np.linalg.norm(x) for x in centred]
        assert centred[0] @ centred[1] / norms[0] / norms[1] > 0.998
