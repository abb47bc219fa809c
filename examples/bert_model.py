"""A SPLADE model on BERT-base: encode once, keep the vectors, and remember repeated queries.

    python bert_model.py MODEL

MODEL is a folder or a Hugging Face id, such as prithivida/Splade_PP_en_v1. A folder that
`splade-connectors export-model MODEL -o FOLDER` makes needs neither torch nor the hub.
"""

from __future__ import annotations

import sys
import tempfile

from splade_connectors import Document, EncodeOptions, connect, load_encoder

TEXTS = {
    "dough": "Yeast eats sugar and gives off gas, which makes the dough rise.",
    "heart": "The heart pumps blood through the body about once a second.",
}


def main(model: str) -> None:
    """Encode the documents separately, as an ETL job does, and search as an application does."""
    # The vectors of repeated queries come from a cache.
    encoder = load_encoder(model, options=EncodeOptions(query_cache=1_000))
    spec = encoder.spec
    print(f"{spec.model}: {spec.vocabulary} terms, {spec.max_length} tokens, {spec.precision}")
    vectors = encoder.encode_documents(list(TEXTS.values()))
    print("terms:", vectors.term_counts.tolist())
    documents = [
        Document(id=id, text=text, vector=vector)
        for (id, text), vector in zip(TEXTS.items(), vectors, strict=True)
    ]
    with (
        tempfile.TemporaryDirectory() as folder,
        connect(f"edge:{folder}/index", encoder=encoder) as store,
    ):
        store.index(documents)
        for query in ("yeast and dough", "blood", "yeast and dough"):
            best = store.search(query, limit=1)[0]
            print(f"{query}: {best.id} ({best.score:.2f})")


if __name__ == "__main__":
    main(sys.argv[1])
