"""Models of 160 terms: what takes seconds with a whole vocabulary takes a moment with theirs."""

from __future__ import annotations

import json
import string
from pathlib import Path
from typing import Any

_TEXT = (
    "how do vaccines work heart bread is baked in an oven the two three many words query find "
    "passage document one four five six seven eight nine ten cafe even"
)
WORDS = _TEXT.split()
CASED = ["How", "Vaccines", "Évén", "café", "疫", "苗", "HEART"]
SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
_LETTERS = [*string.ascii_letters, *(f"##{letter}" for letter in string.ascii_lowercase)]
TERMS = [*SPECIAL, *_LETTERS, *dict.fromkeys([*WORDS, *CASED]), ":", ".", ",", "-"]
POSITIONS = 64

TEXTS = [
    "How do Vaccines work",
    "Évén HEART café",
    "",
    "bread is baked in an oven " * 30,
    "疫苗 [MASK] work",
]


def tokenizer_json(**changes: Any) -> dict[str, Any]:
    """A BERT tokenizer as `tokenizers` writes it; changes replace its parts."""
    special = [(at, token) for at, token in enumerate(SPECIAL)]
    flags = {"single_word": False, "lstrip": False, "rstrip": False, "normalized": False}
    ends = {name: {"id": name, "ids": [at], "tokens": [name]} for at, name in special[2:4]}
    single = [
        {"SpecialToken": {"id": "[CLS]", "type_id": 0}},
        {"Sequence": {"id": "A", "type_id": 0}},
        {"SpecialToken": {"id": "[SEP]", "type_id": 0}},
    ]
    made: dict[str, Any] = {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": [
            {"id": at, "content": token, "special": True} | flags for at, token in special
        ],
        "normalizer": {
            "type": "BertNormalizer",
            "clean_text": True,
            "handle_chinese_chars": True,
            "strip_accents": None,
            "lowercase": True,
        },
        "pre_tokenizer": {"type": "BertPreTokenizer"},
        "post_processor": {
            "type": "TemplateProcessing",
            "single": single,
            "pair": single,
            "special_tokens": ends,
        },
        "decoder": {"type": "WordPiece", "prefix": "##", "cleanup": True},
        "model": {
            "type": "WordPiece",
            "unk_token": "[UNK]",
            "continuing_subword_prefix": "##",
            "max_input_chars_per_word": 100,
            "vocab": {term: at for at, term in enumerate(TERMS)},
        },
    }
    return made | changes


def config_json(**changes: Any) -> dict[str, Any]:
    """A config.json of BERT with this vocabulary."""
    made = {
        "architectures": ["BertForMaskedLM"],
        "model_type": "bert",
        "vocab_size": len(TERMS),
        "max_position_embeddings": POSITIONS,
        "pad_token_id": 0,
    }
    return made | changes


def write(path: Path, value: Any) -> None:
    """A JSON file, with the folders above it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(value), encoding="utf-8")


def add(path: Path, **entries: Any) -> None:
    """Entries of a JSON object on disk, which is made if there is none."""
    before = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
    write(path, before | entries)


PACKAGE = "sentence_transformers.sparse_encoder.models"
# What sentence-transformers 6 writes of a model of texts.
FILL_MASK = {
    "transformer_task": "fill-mask",
    "modality_config": {"text": {"method": "forward", "method_output_name": "logits"}},
    "module_output_name": "token_embeddings",
}


def sentence_transformers_layout(folder: Path, first: str = "MLMTransformer", at: str = "") -> None:
    """Two modules, as sentence-transformers saves them; the first one in a subfolder, if any."""
    modules = [
        {"idx": 0, "name": "0", "path": at, "type": f"{PACKAGE}.{first}"},
        {"idx": 1, "name": "1", "path": "1_SpladePooling", "type": f"{PACKAGE}.SpladePooling"},
    ]
    if at:
        (folder / at).mkdir()
        for file in [path for path in folder.iterdir() if path.is_file()]:
            file.rename(folder / at / file.name)
    write(folder / "modules.json", modules)
    pooling = {"pooling_strategy": "max", "activation_function": "relu"}
    write(folder / "1_SpladePooling" / "config.json", pooling | {"embedding_dimension": len(TERMS)})
    # Without it, sentence-transformers makes another model of the folder, of random numbers.
    write(folder / "config_sentence_transformers.json", {"model_type": "SparseEncoder"})
    if first == "Transformer":
        write(folder / at / "sentence_bert_config.json", FILL_MASK)


def model_folder(folder: Path, **config: Any) -> Path:
    """Random weights in transformers' layout."""
    import torch
    import transformers

    sizes = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2}
    torch.manual_seed(5)
    settings = {"intermediate_size": 32, "initializer_range": 0.6} | sizes | config
    described = config_json()
    del described["architectures"], described["model_type"]
    model = transformers.BertForMaskedLM(transformers.BertConfig(**described | settings))
    model.save_pretrained(folder)
    write(folder / "tokenizer.json", tokenizer_json())
    write(folder / "tokenizer_config.json", {"tokenizer_class": "BertTokenizer"})
    return folder
