"""Add learned sparse vectors to Elasticsearch: python examples/elasticsearch_index.py URL.

The index is created if it does not exist; in an existing one, the field is added to the mapping.
"""

from __future__ import annotations

import sys

from elasticsearch import Elasticsearch

from splade_connectors import Document, connect


def main(url: str, index: str = "splade-example") -> None:
    """Index, search with a filter in Elasticsearch's own language, and show the request."""
    with Elasticsearch(url) as client:
        store = connect(client, index, field="splade")
        store.index(
            [
                Document(id="a", text="A glacier is a river of ice.", payload={"topic": "earth"}),
                Document(id="b", text="Sourdough needs no yeast.", payload={"topic": "food"}),
            ]
        )
        for hit in store.search("melting ice", filter={"match": {"topic": "earth"}}):
            print(f"{hit.score:.2f}", hit.id, hit.payload["text"])
        plan = store.plan("melting ice")
        print(plan.method, plan.url_path, f"({plan.path}: {plan.reason})")


if __name__ == "__main__":
    main(sys.argv[1] if len(sys.argv) > 1 else "http://localhost:9200")
