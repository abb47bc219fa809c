"""An efficient model with two sides: a large encoder for documents, a small one for queries.

    python two_sided_model.py MODEL

MODEL is a folder in the layout of sentence-transformers with a Router, such as one made of
naver/efficient-splade-VI-BT-large-doc and -query (not for commercial use).
"""

from __future__ import annotations

import sys
import tempfile

from splade_connectors import Document, connect, load_encoder

TEXTS = {
    "dough": "Yeast eats sugar and gives off gas, which makes the dough rise.",
    "heart": "The heart pumps blood through the body about once a second.",
}


def main(model: str) -> None:
    """Index with both sides, then search with the query side alone."""
    with tempfile.TemporaryDirectory() as folder:
        target = f"edge:{folder}/index"
        with connect(target, encoder=load_encoder(model)) as store:
            report = store.index(Document(id=id, text=text) for id, text in TEXTS.items())
            print(f"{report.written} documents, {report.terms / report.written:.0f} terms each")
        queries = load_encoder(model, queries_only=True)
        with connect(target, encoder=queries) as store:
            for query in ("yeast and dough", "blood"):
                best = store.search(query, limit=1)[0]
                print(f"{query}: {best.id} ({best.score:.2f})")


if __name__ == "__main__":
    main(sys.argv[1])
