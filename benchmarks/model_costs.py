"""The cost of a document and of a query with a model, from its shape and this machine's rates.

    python benchmarks/model_costs.py [--json | --markdown] [--results FILE]

No model is downloaded. The int8 kernels run layers and heads of random weights, as wide as those of
the models; rates are products per second of CPU time, so that other work on the machine matters
little. The cost of a model is the number of products in its layers and its head, each divided by
its rate. Beside it is the cost in fp32 at the rate of numpy's products, which is close to
onnxruntime's.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from common import ROOT, machine, save
from tokenizers import Tokenizer

# Tokens of a paragraph and of a question of ten words, including special tokens.
DOCUMENT, QUERY = 256, 14
QUESTION = "how do vaccines train the immune system of a child"
_SECONDS = 0.6
_LITTLE_VOCABULARY = 512


@dataclass(frozen=True)
class Shape:
    """The number of products that a model takes.

    Attributes:
        layers: number of encoder layers.
        width: width of a token's state.
        between: width of the feed-forward network.
        vocabulary: number of terms.
        gated: whether the feed-forward network has a gate: three matrices instead of two.
    """

    layers: int
    width: int
    between: int
    vocabulary: int
    gated: bool = False

    def layer_products(self, tokens: int) -> float:
        """Products of all layers, for a text."""
        matrices = 4 * self.width**2 + (3 if self.gated else 2) * self.width * self.between
        return float(self.layers * tokens * (matrices + 2 * tokens * self.width))

    def head_products(self, tokens: int) -> float:
        """Products of the vocabulary head, for a text."""
        return float(tokens * (self.width**2 + self.width * self.vocabulary))

    @property
    def parameters(self) -> float:
        """The approximate number: matrices and embeddings, without positions."""
        matrices = 4 * self.width**2 + (3 if self.gated else 2) * self.width * self.between
        return float(self.layers * matrices + self.width * self.vocabulary + self.width**2)


_BASE, _DISTILLED = Shape(12, 768, 3072, 30_522), Shape(6, 768, 3072, 30_522)
# None: queries need only the tokenizer and a file of weights.
MODELS: dict[str, tuple[Shape, Shape | None]] = {
    "splade-tiny (bundled)": (Shape(2, 128, 512, 30_522),) * 2,
    "granite-embedding-30m-sparse": (Shape(6, 384, 1536, 50_265),) * 2,
    "splade-v3-distilbert": (_DISTILLED,) * 2,
    "Splade_PP_en_v1": (_BASE,) * 2,
    "efficient-splade-VI-BT-large": (_DISTILLED, Shape(2, 128, 512, 30_522)),
    "opensearch doc-v2-mini": (Shape(6, 384, 1536, 30_522), None),
    "opensearch doc-v3-distill": (_DISTILLED, None),
    "opensearch doc-v3-gte": (Shape(12, 768, 3072, 30_528, gated=True), None),
    "opensearch multilingual-v1": (Shape(12, 768, 3072, 105_879), None),
}


@dataclass(frozen=True)
class Rates:
    """Products per CPU second, for one width and length of text.

    Attributes:
        layers: the encoder's layers, in int8.
        head: the head, in int8.
        fp32: matrix products.
    """

    layers: float
    head: float
    fp32: float


def main() -> None:
    """Measure, and print the table."""
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--json", action="store_true")
    arguments.add_argument("--markdown", action="store_true")
    arguments.add_argument("--results", type=Path)
    given = arguments.parse_args()
    found = costs()
    if given.results:
        save(given.results, found)
    if given.json:
        print(json.dumps(found))
    else:
        print_table(found, markdown=given.markdown)


def costs() -> dict[str, Any]:
    """Everything that was measured and computed, as JSON."""
    widths = sorted({shape.width for pair in MODELS.values() for shape in pair if shape})
    rates = {
        (width, tokens): measured(width, tokens) for width in widths for tokens in (DOCUMENT, QUERY)
    }
    free = tokenizer_seconds()
    rows = [row(name, document, query, rates, free) for name, (document, query) in MODELS.items()]
    told = {
        f"width {width}, {tokens} tokens": asdict(rate) for (width, tokens), rate in rates.items()
    }
    return {"machine": machine(), "rates": told, "tokenizer_s": free, "models": rows}


def row(
    name: str,
    document: Shape,
    query: Shape | None,
    rates: dict[tuple[int, int], Rates],
    tokenizer_s: float,
) -> dict[str, Any]:
    """The costs of one model."""
    of_document = rates[document.width, DOCUMENT]
    products = document.layer_products(DOCUMENT) + document.head_products(DOCUMENT)
    query_s = tokenizer_s
    if query:
        query_s += seconds(query, QUERY, rates[query.width, QUERY])
    return {
        "model": name,
        "parameters_m": round(document.parameters / 1e6, 1),
        "products_g": round(products / 1e9, 2),
        "document_int8_ms": round(1e3 * seconds(document, DOCUMENT, of_document), 1),
        "document_fp32_ms": round(1e3 * products / of_document.fp32, 1),
        "query_ms": round(1e3 * query_s, 2),
    }


def seconds(shape: Shape, tokens: int, rates: Rates) -> float:
    """CPU time of a text in int8."""
    return shape.layer_products(tokens) / rates.layers + shape.head_products(tokens) / rates.head


def measured(width: int, tokens: int) -> Rates:
    """Measure rates by running layers and heads of random weights."""
    between, most = 4 * width, 30_522
    bare = Shape(1, width, between, _LITTLE_VOCABULARY)
    deep = Shape(3, width, between, _LITTLE_VOCABULARY)
    wide = Shape(1, width, between, most)
    one, three, whole = (run(shape, tokens) for shape in (bare, deep, wide))
    layers = (deep.layer_products(tokens) - bare.layer_products(tokens)) / (three - one)
    head = (wide.head_products(tokens) - bare.head_products(tokens)) / (whole - one)
    return Rates(layers, head, fp32(width, tokens))


def run(shape: Shape, tokens: int) -> float:
    """CPU seconds per text, in int8, on one thread."""
    import splade_kernels

    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "model"
        splade_kernels.write_model(file, config(shape), weights(shape))
        model = splade_kernels.Model.load(file)
    # Several documents share each read of the weights; a query comes alone.
    texts = 4 if tokens == DOCUMENT else 1
    ids = np.arange(texts * tokens, dtype=np.uint32) % shape.vocabulary
    offsets = np.arange(0, texts * tokens + 1, tokens, dtype=np.int64)
    return best(lambda: model.encode(ids, offsets, threads=1)) / texts


def fp32(width: int, tokens: int) -> float:
    """Measure numpy's products per CPU second."""
    left = np.ones((4 * tokens if tokens == DOCUMENT else tokens, width), np.float32)
    right = np.ones((width, 4 * width), np.float32)
    return left.shape[0] * width * 4 * width / best(lambda: left @ right)


