"""Models of random weights in the layouts of transformers, made without torch.

They are no SPLADE, but they look like one: a text gets its own terms and some hundred others, of
all parts of the vocabulary. The encoder's layers do little, and the head's bias is far below zero.
"""

from __future__ import annotations

import json
import unicodedata
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from tokenizers import AddedToken, Tokenizer, decoders, models, normalizers, pre_tokenizers

from splade_connectors.encoders.batching import Tokens
from splade_connectors.encoders.places import _MODELS, BUNDLED
from splade_connectors.encoders.spec import read_folder
from splade_connectors.encoders.tokenizing import TokenizingEncoder
from splade_connectors.encoders.weights import read_weights
from splade_connectors.options import EncodeOptions
from splade_connectors.testing import HashEncoder
from splade_connectors.vectors import SparseVector

Weights = dict[str, NDArray[np.float32]]

# As many as XLM-R has.
VOCABULARY = 250_002
WIDTH = 32
POSITIONS = 128
_HEADS = 2
_BETWEEN = 48
# Of a logit's spread: three in a hundred thousand terms are above it by chance.
_BELOW = 4.0
# As XLM-R: behind them come the pieces, and at the very end the mask.
_LONG = 16
_SPECIAL = ["<s>", "<pad>", "</s>", "<unk>"]

TEXTS = {
    "en": "The plague killed many people in London, and nobody knew a cure.",
    "de": "Die Pest tötete viele Menschen in London, und niemand kannte ein Heilmittel.",
    "es": "La peste mató a muchas personas en Londres, y nadie conocía una cura.",
    "zh": "瘟疫在伦敦造成许多人死亡，没有人知道治疗方法。",  # noqa: RUF001
    "ja": "ロンドンではペストで多くの人が亡くなり、治療法は誰も知らなかった。",
    "th": "กาฬโรคคร่าชีวิตผู้คนมากมายในลอนดอนและไม่มีใครรู้วิธีรักษา",
    "ar": "قتل الطاعون كثيرا من الناس في لندن ولم يعرف أحد علاجا.",
    "hi": "प्लेग ने लंदन में कई लोगों की जान ली और इलाज किसी को पता नहीं था।",
    "ko": "런던에서 흑사병으로 많은 사람이 죽었고 아무도 치료법을 몰랐다.",
    "ru": "Чума убила многих людей в Лондоне, и никто не знал лекарства.",
}


def unigram(texts: Iterable[str], vocabulary: int = VOCABULARY) -> Tokenizer:
    """A SentencePiece tokenizer whose pieces of these texts lie all over the ids."""
    pieces = _pieces(texts)
    room = vocabulary - len(_SPECIAL) - 1
    # Every n-th id, so that nearly all of them are above 65,535.
    step = room // len(pieces)
    vocab = [(f"▁filler{at}", -30.0) for at in range(room)]
    for at, (piece, score) in enumerate(pieces.items()):
        vocab[room - 1 - at * step] = (piece, score)
    special = [(token, 0.0) for token in _SPECIAL]
    made = Tokenizer(models.Unigram([*special, *vocab, ("<mask>", 0.0)], unk_id=3))
    made.normalizer = normalizers.NFKC()
    made.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.WhitespaceSplit(), pre_tokenizers.Metaspace()]
    )
    made.decoder = decoders.Metaspace()
    made.post_processor = _around("<s>", 0, "</s>", 2)
    made.add_special_tokens([*_SPECIAL, AddedToken("<mask>", lstrip=True, special=True)])
    return made


def _around(first: str, first_id: int, last: str, last_id: int) -> Any:
    from tokenizers import processors

    return processors.TemplateProcessing(
        single=f"{first} $A {last}", special_tokens=[(first, first_id), (last, last_id)]
    )


def _pieces(texts: Iterable[str]) -> dict[str, float]:
    """Words with their space, their beginnings and ends, pairs of characters, and characters."""
    found: dict[str, float] = {"▁": -9.0}
    for word in unicodedata.normalize("NFKC", " ".join(texts)).split():
        if len(word) < _LONG:  # a longer one is a sentence without spaces
            found[f"▁{word}"] = -8.0
        found |= {word[at : at + 2]: -11.0 for at in range(len(word) - 1)}
        found |= dict.fromkeys(word, -13.0)
    return found


