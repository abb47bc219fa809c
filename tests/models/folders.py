"""Small models of random numbers, in the layouts that people have."""

from __future__ import annotations

import json
import shutil
import warnings
from pathlib import Path
from typing import Any

from splade_connectors.encoders.places import BUNDLED

TOKENIZER = (
    Path(__file__).parent.parent.parent
    / "splade_connectors"
    / "models"
    / BUNDLED
    / "tokenizer.json"
)
VOCABULARY = 30_522
POSITIONS = 96

_SIZES = {
    "vocab_size": VOCABULARY,
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 64,
    "pad_token_id": 0,
    # Larger than usual, so that the weights of random models differ from text to text.
    "initializer_range": 0.3,
}


def random_model(kind: str = "BertForMaskedLM", **settings: Any) -> Any:
    """A transformers model of this class, the same one each time."""
    import torch
    import transformers

    # RoBERTa and its kin use two positions less than they say.
    roberta = kind.startswith(("Roberta", "MPNet"))
    sizes = _SIZES | {"max_position_embeddings": POSITIONS + (2 if roberta else 0)}
    if roberta:
        sizes["pad_token_id"] = 1
    family = kind.removesuffix("ForMaskedLM").removesuffix("Model")
    torch.manual_seed(11)
    config = getattr(transformers, f"{family}Config")(**sizes | settings)
    auto = "AutoModelForMaskedLM" if kind.endswith("ForMaskedLM") else "AutoModel"
    # Eager: what old operator sets can express.
    model = getattr(transformers, auto).from_config(config, attn_implementation="eager")
    return model.eval()


def save(folder: Path, model: Any, **tokenizer_settings: Any) -> Path:
    """The model with its tokenizer, as `save_pretrained` leaves them."""
    from transformers import PreTrainedTokenizerFast

    model.save_pretrained(folder)
    tokenizer = PreTrainedTokenizerFast(tokenizer_file=str(TOKENIZER), **tokenizer_settings)
    tokenizer.save_pretrained(folder)
    # As it was: saving may rewrite it.
    shutil.copy(TOKENIZER, folder)
    return folder


def write_json(path: Path, value: Any) -> None:
    """A JSON file, with the folders above it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(value), encoding="utf-8")


def sentence_transformers_layout(
    folder: Path, first: str = "MLMTransformer", **pooling: str
) -> None:
    """Mark a folder as what sentence-transformers saves: two modules, the second with settings."""
    package = "sentence_transformers.sparse_encoder.models"
    modules = [
        {"idx": 0, "name": "0", "path": "", "type": f"{package}.{first}"},
        {"idx": 1, "name": "1", "path": "1_SpladePooling", "type": f"{package}.SpladePooling"},
    ]
    write_json(folder / "modules.json", modules)
    write_json(folder / "1_SpladePooling" / "config.json", {"pooling_strategy": "max"} | pooling)
    if first == "Transformer":
        write_json(folder / "sentence_bert_config.json", {"transformer_task": "fill-mask"})


def export_logits(model: Any, path: Path, opset: int = 17) -> None:
    """The ONNX file that other exporters make: logits, no pooling."""
    import torch

    path.parent.mkdir(parents=True, exist_ok=True)
    ids = torch.arange(2000, 2024).reshape(2, 12)
    axes = {0: "batch", 1: "tokens"}
    with torch.inference_mode(), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the tracer's, and that it is not the newest exporter
        torch.onnx.export(
            _Logits(model),
            (ids, torch.ones_like(ids), torch.zeros_like(ids)),
            str(path),
            input_names=["input_ids", "attention_mask", "token_type_ids"],
            output_names=["logits"],
            dynamic_axes={"input_ids": axes, "attention_mask": axes, "token_type_ids": axes}
            | {"logits": axes},
            opset_version=opset,
            dynamo=False,
        )


def _Logits(model: Any) -> Any:  # noqa: N802  # a class that exists only where torch does
    import torch

    class Logits(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.model = model

        def forward(self, input_ids: Any, attention_mask: Any, token_type_ids: Any) -> Any:
            return self.model(
                input_ids=input_ids, attention_mask=attention_mask, token_type_ids=token_type_ids
            ).logits

    # The export puts a module back into its mode, and those inside it with it.
    return Logits().eval()


def dense_model(folder: Path) -> Path:
    """A BERT with mean pooling and normalized vectors, as sentence-transformers saves it."""
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.sentence_transformer.modules import Normalize, Pooling, Transformer

    bert = save(folder.with_name(f"{folder.name}-bert"), random_model("BertModel", hidden_size=64))
    words = Transformer(str(bert))
    pooling = Pooling(64, pooling_mode="mean")
    model = SentenceTransformer(modules=[words, pooling, Normalize()], device="cpu")
    model.save(str(folder), create_model_card=False)
    return folder