def tokenizer_seconds() -> float:
    """CPU seconds of the question."""
    folder = ROOT / "splade_connectors" / "models" / "splade-tiny"
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    return best(lambda: tokenizer.encode(QUESTION))


def best(work: Callable[[], object]) -> float:
    """CPU seconds of one call: the best of five runs of many."""
    work()
    begun = time.process_time()
    work()
    times = max(1, int(_SECONDS / 5 / max(time.process_time() - begun, 1e-6)))
    found = []
    for _ in range(5):
        begun = time.process_time()
        for _ in range(times):
            work()
        found.append((time.process_time() - begun) / times)
    return min(found)


def config(shape: Shape) -> dict[str, Any]:
    """A config.json of BERT."""
    return {
        "model_type": "bert",
        "hidden_size": shape.width,
        "num_hidden_layers": shape.layers,
        "num_attention_heads": max(shape.width // 64, 1),
        "intermediate_size": shape.between,
    }


def weights(shape: Shape) -> dict[str, np.ndarray[Any, np.dtype[np.float32]]]:
    """Random weights, by their names in transformers."""
    random = np.random.default_rng(3)
    made: dict[str, np.ndarray[Any, np.dtype[np.float32]]] = {}

    def linear(name: str, rows: int, columns: int) -> None:
        made[f"{name}.weight"] = random.standard_normal((rows, columns), np.float32) / columns**0.5
        made[f"{name}.bias"] = np.zeros(rows, np.float32)

    def norm(name: str) -> None:
        made[f"{name}.weight"] = np.ones(shape.width, np.float32)
        made[f"{name}.bias"] = np.zeros(shape.width, np.float32)

    linear("bert.embeddings.word_embeddings", shape.vocabulary, shape.width)
    linear("bert.embeddings.position_embeddings", 512, shape.width)
    norm("bert.embeddings.LayerNorm")
    for at in range(shape.layers):
        layer = f"bert.encoder.layer.{at}"
        for part in ("self.query", "self.key", "self.value", "output.dense"):
            linear(f"{layer}.attention.{part}", shape.width, shape.width)
        linear(f"{layer}.intermediate.dense", shape.between, shape.width)
        linear(f"{layer}.output.dense", shape.width, shape.between)
        norm(f"{layer}.attention.output.LayerNorm")
        norm(f"{layer}.output.LayerNorm")
    linear("cls.predictions.transform.dense", shape.width, shape.width)
    norm("cls.predictions.transform.LayerNorm")
    made["cls.predictions.bias"] = np.zeros(shape.vocabulary, np.float32)
    return made


def print_table(found: dict[str, Any], *, markdown: bool) -> None:
    """Print a row for each model."""
    heads = ("model", "M weights", "G products", "document ms", "in fp32 ms", "query ms")
    names = ("model", "parameters_m", "products_g", "document_int8_ms", "document_fp32_ms")
    rows = [[str(entry[name]) for name in (*names, "query_ms")] for entry in found["models"]]
    if markdown:
        lines = [list(heads), ["---"] * len(heads), *rows]
        print("\n".join(f"| {' | '.join(line)} |" for line in lines))
        return
    for line in [list(heads), *rows]:
        print(f"{line[0]:32}" + "".join(f"{cell:>14}" for cell in line[1:]))
    print(f"tokenizer: {1e3 * found['tokenizer_s']:.3f} ms for the query")
    for place, rate in found["rates"].items():
        shown = ", ".join(f"{name} {value / 1e9:.0f}" for name, value in rate.items())
        print(f"{place}: {shown} G products a CPU second")


if __name__ == "__main__":
    main()
