"""The tensor names and configurations of each family of transformers models."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float32]
Tensors = Mapping[str, npt.NDArray[Any]]
Config = Mapping[str, Any]

_ACTIVATIONS = {
    "gelu": "gelu",
    "gelu_new": "gelu_tanh",
    "gelu_fast": "gelu_tanh",
    "gelu_pytorch_tanh": "gelu_tanh",
    "relu": "relu",
    "silu": "silu",
    "swish": "silu",
}


@dataclass
class Source:
    """A model's tensors by their role."""

    config: dict[str, Any]
    tensors: Tensors
    words: Floats
    positions: Floats | None
    norms: dict[str, str] = field(default_factory=dict)
    linears: dict[str, list[tuple[str, str]]] = field(default_factory=dict)

    def has(self, name: str) -> bool:
        """Whether the model has this tensor."""
        return name in self.tensors

    def floats(self, name: str) -> Floats:
        """A tensor in fp32."""
        return _floats(self.tensors, name)

    def linear(self, name: str, *sources: str) -> None:
        """Define `name` as these modules, stacked."""
        self.linears[name] = [(f"{s}.weight", f"{s}.bias") for s in sources]


def source_of(config: Config, tensors: Tensors) -> Source:
    """Read a model of any family that the kernels run."""
    family = config.get("model_type")
    make = _FAMILIES.get(str(family))
    if make is None:
        raise ValueError(
            f"Models of the type {family!r} are not supported; {', '.join(_FAMILIES)} are."
        )
    return make(config, tensors)


def _floats(tensors: Tensors, name: str) -> Floats:
    if name not in tensors:
        raise ValueError(f"The model has no tensor {name!r}.")
    return np.ascontiguousarray(tensors[name], np.float32)


def _activation(config: Config, key: str) -> str:
    name = config.get(key, "gelu")
    if name not in _ACTIVATIONS:
        raise ValueError(f"The activation {name!r} ({key}) is not supported.")
    return _ACTIVATIONS[name]


def _common(config: Config, words: Floats, **own: Any) -> dict[str, Any]:
    return {
        "family": config["model_type"],
        "vocabulary": int(words.shape[0]),
        "hidden": int(words.shape[1]),
        "absolute": True,
        "gated": False,
        "pre_norm": False,
        **own,
    }


def _plain_layers(count: int) -> list[dict[str, Any]]:
    return [{"window": 0, "theta": 0.0, "norm": True} for _ in range(count)]


def _bert(config: Config, tensors: Tensors) -> Source:
    return _bert_like(config, tensors, "bert", offset=0)


def _roberta(config: Config, tensors: Tensors) -> Source:
    # Positions are counted from after the padding token's.
    return _bert_like(config, tensors, "roberta", offset=int(config.get("pad_token_id", 1)) + 1)


def _bert_like(config: Config, tensors: Tensors, prefix: str, offset: int) -> Source:
    kind = config.get("position_embedding_type", "absolute")
    if kind != "absolute":
        raise ValueError(f"Position embeddings of the type {kind!r} are not supported.")
    tensors = _modern_names(tensors)
    embeddings = f"{prefix}.embeddings"
    words = _floats(tensors, f"{embeddings}.word_embeddings.weight")
    positions = _floats(tensors, f"{embeddings}.position_embeddings.weight")[offset:]
    # Texts are single segments: the first token type is a part of every position.
    types = f"{embeddings}.token_type_embeddings.weight"
    if types in tensors:
        positions = positions + _floats(tensors, types)[0]
    activation = _activation(config, "hidden_act")
    own = _common(
        config,
        words,
        heads=int(config["num_attention_heads"]),
        intermediate=int(config["intermediate_size"]),
        layers=_plain_layers(int(config["num_hidden_layers"])),
        positions=len(positions),
        eps=float(config.get("layer_norm_eps", 1e-12)),
        activation=activation,
        # RoBERTa's head has its own, fixed activation.
        head_activation=activation if prefix == "bert" else "gelu",
    )
    source = Source(own, tensors, words, positions)
    source.norms["embeddings.norm"] = f"{embeddings}.LayerNorm"
    for i in range(len(own["layers"])):
        ours, theirs = f"layers.{i}", f"{prefix}.encoder.layer.{i}"
        attention = f"{theirs}.attention"
        source.linear(f"{ours}.qkv", *(f"{attention}.self.{p}" for p in ("query", "key", "value")))
        source.linear(f"{ours}.output", f"{attention}.output.dense")
        source.linear(f"{ours}.up", f"{theirs}.intermediate.dense")
        source.linear(f"{ours}.down", f"{theirs}.output.dense")
        source.norms[f"{ours}.attention_norm"] = f"{attention}.output.LayerNorm"
        source.norms[f"{ours}.block_norm"] = f"{theirs}.output.LayerNorm"
    if prefix == "bert":
        transform, head = "cls.predictions.transform", "cls.predictions"
        source.linear("transform", f"{transform}.dense")
        source.norms["transform.norm"] = f"{transform}.LayerNorm"
    else:
        head = "lm_head"
        source.linear("transform", "lm_head.dense")
        source.norms["transform.norm"] = "lm_head.layer_norm"
    _head(source, f"{head}.decoder", f"{head}.bias", f"{embeddings}.word_embeddings")
    return source


