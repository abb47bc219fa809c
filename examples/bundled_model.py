"""The model that comes with the package: English, 4 million weights, nothing to download."""

from __future__ import annotations

import tempfile

from splade_connectors import Document, connect, load_encoder

TEXTS = {
    "dough": "Yeast eats sugar and gives off gas, which makes the dough rise.",
    "heart": "The heart pumps blood through the body about once a second.",
    "tides": "The moon pulls at the sea, and the tide comes in twice a day.",
}


def main() -> None:
    """Index three texts into a folder, search them, and say why the best one was found."""
    encoder = load_encoder()
    print(f"{encoder.spec.model}: {encoder.spec.vocabulary} terms; {encoder.normalization}")
    with (
        tempfile.TemporaryDirectory() as folder,
        connect(f"edge:{folder}/index", encoder=encoder) as store,
    ):
        store.index(Document(id=id, text=text) for id, text in TEXTS.items())
        query = "why does bread rise"
        best = store.search(query)[0]
        print(f"{query}: {best.id} ({best.score:.2f})")
        for term in store.explain(query, best.id).terms[:5]:
            print(f"  {term.text}: {term.contribution:.2f}")


if __name__ == "__main__":
    main()
