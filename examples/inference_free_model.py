"""An inference-free model: documents need a model, queries a tokenizer and a table of weights.

    python inference_free_model.py MODEL

MODEL is a folder or a Hugging Face id, such as
opensearch-project/opensearch-neural-sparse-encoding-doc-v3-distill.
"""

from __future__ import annotations

import sys
import tempfile
import time

from splade_connectors import Document, connect, load_encoder

TEXTS = {
    "dough": "Yeast eats sugar and gives off gas, which makes the dough rise.",
    "heart": "The heart pumps blood through the body about once a second.",
}
QUERY = "yeast and dough"


def index(model: str, target: str) -> None:
    """Index, as a job does on a machine with the whole model."""
    with connect(target, encoder=load_encoder(model)) as store:
        report = store.index(Document(id=id, text=text) for id, text in TEXTS.items())
        print(f"{report.written} documents, {report.terms / report.written:.0f} terms each")


def serve(model: str, target: str) -> None:
    """Search, as an application does: without onnxruntime, torch or the model's weights."""
    encoder = load_encoder(model, queries_only=True)
    begun = time.perf_counter()
    vector = encoder.encode_queries([QUERY])[0]
    spent = 1e6 * (time.perf_counter() - begun)
    names = encoder.readable(vector.indices.tolist())
    pairs = zip(names, vector.values.tolist(), strict=True)
    weights = ", ".join(f"{name} {weight:.2f}" for name, weight in pairs)
    print(f"{QUERY}: {weights} (in {spent:.0f} microseconds)")
    with connect(target, encoder=encoder) as store:
        for hit in store.search(QUERY, limit=1):
            print(f"{hit.id}: {hit.score:.2f}")


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder:
        for step in (index, serve):
            step(sys.argv[1], f"edge:{folder}/index")