def _distilbert(config: Config, tensors: Tensors) -> Source:
    embeddings = "distilbert.embeddings"
    words = _floats(tensors, f"{embeddings}.word_embeddings.weight")
    positions = _floats(tensors, f"{embeddings}.position_embeddings.weight")
    activation = _activation(config, "activation")
    own = _common(
        config,
        words,
        heads=int(config["n_heads"]),
        intermediate=int(config["hidden_dim"]),
        layers=_plain_layers(int(config["n_layers"])),
        positions=len(positions),
        eps=1e-12,
        activation=activation,
        head_activation=activation,
    )
    source = Source(own, tensors, words, positions)
    source.norms["embeddings.norm"] = f"{embeddings}.LayerNorm"
    for i in range(len(own["layers"])):
        ours, theirs = f"layers.{i}", f"distilbert.transformer.layer.{i}"
        source.linear(f"{ours}.qkv", *(f"{theirs}.attention.{p}_lin" for p in "qkv"))
        source.linear(f"{ours}.output", f"{theirs}.attention.out_lin")
        source.linear(f"{ours}.up", f"{theirs}.ffn.lin1")
        source.linear(f"{ours}.down", f"{theirs}.ffn.lin2")
        source.norms[f"{ours}.attention_norm"] = f"{theirs}.sa_layer_norm"
        source.norms[f"{ours}.block_norm"] = f"{theirs}.output_layer_norm"
    source.linear("transform", "vocab_transform")
    source.norms["transform.norm"] = "vocab_layer_norm"
    _head(source, "vocab_projector", "vocab_projector.bias", f"{embeddings}.word_embeddings")
    return source


def _modernbert(config: Config, tensors: Tensors) -> Source:
    words = _floats(tensors, "model.embeddings.tok_embeddings.weight")
    own = _common(
        config,
        words,
        heads=int(config["num_attention_heads"]),
        intermediate=int(config["intermediate_size"]),
        layers=_modernbert_layers(config, tensors),
        positions=int(config.get("max_position_embeddings", 8192)),
        eps=float(config.get("norm_eps", 1e-5)),
        activation=_activation(config, "hidden_activation"),
        head_activation=_activation(config, "classifier_activation"),
        absolute=False,
        gated=True,
        pre_norm=True,
    )
    source = Source(own, tensors, words, None)
    source.norms["embeddings.norm"] = "model.embeddings.norm"
    for i, layer in enumerate(own["layers"]):
        ours, theirs = f"layers.{i}", f"model.layers.{i}"
        source.linear(f"{ours}.qkv", f"{theirs}.attn.Wqkv")
        source.linear(f"{ours}.output", f"{theirs}.attn.Wo")
        source.linear(f"{ours}.up", f"{theirs}.mlp.Wi")
        source.linear(f"{ours}.down", f"{theirs}.mlp.Wo")
        if layer["norm"]:
            source.norms[f"{ours}.attention_norm"] = f"{theirs}.attn_norm"
        source.norms[f"{ours}.block_norm"] = f"{theirs}.mlp_norm"
    source.norms["final_norm"] = "model.final_norm"
    source.linear("transform", "head.dense")
    source.norms["transform.norm"] = "head.norm"
    _head(source, "decoder", "decoder.bias", "model.embeddings.tok_embeddings")
    return source


def _modernbert_layers(config: Config, tensors: Tensors) -> list[dict[str, Any]]:
    every = int(config.get("global_attn_every_n_layers", 3))
    count = int(config["num_hidden_layers"])
    kinds = config.get("layer_types") or [
        "sliding_attention" if i % every else "full_attention" for i in range(count)
    ]
    rope = config.get("rope_parameters") or {}
    bases: dict[str, Any] = {
        "full_attention": config.get("global_rope_theta", 160_000.0),
        "sliding_attention": config.get("local_rope_theta") or config.get("global_rope_theta", 1e4),
    }
    layers = []
    for i, kind in enumerate(kinds):
        own = rope.get(kind) or {}
        if own.get("rope_type", "default") != "default":
            raise ValueError(f"Rotations of the type {own['rope_type']!r} are not supported.")
        layers.append(
            {
                # `local_attention` counts both sides.
                "window": int(config.get("local_attention", 128)) // 2
                if kind == "sliding_attention"
                else 0,
                "theta": float(own.get("rope_theta", bases[kind])),
                "norm": f"model.layers.{i}.attn_norm.weight" in tensors,
            }
        )
    return layers


def _head(source: Source, decoder: str, bias: str, tied: str) -> None:
    """The vocabulary projection; without stored weights of its own it uses the word embeddings."""
    weight = f"{decoder}.weight" if source.has(f"{decoder}.weight") else f"{tied}.weight"
    inner = f"{decoder}.bias"
    source.linears["head"] = [(weight, inner if source.has(inner) else bias)]


def _modern_names(tensors: Tensors) -> Tensors:
    """Old checkpoints call a norm's weight and bias gamma and beta."""
    if not any(name.endswith("LayerNorm.gamma") for name in tensors):
        return tensors
    ends = {"LayerNorm.gamma": "LayerNorm.weight", "LayerNorm.beta": "LayerNorm.bias"}

    def modern(name: str) -> str:
        for old, new in ends.items():
            if name.endswith(old):
                return name.removesuffix(old) + new
        return name

    return {modern(name): tensor for name, tensor in tensors.items()}


_FAMILIES: dict[str, Callable[[Config, Tensors], Source]] = {
    "bert": _bert,
    "distilbert": _distilbert,
    "roberta": _roberta,
    "xlm-roberta": _roberta,
    "camembert": _roberta,
    "modernbert": _modernbert,
}