def xlm_roberta(
    folder: Path,
    vocabulary: int = VOCABULARY,
    tokenizer: Tokenizer | None = None,
    tokenizer_class: str = "PreTrainedTokenizerFast",
) -> Path:
    """A folder as of XLM-R.

    Args:
        folder: is made.
        vocabulary: number of terms.
        tokenizer: of so many; None makes a SentencePiece one of the texts of this module.
        tokenizer_class: that the folder names.
    """
    made = tokenizer or unigram(TEXTS.values(), vocabulary)
    made.save(_made(folder / "tokenizer.json"))
    return _write(
        folder,
        {"tokenizer_class": tokenizer_class, "pad_token": "<pad>"},
        {
            "architectures": ["XLMRobertaForMaskedLM"],
            "model_type": "xlm-roberta",
            "max_position_embeddings": POSITIONS + 2,
            "pad_token_id": 1,
            "bos_token_id": 0,
            "eos_token_id": 2,
            "type_vocab_size": 1,
            "layer_norm_eps": 1e-5,
            "vocab_size": vocabulary,
        },
    )


def bert(folder: Path, **config: Any) -> Path:
    """A folder as of BERT, with the bundled model's tokenizer."""
    tokenizer = _MODELS / BUNDLED / "tokenizer.json"
    Path(_made(folder / "tokenizer.json")).write_bytes(tokenizer.read_bytes())
    settings = {
        "architectures": ["BertForMaskedLM"],
        "model_type": "bert",
        "max_position_embeddings": POSITIONS,
        "pad_token_id": 0,
        "type_vocab_size": 2,
        "layer_norm_eps": 1e-12,
        "vocab_size": 30_522,
    }
    return _write(folder, {"tokenizer_class": "BertTokenizer"}, settings | config)


def distilbert(folder: Path, **config: Any) -> Path:
    """A folder as of DistilBERT, with the bundled model's tokenizer."""
    names = {
        "architectures": ["DistilBertForMaskedLM"],
        "model_type": "distilbert",
        "dim": WIDTH,
        "hidden_dim": _BETWEEN,
        "n_layers": 1,
        "n_heads": _HEADS,
        "activation": "gelu",
    }
    return bert(folder, **names, **config)


def inference_free(folder: Path) -> Path:
    """OpenSearch's layout: BERT for documents, and a weight for each token of a query."""
    bert(folder)
    tokens = Tokenizer.from_file(str(folder / "tokenizer.json")).get_vocab()
    drawn = np.random.default_rng(7).uniform(0.1, 9, len(tokens)).round(3).tolist()
    weights = {
        token: weight for token, weight in zip(tokens, drawn, strict=True) if token[:1] != "["
    }
    (folder / "idf.json").write_text(json.dumps(weights), encoding="utf-8")
    return folder


def two_sided(folder: Path) -> Path:
    """A Router of sentence-transformers: DistilBERT for documents, BERT for queries."""
    package = "sentence_transformers.sparse_encoder.models"
    structure, types = {}, {}
    for side, made in {"query": bert, "document": distilbert}.items():
        model, pooling = f"{side}_0_MLMTransformer", f"{side}_1_SpladePooling"
        made(folder / model)
        _written(folder / pooling / "config.json", {"pooling_strategy": "max"})
        structure[side] = [model, pooling]
        types |= {name: f"{package}.{name.rpartition('_')[2]}" for name in structure[side]}
    router = {"idx": 0, "name": "0", "path": "", "type": "sentence_transformers.models.Router"}
    _written(folder / "modules.json", [router])
    _written(folder / "router_config.json", {"types": types, "structure": structure})
    _written(folder / "config_sentence_transformers.json", {"model_type": "SparseEncoder"})
    return folder


def _written(path: Path, value: Any) -> None:
    Path(_made(path)).write_text(json.dumps(value), encoding="utf-8")


def _write(folder: Path, tokenizer: dict[str, Any], config: dict[str, Any]) -> Path:
    sizes = {
        "hidden_size": WIDTH,
        "num_hidden_layers": 1,
        "num_attention_heads": _HEADS,
        "intermediate_size": _BETWEEN,
        "hidden_act": "gelu",
        "tie_word_embeddings": True,
    }
    whole = sizes | config
    (folder / "tokenizer_config.json").write_text(json.dumps(tokenizer), encoding="utf-8")
    (folder / "config.json").write_text(json.dumps(whole), encoding="utf-8")
    write_weights(folder / "model.safetensors", _weights(whole))
    return folder


