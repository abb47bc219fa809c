"""A multilingual model: pruned vectors, one Unicode form, and readable terms.

    python multilingual_model.py MODEL

MODEL is a folder or a Hugging Face id with a multilingual vocabulary. A model that was never
trained as SPLADE, such as multilingual BERT itself, works as well, but it gives a text tens of
thousands of terms: the two limits keep the heaviest.
"""

from __future__ import annotations

import sys
import tempfile
import unicodedata

from splade_connectors import Document, PruneOptions, connect, load_encoder

TEXTS = {
    "en": "The plague killed many people in London, and nobody knew a cure.",
    "de": "Die Pest tötete viele Menschen in London, und niemand kannte ein Heilmittel.",
    "es": "La peste mató a muchas personas en Londres, y nadie conocía una cura.",
    "zh": "瘟疫在伦敦造成许多人死亡 没有人知道治疗方法",
}
QUERIES = ("niemand kannte ein Heilmittel", "没有人知道治疗方法")
QUERY_TERMS = 64


def main(model: str) -> None:
    """Index four languages into one collection, search it in two of them, and explain."""
    encoder = load_encoder(model)
    print(f"{encoder.spec.vocabulary} terms; {encoder.normalization}")
    # If the tokenizer distinguishes composed and decomposed letters, we must choose one form.
    keep = encoder.normalization is None or encoder.normalization.composed

    def normal(text: str) -> str:
        return text if keep else unicodedata.normalize("NFC", text)

    with (
        tempfile.TemporaryDirectory() as folder,
        connect(f"edge:{folder}/index", encoder=encoder, prune=PruneOptions(top_k=200)) as store,
    ):
        store.index(Document(id=id, text=normal(text)) for id, text in TEXTS.items())
        for query in map(normal, QUERIES):
            best = store.search(query, limit=1, max_query_terms=QUERY_TERMS)[0]
            why = store.explain(query, best.id, max_query_terms=QUERY_TERMS)
            terms = ", ".join(term.text for term in why.terms[:6])
            print(f"{query}: {best.id} ({best.score:.2f}) by {terms}")


if __name__ == "__main__":
    main(sys.argv[1])
