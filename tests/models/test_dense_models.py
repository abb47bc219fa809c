"""`--dense-model` with a real model of sentence-transformers: random weights, in a local folder."""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest

from splade_connectors import Document, connect, load_encoder
from splade_connectors.encoders.dense import DenseModel
from splade_connectors.testing import HashEncoder
from tests.fronts import QdrantRestFront
from tests.integration.command_line import jsonl, real
from tests.models.folders import dense_model

_INSTALL = "pip install 'splade-connectors[test-models]'"
pytest.importorskip("torch", reason=_INSTALL)
pytest.importorskip("sentence_transformers", reason=_INSTALL)

pytestmark = pytest.mark.models

SERVERS = {
    "elasticsearch-9.3.2": "elasticsearch_url",
    "opensearch-3.6.0": "opensearch_url",
}
ON_SERVERS = [pytest.param(name, marks=pytest.mark.servers) for name in SERVERS]
QUERY = "bread in an oven"
WORDS = ["how", "vaccines", "work", "heart", "bread", "is", "baked", "in", "an", "oven", "many"]


@pytest.fixture(params=["edge", "rest", *ON_SERVERS])
def target(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """A place with nothing in it."""
    name = f"dense-{uuid.uuid4().hex}"
    if request.param == "edge":
        yield f"edge:{tmp_path}/shard"
    elif request.param == "rest":
        with QdrantRestFront() as front:
            yield f"qdrant://{front.host}/{name}"
    else:
        url = request.getfixturevalue(SERVERS[request.param]).rstrip("/")
        yield f"{request.param.partition('-')[0]}://{url.partition('://')[2]}/{name}"
        httpx.delete(f"{url}/{name}", timeout=60, trust_env=False)


def told(*arguments: object) -> Any:
    done = real(*arguments, "--json")
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_indexed_searched_and_left_alone(target: str, tmp_path: Path) -> None:
    model = dense_model(tmp_path / "model")
    draw = np.random.default_rng(1)
    rows: list[dict[str, Any]] = [
        {"id": str(number), "text": " ".join(draw.choice(WORDS, 12)), "n": number}
        for number in range(40)
    ]
    corpus = jsonl(tmp_path / "x.jsonl", rows)
    report = told("index", corpus, target, "--dense-model", model, "--skip-unchanged")
    assert report["written"] == 40

    by_hand = DenseModel(str(model))
    vectors = np.asarray(by_hand.documents([row["text"] for row in rows]))
    kept = stored(target)
    for row, vector in zip(rows, vectors, strict=True):
        assert kept[row["id"]] == pytest.approx(vector, abs=1e-5)

    # The search's dense leg ranks by the same model's cosine; servers find about the nearest.
    hits = told("search", target, QUERY, "--dense-model", model, "--limit", 40)
    order = sorted(range(40), key=lambda at: -float(vectors[at] @ by_hand(QUERY)))
    nearest = {rows[at]["id"] for at in order[:10]}
    found = {hit["id"] for hit in hits if hit["legs"].get("dense", {}).get("rank", 99) <= 10}
    assert len(found & nearest) >= (7 if "search" in target else 10)

    # Nothing has changed; then a payload; then a text. Dense vectors follow texts alone.
    assert again(target, rows, by_hand) == (0, 0, 40)
    rows[0]["n"], rows[1]["text"] = 100, "heart heart heart"
    assert again(target, rows, by_hand) == (2, 1, 38)
    now = stored(target)
    assert now["0"] == pytest.approx(kept["0"], abs=1e-6)
    (changed,) = by_hand.documents(["heart heart heart"])
    assert now["1"] == pytest.approx(changed, abs=1e-5)
    assert again(target, rows, by_hand) == (0, 0, 40)


def again(target: str, rows: list[dict[str, Any]], model: DenseModel) -> tuple[int, int, int]:
    """What the same night in this process writes, encodes and leaves alone."""
    documents = [
        Document(id=row["id"], text=row["text"], payload={"text": row["text"], "n": row["n"]})
        for row in rows
    ]
    with connect(target, encoder=load_encoder()) as store:
        report = store.index(documents, dense=model, skip_unchanged=True)
    assert report.rejected == []
    return report.written, report.encoded, report.unchanged


def stored(target: str) -> dict[str, list[float]]:
    with connect(target, encoder=HashEncoder(), override_manifest=True) as store:
        found = list(store.export(with_vectors=True))
    return {str(document.id): list(next(iter(document.dense.values()))) for document in found}