def _weights(config: dict[str, Any]) -> Weights:
    names = _NAMES[config["model_type"]]
    rng = np.random.default_rng(5)
    words = rng.normal(size=(config["vocab_size"], WIDTH)).astype(np.float32)
    positions = config["max_position_embeddings"]
    made: Weights = {
        f"{names.embeddings}.word_embeddings.weight": words,
        f"{names.embeddings}.position_embeddings.weight": _small(rng, positions, WIDTH),
    }
    if "type_vocab_size" in config and config["model_type"] != "distilbert":
        kinds = _small(rng, config["type_vocab_size"], WIDTH)
        made[f"{names.embeddings}.token_type_embeddings.weight"] = kinds
    for norm in (f"{names.embeddings}.LayerNorm", *names.norms, names.head_norm):
        made |= {f"{norm}.weight": np.ones(WIDTH, np.float32)}
        made |= {f"{norm}.bias": np.zeros(WIDTH, np.float32)}
    for name, (rows, columns) in names.linears.items():
        made |= {f"{name}.weight": _small(rng, rows, columns)}
        made |= {f"{name}.bias": _small(rng, 1, rows)[0]}
    made |= {f"{names.transform}.weight": np.eye(WIDTH, dtype=np.float32)}
    made |= {f"{names.transform}.bias": np.zeros(WIDTH, np.float32)}
    bias = np.full(config["vocab_size"], -_BELOW * np.sqrt(WIDTH), np.float32)
    return made | {names.bias: bias}


def _small(rng: np.random.Generator, rows: int, columns: int) -> NDArray[np.float32]:
    return (0.05 * rng.normal(size=(rows, columns))).astype(np.float32)


class _Names:
    """What a family calls its tensors."""

    def __init__(
        self, prefix: str, layer: str, attention: Sequence[str], rest: Sequence[str]
    ) -> None:
        self.embeddings = f"{prefix}.embeddings"
        self.norms = [f"{layer}.{rest[2]}", f"{layer}.{rest[3]}"]
        square, up, down = (WIDTH, WIDTH), (_BETWEEN, WIDTH), (WIDTH, _BETWEEN)
        self.linears = {f"{layer}.{name}": square for name in attention}
        self.linears |= {f"{layer}.{rest[0]}": up, f"{layer}.{rest[1]}": down}
        self.transform, self.head_norm, self.bias = _HEAD_NAMES[prefix]


_HEAD_NAMES = {
    "bert": (
        "cls.predictions.transform.dense",
        "cls.predictions.transform.LayerNorm",
        "cls.predictions.bias",
    ),
    "roberta": ("lm_head.dense", "lm_head.layer_norm", "lm_head.bias"),
    "distilbert": ("vocab_transform", "vocab_layer_norm", "vocab_projector.bias"),
}
_BERT_ATTENTION = [f"attention.{part}" for part in ("self.query", "self.key", "self.value")]
_BERT = (
    [*_BERT_ATTENTION, "attention.output.dense"],
    ["intermediate.dense", "output.dense", "attention.output.LayerNorm", "output.LayerNorm"],
)
_NAMES = {
    "bert": _Names("bert", "bert.encoder.layer.0", *_BERT),
    "xlm-roberta": _Names("roberta", "roberta.encoder.layer.0", *_BERT),
    "distilbert": _Names(
        "distilbert",
        "distilbert.transformer.layer.0",
        [f"attention.{part}_lin" for part in ("q", "k", "v", "out")],
        ["ffn.lin1", "ffn.lin2", "sa_layer_norm", "output_layer_norm"],
    ),
}


def write_weights(path: Path, weights: Weights) -> None:
    """A safetensors file."""
    header: dict[str, Any] = {"__metadata__": {"format": "pt"}}
    start = 0
    for name, tensor in weights.items():
        offsets = [start, start + tensor.nbytes]
        header[name] = {"dtype": "F32", "shape": list(tensor.shape), "data_offsets": offsets}
        start += tensor.nbytes
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    with path.open("wb") as file:
        file.write(len(text).to_bytes(8, "little") + text)
        for tensor in weights.values():
            file.write(np.ascontiguousarray(tensor, np.float32).tobytes())


def _made(path: Path) -> str:
    path.parent.mkdir(parents=True, exist_ok=True)
    return str(path)


MANY_TERMS_WARNING = (
    "many gives a document 2,500 terms, which makes every store slow; a SPLADE model gives a few "
    "hundred. Keep the heaviest with --prune-top-k 200 (PruneOptions(top_k=200)) for documents and "
    "--max-query-terms 64 (max_query_terms=64) for queries"
)


class ManyTerms(HashEncoder):
    """A model that was never trained as SPLADE: thousands of terms for every text."""

    def _vector(self, text: str) -> SparseVector:
        indices = np.arange(2_500, dtype=np.uint32)
        return SparseVector(indices, 1 + indices.astype(np.float32) / 1_000)


