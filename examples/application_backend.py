"""An async application backend: one call per query, a filter, and the terms that matched."""

from __future__ import annotations

import asyncio
import sys
import tempfile

from splade_connectors import AsyncStore, Document, aconnect, load_encoder


async def answer(store: AsyncStore, question: str) -> dict[str, object]:
    """Answer a question, as an endpoint would."""
    hits = await store.search(question, limit=1)
    if not hits:
        return {"question": question, "answer": None}
    why = await store.explain(question, hits[0].id)
    return {
        "question": question,
        "answer": hits[0].payload["text"],
        "because": [term.token for term in why.terms[:3]],
    }


async def main(target: str) -> None:
    """Fill an index, then answer several questions concurrently."""
    # Load the model when the application starts, not with the first request.
    encoder = load_encoder()
    async with await aconnect(target, encoder=encoder) as store:
        await store.index(
            [
                Document(id="opening", text="The library is open from nine to six on weekdays."),
                Document(id="loans", text="Books can be kept for four weeks and renewed twice."),
                Document(id="fees", text="A late return costs ten cents for every day."),
            ]
        )
        questions = ["when do you close", "how long may I keep a novel", "penalty for being late"]
        for found in await asyncio.gather(*(answer(store, text) for text in questions)):
            print(found)


if __name__ == "__main__":
    if len(sys.argv) > 1:
        asyncio.run(main(sys.argv[1]))
    else:
        with tempfile.TemporaryDirectory() as folder:
            asyncio.run(main(f"edge:{folder}/index"))
