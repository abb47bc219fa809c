"""Use the client that your application already has, and its filters."""

from __future__ import annotations

from qdrant_client import QdrantClient, models

from splade_connectors import Document, connect


def main(client: QdrantClient) -> None:
    """Index two documents into the client's server, and search those in one language."""
    store = connect(client, "articles", vector="splade")
    store.index(
        [
            Document(id=1, text="Solar panels on the roof", payload={"lang": "en"}),
            Document(id=2, text="Solarzellen auf dem Dach", payload={"lang": "de"}),
        ]
    )
    english = models.Filter(
        must=[models.FieldCondition(key="lang", match=models.MatchValue(value="en"))]
    )
    for hit in store.search("electricity from the sun", filter=english):
        print(f"{hit.score:.2f}", hit.id, hit.payload)


if __name__ == "__main__":
    main(QdrantClient(":memory:"))