class NumpyEncoder(TokenizingEncoder):
    """A folder of `xlm_roberta`, computed in numpy: what every engine has to equal.

    Args:
        folder: the model.
        options: how texts become vectors.
    """

    def __init__(self, folder: Path, options: EncodeOptions | None = None) -> None:
        found = read_folder(folder)
        super().__init__(found.tokenizer(), found.spec, options or EncodeOptions(), 2048)
        self._weights = {name: np.array(one) for name, one in read_weights(folder).items()}
        self._known: dict[bytes, NDArray[np.float32]] = {}

    def forward(self, input_ids: Tokens, attention_mask: Tokens) -> NDArray[np.float32]:
        """As `TokenizingEncoder.forward`, row by row: without padding."""
        rows = [ids[mask > 0] for ids, mask in zip(input_ids, attention_mask, strict=True)]
        for row in rows:  # many tests encode the same few texts
            if row.tobytes() not in self._known:
                self._known[row.tobytes()] = self._weights_of(row)
        return np.stack([self._known[row.tobytes()] for row in rows])

    def _weights_of(self, ids: Tokens) -> NDArray[np.float32]:
        head = "lm_head"
        hidden = self._layer(self._embedded(ids))
        moved = _gelu(self._linear(hidden, f"{head}.dense"))
        moved = self._normed(moved, f"{head}.layer_norm")
        words = self._weights["roberta.embeddings.word_embeddings.weight"]
        logits = (moved @ words.T + self._weights[f"{head}.bias"]).max(axis=0)
        return np.log1p(np.maximum(logits, 0)).astype(np.float32)

    def _embedded(self, ids: Tokens) -> NDArray[np.float32]:
        names = "roberta.embeddings"
        positions = np.arange(len(ids)) + 2  # behind the padding id
        whole = (
            self._weights[f"{names}.word_embeddings.weight"][ids]
            + self._weights[f"{names}.position_embeddings.weight"][positions]
            + self._weights[f"{names}.token_type_embeddings.weight"][0]
        )
        return self._normed(whole, f"{names}.LayerNorm")

    def _layer(self, hidden: NDArray[np.float32]) -> NDArray[np.float32]:
        layer = "roberta.encoder.layer.0"
        seen = self._attention(hidden, f"{layer}.attention.self")
        added = hidden + self._linear(seen, f"{layer}.attention.output.dense")
        hidden = self._normed(added, f"{layer}.attention.output.LayerNorm")
        between = _gelu(self._linear(hidden, f"{layer}.intermediate.dense"))
        added = hidden + self._linear(between, f"{layer}.output.dense")
        return self._normed(added, f"{layer}.output.LayerNorm")

    def _attention(self, hidden: NDArray[np.float32], name: str) -> NDArray[np.float32]:
        size = WIDTH // _HEADS
        found = []
        parts = [self._linear(hidden, f"{name}.{part}") for part in ("query", "key", "value")]
        for at in range(0, WIDTH, size):
            query, key, value = (part[:, at : at + size] for part in parts)
            shares = np.exp(query @ key.T / np.sqrt(size))
            found.append(shares / shares.sum(axis=1, keepdims=True) @ value)
        return np.concatenate(found, axis=1)

    def _linear(self, given: NDArray[np.float32], name: str) -> NDArray[np.float32]:
        made: NDArray[np.float32] = given @ self._weights[f"{name}.weight"].T
        return made + self._weights[f"{name}.bias"]

    def _normed(self, given: NDArray[np.float32], name: str) -> NDArray[np.float32]:
        centred = given - given.mean(axis=1, keepdims=True)
        scale = np.sqrt((centred**2).mean(axis=1, keepdims=True) + 1e-5)
        return centred / scale * self._weights[f"{name}.weight"] + self._weights[f"{name}.bias"]


def _gelu(given: NDArray[np.float32]) -> NDArray[np.float32]:
    from scipy.special import erf

    return (given * (1 + erf(given / np.sqrt(2))) / 2).astype(np.float32)


@pytest.fixture(scope="session")
def multilingual_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """XLM-R's layout and size of vocabulary, 32 wide."""
    return xlm_roberta(tmp_path_factory.mktemp("xlm-r"))


@pytest.fixture(scope="session")
def multilingual(multilingual_folder: Path) -> NumpyEncoder:
    """That model, on no engine."""
    return NumpyEncoder(multilingual_folder)
