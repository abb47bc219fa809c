"""A SPLADE model on DistilBERT, at half of BERT's cost, for texts longer than its maximum.

    python distilbert_model.py MODEL

MODEL is a folder or a Hugging Face id, such as naver/splade-v3-distilbert (not for commercial use).
"""

from __future__ import annotations

import sys
import tempfile

from splade_connectors import Document, EncodeOptions, PruneOptions, connect, load_encoder

BOOK = " ".join(f"Chapter {n} is about the moon and the tides." for n in range(60))


def main(model: str) -> None:
    """Encode a long text in passages, and keep its heaviest terms."""
    options = EncodeOptions(long_text="passages", passage_overlap=16, max_length=64)
    encoder = load_encoder(model, options=options)
    whole = encoder.encode_documents([BOOK])[0]
    print(f"{len(BOOK.split())} words became {len(whole)} terms")
    with (
        tempfile.TemporaryDirectory() as folder,
        connect(
            f"edge:{folder}/index", encoder=encoder, prune=PruneOptions(max_ratio=0.1)
        ) as store,
    ):
        report = store.index([Document(id="book", text=BOOK)])
        print(f"{report.split} text in passages, {report.terms} terms kept")
        for hit in store.search("the moon", limit=1):
            print(f"{hit.id}: {hit.score:.2f}")


if __name__ == "__main__":
    main(sys.argv[1])
