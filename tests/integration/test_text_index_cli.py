"""BM25 of payload text on the command line: made, searched, explained and removed; bad input."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from qdrant_client import models

from tests.fronts import QdrantRestFront
from tests.integration.command_line import ROWS, Run, jsonl, refusal
from tests.integration.elasticsearch_server import server_of


@pytest.fixture(autouse=True)
def _in_its_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def shard(run: Run, tmp_path: Path) -> str:
    target = f"edge:{tmp_path / 'a shard'}"
    assert run("index", jsonl(tmp_path / "rows.jsonl", ROWS), target).code == 0
    return target


@pytest.fixture
def collection() -> Iterator[str]:
    """Of an owner who has no sparse vectors at all, behind a front."""
    with QdrantRestFront(version="1.20.0") as front:
        client = front.engine.client
        dense = models.VectorParams(size=2, distance=models.Distance.DOT)
        client.create_collection("articles", {"dense": dense})
        points = [
            models.PointStruct(id=at, vector={"dense": [0.25, 2.0]}, payload={"body": row["text"]})
            for at, row in enumerate(ROWS)
        ]
        client.upsert("articles", points)
        yield f"qdrant://{front.host}/articles"


@pytest.fixture
def no_model(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*given: Any, **more: Any) -> None:
        raise AssertionError("no model is to be loaded")

    monkeypatch.setattr("splade_connectors.encoders.load_encoder", refuse)


@pytest.mark.usefixtures("no_model")
def test_an_owner_gets_bm25_without_a_model(run: Run, collection: str) -> None:
    command = ["attach", collection, "--text-index", "body"]
    plan = run(*command, "--dry-run")
    assert (plan.code, plan.err) == (0, "")
    assert re.search(r"^text for BM25 +body *$", plan.out, re.MULTILINE)
    assert "would add: the payload field 'body' gets a text index for BM25 (token" in plan.out
    assert "sparse vectors in" not in plan.out
    assert run(*command, "--dry-run", "--json").json["text_index"] == ["body"]
    done = run(*command)
    assert done.code == 0
    assert "BM25 can now search 'body'" in done.out
    _, _, line = done.out.strip().partition("Next: splade-connectors ")
    found = run(*shlex.split(line.replace("your own words", "immune system")), "--json")
    (hit,) = found.json
    assert (hit["id"], hit["legs"]["text"]["rank"]) == (3, 1)
    again = run(*command)
    assert "BM25 could already search 'body'" in again.out
    assert run(*command, "--json").json["text_index"] == []


def test_words_and_vectors_are_searched_explained_and_planned(run: Run, shard: str) -> None:
    search = ["search", shard, "how to bake bread", "--text-field", "text"]
    said = refusal(run(*search))
    attach = f"splade-connectors attach {shlex.quote(shard)} --text-index text"
    assert attach in said
    assert run(*shlex.split(attach)[1:]).code == 0
    hits = run(*search, "--json").json
    assert hits[0]["id"] == "1"
    assert set(hits[0]["legs"]) == {"sparse", "text"}
    shown = run(*search, "--dry-run").out
    assert "the text leg is BM25 of the payload field 'text'" in shown
    assert '"text": "how to bake bread"' in shown
    fusion = ["--fusion", "sum:weights=1:3"]
    best = run(*search, *fusion, "--json").json[0]
    why = run("explain", shard, "how to bake bread", "1", "--text-field", "text", *fusion, "--json")
    parts = {part["leg"]: part for part in why.json["legs"]}
    assert why.json["score"] == pytest.approx(best["score"], rel=1e-5)
    assert parts["text"]["contribution"] == pytest.approx(3 * parts["text"]["score"])
    assert why.json["sparse"]["score"] == pytest.approx(parts["sparse"]["score"], rel=1e-5)
    table = run("explain", shard, "how to bake bread", "4", "--text-field", "text")
    assert re.search(r"^text +- +- +0\.00000$", table.out, re.MULTILINE)
    assert "fused score" in table.out
    # An integer id looks like text on a command line.
    assert table.code == 0


def test_it_is_removed_alone_and_only_if_it_is_ours(run: Run, shard: str) -> None:
    assert run("attach", shard, "--text-index", "text").code == 0
    plan = run("detach", shard, "--dry-run")
    assert "note: the text index of 'text' stays: detach --text-index text removes" in plan.err
    shown = run("detach", shard, "--text-index", "text", "--dry-run")
    assert shown.err.strip() == "would remove: the text index of 'text'"
    done = run("detach", shard, "--text-index", "text", "--yes")
    assert done.out.strip() == "removed the text index of 'text'"
    said = refusal(run("detach", shard, "--text-index", "text", "--yes"))
    assert "no text index on 'text' that attach created (it created: none)" in said
    assert run("search", shard, "bread", "--json").json[0]["id"] == "1"


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (["attach", "--text-index", "nope"], "no point has a payload field 'nope'"),
        (["attach", "--text-index", "text", "--text-tokenizer", "words"], "one of word, .*'words'"),
        (["attach", "--text-tokenizer", "word"], "require text_index"),
        (["attach", "--text-index", "text", "--part", "0/2"], "a run of its own"),
        (["attach", "--text-index", "text", "--follow"], "omit --follow"),
        (["search", "bread", "--no-sparse"], "--no-sparse needs a second leg; add"),
        (
            ["search", "bread", "--text-field", "title", "--text-field", "text"],
            r"not 2 \('title'.*--leg text:field=…,name=…",
        ),
        (["explain", "bread", "1", "--fusion", "rrf"], "--fusion needs a second leg"),
    ],
)
def test_bad_input_is_one_sentence(run: Run, shard: str, options: list[str], sentence: str) -> None:
    command, *rest = options
    said = refusal(run(command, shard, *rest))
    assert re.search(sentence, said), said
    assert said.count("\n") == 1


@pytest.mark.servers
@pytest.mark.usefixtures("no_model")
def test_elasticsearch_needs_no_index_of_its_own(run: Run, request: pytest.FixtureRequest) -> None:
    with server_of("9.3.2", request) as server:
        name = server.new_name()
        server.put(name, {"1": {"body": "Bread needs time.", "price": 3}})
        target = server.target(name)
        plan = run("attach", target, "--text-index", "body", "--dry-run").out
        assert "note: BM25 searches 'body' as it is mapped: no index is needed" in plan
        before = server.mapping(name)
        done = run("attach", target, "--text-index", "body")
        assert (done.code, server.mapping(name)) == (0, before)
        search = ["search", target, "time", "--text-field", "body", "--no-sparse", "--json"]
        assert [hit["id"] for hit in run(*search).json] == ["1"]
        said = refusal(run("attach", target, "--text-index", "nope"))
        assert "has no field 'nope' for a text leg; its text fields are 'body'" in said
        said = refusal(run("attach", target, "--text-index", "body", "--text-tokenizer", "word"))
        assert "the mapping of elasticsearch:" in said
        assert "omit --text-tokenizer" in said
        said = refusal(run("detach", target, "--text-index", "body", "--yes"))
        assert "no text index on 'body' that attach created (it created: none)" in said
