"""Legs in full on the command line, and queries that were encoded elsewhere."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from splade_connectors.cli.legs import read_query_vector
from splade_connectors.vectors import SparseVector
from tests.integration.command_line import BUNDLED, ROWS, Run, jsonl, refusal

QUERY = "how to bake bread"


@pytest.fixture(autouse=True)
def _in_its_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def shard(run: Run, tmp_path: Path) -> str:
    """Two sparse vectors: of texts, and of titles; and a text index."""
    rows = [{**row, "dense": [1.0, float(at)]} for at, row in enumerate(ROWS)]
    target = f"edge:{tmp_path / 'shard'}"
    index = ["index", jsonl(tmp_path / "rows.jsonl", rows), target, "--text", "text"]
    assert run(*index, "--dense-field", "dense").code == 0
    assert run("attach", f"{target}?vector=titles", "--text", "title").code == 0
    assert run("attach", target, "--text-index", "text").code == 0
    return target


def test_legs_in_full(run: Run, shard: str) -> None:
    legs = ["sparse", "sparse:field=titles,name=titles,candidates=20", "text:field=text,name=words"]
    legs.append("dense:vector=dense.json,exact=yes")
    Path("dense.json").write_text("[1.0, 0.5]", encoding="utf-8")
    options = [part for leg in legs for part in ("--leg", leg)]
    search = ["search", shard, QUERY, *options, "--fusion", "rrf:weights=1:2:1:0.5"]
    hits = run(*search, "--json").json
    assert hits[0]["id"] == "1"
    assert set(hits[0]["legs"]) == {"sparse", "titles", "words", "dense"}
    ranks = {name: leg["rank"] for name, leg in hits[0]["legs"].items()}
    weights = {"sparse": 1, "titles": 2, "words": 1, "dense": 0.5}
    total = sum(weights[name] / (60 + rank) for name, rank in ranks.items())
    assert hits[0]["score"] == pytest.approx(total, rel=1e-5)
    why = run("explain", shard, QUERY, "1", *search[3:], "--json").json
    assert why["score"] == pytest.approx(hits[0]["score"], rel=1e-5)
    assert set(why["terms"]) == {"sparse", "titles"}
    shown = run("explain", shard, QUERY, "1", *search[3:]).out
    assert re.search(r"^titles: score \d", shown, re.MULTILINE)
    plan = run(*search, "--dry-run", "--json").json
    used = [leg["prefetch"][0].get("using") for leg in plan["body"]["prefetch"]]
    assert used == ["splade", "titles", "text", ""]


def test_a_query_that_was_encoded_before(
    run: Run, shard: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = run("encode", "--query", QUERY, "--ids", "--json")
    Path("query.json").write_text(made.out, encoding="utf-8")
    terms = made.json["terms"]
    text = run("search", shard, QUERY, "--json").json

    def refuse(*given: Any, **more: Any) -> None:
        raise AssertionError("no model is to be loaded")

    monkeypatch.setattr("splade_connectors.encoders.load_encoder", refuse)
    found = run("search", shard, "", "--leg", "sparse:vector=query.json", "--json").json
    assert [hit["id"] for hit in found] == [hit["id"] for hit in text]
    assert found[0]["legs"]["sparse"]["score"] == pytest.approx(text[0]["score"], rel=1e-6)
    forms: list[Any] = [
        {"indices": list(map(int, terms)), "values": list(terms.values())},
        [{"index": int(index), "value": weight} for index, weight in terms.items()],
    ]
    for form in forms:
        Path("query.json").write_text(json.dumps(form), encoding="utf-8")
        again = run("search", shard, "", "--leg", "sparse:vector=query.json", "--json").json
        assert again == found


def test_another_model_for_a_leg(run: Run, shard: str) -> None:
    leg = f"sparse:field=titles,model={BUNDLED},name=titles"
    hits = run("search", shard, QUERY, "--leg", leg, "--json").json
    assert hits[0]["id"] == "1"


@pytest.mark.parametrize(
    ("legs", "sentence"),
    [
        (
            ["spares"],
            r"--leg spares: the leg must be one of sparse, dense, text, for example sparse:fi",
        ),
        (["sparse:fields=x"], r"unknown setting 'fields=x'; a sparse leg takes field, .*, name"),
        (["sparse:candidates=many"], r"candidates must be a whole number, not 'many'"),
        (["sparse:candidates=0"], r"--leg sparse:candidates=0: candidates must be at least 1"),
        (["dense"], r"a dense leg needs either model=… or vector=FILE"),
        (["dense:vector=nowhere.json"], r"cannot read nowhere\.json as JSON"),
        (["dense:vector=bad.json,exact=maybe"], r"exact must be yes or no, not 'maybe'"),
        (
            ["sparse:vector=bad.json"],
            r'bad\.json is not a sparse vector: expected {"indices": \[…\]',
        ),
        (["sparse:vector=nan.json"], r"the sparse vector in nan\.json is invalid: .*NaN|finite"),
        (["sparse:vector=twice.json"], r"index 3 is given twice"),
        (["sparse", "sparse:field=titles"], r"two legs are named 'sparse'; set name= on one of"),
        (["sparse:field=third"], r"has no sparse vectors under this name; it has: splade, titles"),
        (["text:field=title"], r"'title' of \S+ has no text index; .*--text-index title creates"),
        (["sparse:model=nowhere"], r"nowhere"),
    ],
)
def test_bad_legs_are_one_sentence(run: Run, shard: str, legs: list[str], sentence: str) -> None:
    Path("bad.json").write_text('{"coffee": 2}', encoding="utf-8")
    Path("nan.json").write_text('{"indices": [3], "values": [NaN]}', encoding="utf-8")
    twice = '[{"index": 3, "value": 1}, {"index": 3, "value": 2}]'
    Path("twice.json").write_text(twice, encoding="utf-8")
    options = [part for leg in legs for part in ("--leg", leg)]
    said = refusal(run("search", shard, QUERY, *options))
    assert re.search(sentence, said), said
    assert said.count("\n") == 1


@pytest.mark.parametrize(
    "other", [["--text-field", "text"], ["--candidates", "5"], ["--no-sparse"]]
)
def test_leg_stands_alone(run: Run, shard: str, other: list[str]) -> None:
    said = refusal(run("search", shard, QUERY, "--leg", "sparse", *other))
    assert f"--leg spells out all legs; omit {other[0]}" in said


def test_weights_below_nothing_are_refused(tmp_path: Path) -> None:
    file = tmp_path / "vector.json"
    file.write_text('{"indices": [7, 2], "values": [1.5, 0]}', encoding="utf-8")
    assert read_query_vector(file) == SparseVector.from_pairs({7: 1.5})[0]
