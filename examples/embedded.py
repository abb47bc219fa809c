"""Index and search in the embedded engine: no server, nothing to download."""

from __future__ import annotations

import sys
import tempfile

from splade_connectors import Document, connect

DOCUMENTS = [
    Document(id="moon", text="The Moon turns once while it goes round the Earth once."),
    Document(id="tide", text="Tides rise where the Moon pulls the oceans.", payload={"sea": True}),
    Document(id="bread", text="Yeast makes dough rise by giving off gas."),
]


def main(path: str) -> None:
    """Index, search and explain."""
    with connect(f"edge:{path}") as store:
        report = store.index(DOCUMENTS)
        print(f"{report.written} documents, {report.terms / report.written:.0f} terms each")

        query = "tidal forces"
        hits = store.search(query, limit=2)
        for hit in hits:
            print(f"{hit.score:6.2f}  {hit.id}")
        for term in store.explain(query, hits[0].id).terms[:5]:
            origin = "own word" if term.in_document else "added by the model"
            print(f"        {term.token}: {term.contribution:.2f} ({origin})")


if __name__ == "__main__":
    if len(sys.argv) > 1:
        main(sys.argv[1])
    else:
        with tempfile.TemporaryDirectory() as folder:
            main(f"{folder}/index")
