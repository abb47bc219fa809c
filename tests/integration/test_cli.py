"""The command line: every command, its exit codes, and a sentence for every mistake."""

from __future__ import annotations

import gzip
import json
import os
import re
import shutil
from pathlib import Path

import pytest
import qdrant_edge

import splade_connectors
from splade_connectors import Document, SparseEncoder, connect
from tests.contract.owners import EdgeOwner
from tests.integration.command_line import (
    BUNDLED,
    ROWS,
    Run,
    fill,
    jsonl,
    one_document,
    real,
    refusal,
    target,
)

COMMANDS = [
    "demo",
    "encode",
    "index",
    "search",
    "explain",
    "export",
    "delete",
    "inspect",
    "evaluate",
]


@pytest.fixture(autouse=True)
def _in_its_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Dead letters go to the folder in which a command runs."""
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def corpus(tmp_path: Path) -> Path:
    return jsonl(tmp_path / "corpus.jsonl", ROWS)


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store with the rows, read only."""
    return fill(tmp_path_factory.mktemp("filled"))


def test_the_version_is_printed() -> None:
    done = real("--version")
    assert (done.returncode, done.stdout, done.stderr) == (
        0,
        f"{splade_connectors.__version__}\n",
        "",
    )


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_help(run: Run, command: str) -> None:
    for option in ("--help", "-h"):
        done = run(command, option)
        assert (done.code, done.err) == (0, "")
        assert f"Usage: splade-connectors {command}" in done.out
        assert "--json" in done.out
    described = re.findall(r"^  (--[\w-]+)[^\n]*", done.out, re.M)
    assert len(described) >= 2


def test_help_lists_the_commands_and_exit_codes(run: Run) -> None:
    done = run("--help")
    assert done.code == 0
    for command in COMMANDS:
        assert re.search(rf"^  {command}  +\w", done.out, re.M), command
    assert "130 Ctrl-C, 143 SIGTERM, 129 SIGHUP" in " ".join(done.out.split())
    bare = run()
    assert bare.code in (0, 2)  # typer's choice, by version
    assert (bare.out + bare.err).startswith("Usage: splade-connectors")


@pytest.mark.parametrize(
    "arguments",
    [
        ["nonsense"],
        ["search"],
        ["search", "edge:x"],
        ["index", "x.jsonl"],
        ["search", "edge:x", "y", "--limit", "0"],
        ["search", "edge:x", "y", "--limit", "many"],
        ["search", "edge:x", "y", "--offset", "-1"],
        ["index", "x.jsonl", "edge:x", "--batch-size", "0"],
        ["index", "x.jsonl", "edge:x", "--max-length", "1"],
        ["inspect", "edge:x", "--nonsense"],
        ["evaluate", "edge:x"],
    ],
)
def test_wrong_usage_exits_with_2(run: Run, arguments: list[str]) -> None:
    done = run(*arguments)
    assert (done.code, done.out) == (2, "")
    assert "Usage: splade-connectors" in done.err


def test_indexing_says_what_it_did(run: Run, corpus: Path, tmp_path: Path) -> None:
    done = run("index", corpus, target(tmp_path))
    assert done.code == 0
    assert re.match(r"4 documents written in \d+\.\d s \(\d+/s\), \d+ terms each\n", done.out)
    assert done.err == ""


def test_indexing_as_json(run: Run, corpus: Path, tmp_path: Path) -> None:
    done = run("index", corpus, target(tmp_path), "--json")
    report = one_document(done.out)
    assert done.code == 0
    assert (report["written"], report["rejected"], report["rejections"]) == (4, 0, [])
    assert report["interrupted"] is False
    assert report["terms_per_document"] > 10
    assert report["tokens"] > 20


def test_rows_that_were_rejected_make_exit_code_1(run: Run, tmp_path: Path) -> None:
    bad = ["{", {"text": "no id"}, {"_id": "1", "text": "again"}, {"_id": "5", "text": 5}]
    path = jsonl(tmp_path / "x.jsonl", [*ROWS, *bad, {"_id": "6", "text": ""}])
    done = run("index", path, target(tmp_path))
    assert done.code == 1
    assert "5 documents written" in done.out
    assert "1 without text: stored, never found" in done.out
    assert "4 rejected:" in done.err
    assert "line 5: line 5 is not JSON" in done.err
    assert "line 6: the row has no id ('_id')" in done.err
    assert "line 7 id '1': the id '1' was already used by an earlier document" in done.err
    assert "line 8 id '5': the field 'text' is a number, not text" in done.err
    done = run("index", path, target(tmp_path), "--json")
    assert done.code == 1
    rejections = one_document(done.out)["rejections"]
    assert [(item["line"], item["id"]) for item in rejections] == [
        (5, None),
        (6, None),
        (8, "5"),
        (7, "1"),
    ]


def test_the_same_reason_is_counted_and_not_repeated(run: Run, tmp_path: Path) -> None:
    bad = [{"_id": str(n), "text": "water", "price": {"now": 1e400}} for n in range(5, 55)]
    path = tmp_path / "x.jsonl"
    path.write_text("".join(f"{json.dumps(row)}\n" for row in [*ROWS, *bad, {"text": "no id"}]))
    done = run("index", path, target(tmp_path))
    assert done.code == 1
    assert "51 rejected:\n" in done.err
    assert (
        "line 5 id '5' and 49 more: the payload's field 'price.now' is infinite, which JSON "
        "cannot represent" in " ".join(done.err.split())
    )
    assert done.err.count("infinite") == 1
    assert "  line 55: the row has no id ('_id')\n  see dead-letters-" in done.err
    reasons = run("index", path, target(tmp_path), "--json").json["reasons"]
    assert list(reasons.values()) == [50, 1]


def test_only_the_first_rejections_are_shown(run: Run, tmp_path: Path) -> None:
    path = jsonl(tmp_path / "x.jsonl", [ROWS[0], *["{"] * 50])
    done = run("index", path, target(tmp_path))
    assert done.code == 1
    assert done.err.count("is not JSON") == 10
    assert "and 40 more; see dead-letters-" in done.err
    assert "--from-dead-letters" not in done.err  # what is not a row is none the next time either
    (kept,) = tmp_path.glob("dead-letters-*.jsonl")
    assert len(kept.read_text().splitlines()) == 50


def test_texts_beyond_the_maximum_are_counted(run: Run, tmp_path: Path) -> None:
    path = jsonl(tmp_path / "x.jsonl", [{"id": 1, "text": "word " * 2000}])
    options = ("--max-length", 64, "--batch-size", 2, "--threads", 1)
    done = run("index", path, target(tmp_path), *options)
    assert "1 longer than the model's maximum: the rest is not encoded" in done.out
    done = run("index", path, f"edge:{tmp_path}/windows", *options, "--long-text", "passages")
    assert "1 longer than the model's maximum: encoded in passages" in done.out


def test_other_fields_and_a_dense_vector(run: Run, tmp_path: Path) -> None:
    rows = [{"key": "a", "body": "bread", "head": "food", "v": [0.6, 0.8]}]
    path = jsonl(tmp_path / "x.data", rows)
    fields = ("--text", "head", "--text", "body", "--id-field", "key", "--dense-field", "v")
    done = run("index", path, target(tmp_path), *fields, "--format", "jsonl")
    assert done.code == 0
    found = run("search", target(tmp_path), "bread", "--json").json
    assert [hit["id"] for hit in found] == ["a"]
    assert found[0]["payload"] == {"body": "bread", "head": "food"}
    details = run("inspect", target(tmp_path), "--json").json
    assert details["dense_fields"] == {"": 2}
    assert details["manifest"]["text_fields"] == ["head", "body"]


def test_the_standard_input_is_indexed(tmp_path: Path) -> None:
    lines = "".join(f"{json.dumps(row)}\n" for row in ROWS)
    done = real("index", "-", target(tmp_path), "--json", input=lines)
    assert (done.returncode, one_document(done.stdout)["written"]) == (0, 4)


def test_searching_as_json(run: Run, filled: Path) -> None:
    done = run("search", target(filled), "how do I bake bread", "--json", "--limit", 2)
    hits = one_document(done.out)
    assert (done.code, done.err) == (0, "")
    assert [set(hit) >= {"id", "score", "payload"} for hit in hits] == [True, True]
    assert hits[0]["id"] == "1"
    assert hits[0]["payload"] == {name: ROWS[0][name] for name in ("title", "text", "lang")}
    assert hits[0]["score"] > hits[1]["score"] > 0


def test_searching_as_a_table(run: Run, filled: Path) -> None:
    done = run("search", target(filled), "how do I bake bread")
    assert done.code == 0
    assert re.search(r"^1 +\d+\.\d{3} +1 +Bread - Flour, water, salt", done.out, re.M)


def test_search_options(run: Run, filled: Path) -> None:
    every = run("search", target(filled), "the way to make a vaccine", "--json").json
    later = run(
        "search", target(filled), "the way to make a vaccine", "--json", "--offset", 1, "--limit", 1
    ).json
    assert later == every[1:2]
    bare = run("search", target(filled), "the way to make a vaccine", "--json", "--no-payload").json
    assert [hit["payload"] for hit in bare] == [{}] * len(every)
    condition = json.dumps({"must": [{"key": "lang", "match": {"value": "de"}}]})
    some = run(
        "search", target(filled), "the way to make a vaccine", "--json", "--filter", condition
    ).json
    assert some == [hit for hit in every if hit["payload"]["lang"] == "de"]
    assert some


def test_a_search_may_be_shown_instead_of_sent(run: Run, filled: Path) -> None:
    plan = one_document(run("search", target(filled), "bread", "--dry-run", "--json").out)
    assert plan["method"] == "POST"
    assert plan["body"]["using"] == "splade"
    assert plan["body"]["limit"] == 11  # one more tells whether equals were cut
    shown = run("search", target(filled), "bread", "--dry-run").out
    assert shown.startswith(
        f"# {plan['path']}: {plan['reason']}\n"
        "# edge: runs this in process; on a server, put your collection for COLLECTION\n"
        "POST /collections/COLLECTION/points/query\n"
    )
    assert json.loads(shown[shown.index("{") :]) == plan["body"]


def test_a_query_without_terms_finds_nothing_and_says_so(run: Run, filled: Path) -> None:
    done = run("search", target(filled), "  ")
    assert (done.code, done.out) == (0, "no hits\n")
    assert done.err == "warning: the query has no terms, so nothing is sent or found\n"
    assert run("search", target(filled), "  ", "--json").json == []


@pytest.mark.parametrize("id", ["1", "4"])
def test_explaining_as_json_adds_up(run: Run, filled: Path, id: str) -> None:
    query = "bread for the immune system"
    explanation = one_document(run("explain", target(filled), query, id, "--json").out)
    assert explanation["id"] == next(row["_id"] for row in ROWS if str(row["_id"]) == id)
    total = sum(term["contribution"] for term in explanation["terms"])
    assert total == pytest.approx(explanation["score"])
    hits = run("search", target(filled), query, "--json").json
    score = next(hit["score"] for hit in hits if str(hit["id"]) == id)
    assert explanation["score"] == pytest.approx(score, rel=1e-5)


def test_explaining_as_a_table(run: Run, filled: Path) -> None:
    done = run("explain", target(filled), "bread", "1")
    assert done.code == 0
    assert re.search(r"^bread +\d\.\d{3} +\d\.\d{3} +\d+\.\d{3} +\d+%", done.out, re.M)
    assert re.search(r"\d\.\d{3}\+", done.out)
    assert "+ marks terms that the model added to the text" in " ".join(done.out.split())


def test_inspecting(run: Run, filled: Path) -> None:
    found = one_document(run("inspect", target(filled), "--json").out)
    assert (found["exists"], found["has_field"], found["documents"]) == (True, True, 4)
    assert found["with_vectors"] == 4
    assert found["manifest"]["model"] == "splade-tiny"
    shown = run("inspect", target(filled)).out
    assert re.search(r"^documents +4 *$", shown, re.M)
    assert re.search(r"^manifest: model +splade-tiny *$", shown, re.M)


def test_inspecting_what_is_not_there(run: Run, tmp_path: Path) -> None:
    done = run("inspect", target(tmp_path), "--json")
    assert (done.code, done.json["exists"], done.json["manifest"]) == (0, False, None)
    assert re.search(r"^manifest +none *$", run("inspect", target(tmp_path)).out, re.M)
    assert not (tmp_path / "shard").exists()


def test_evaluating(run: Run, filled: Path) -> None:
    found = one_document(run("evaluate", target(filled), "--beir", filled, "--json").out)
    assert {name: found[name] for name in ("nDCG@10", "recall@100", "MRR@10", "queries")} == {
        "nDCG@10": 1.0,
        "recall@100": 1.0,
        "MRR@10": 1.0,
        "queries": 1,
    }
    assert found["missing_documents"] == found["unknown_queries"] == 0
    shown = run("evaluate", target(filled), "--beir", filled)
    assert re.search(r"nDCG@10 +recall@100 +MRR@10 +queries", shown.out)
    assert shown.err == ""


def test_evaluating_warns_of_what_does_not_fit_together(
    run: Run, filled: Path, tmp_path: Path
) -> None:
    shutil.copytree(filled / "qrels", tmp_path / "qrels")
    shutil.copy(filled / "queries.jsonl", tmp_path)
    with (tmp_path / "qrels" / "test.tsv").open("a") as file:
        file.write("q1\tgone\t1\nq9\t1\t1\n")
    done = run("evaluate", target(filled), "--beir", tmp_path)
    assert done.code == 0
    assert "1 judged query not in queries.jsonl: ignored" in done.err
    assert "1 relevant document not in the store: counted as not found" in done.err


def test_encoding_a_query(run: Run, encoder: SparseEncoder) -> None:
    found = one_document(run("encode", "--query", "bread", "--json").out)
    vector = encoder.encode_queries(["bread"])[0]
    assert found["query"] == "bread"
    assert found["terms"] == pytest.approx(
        dict(zip(encoder.tokens(vector.indices.tolist()), vector.values.tolist(), strict=True))
    )
    ids = run("encode", "--query", "bread", "--json", "--ids").json["terms"]
    assert set(ids) == {str(index) for index in vector.indices.tolist()}
    shown = run("encode", "--query", "bread").out
    assert re.search(r"^bread +\d\.\d{3}", shown, re.M)
    assert f"{len(vector)} terms; + marks terms" in shown


def test_encoding_a_file(run: Run, corpus: Path, tmp_path: Path) -> None:
    done = run("encode", corpus)
    lines = [json.loads(line) for line in done.out.splitlines()]
    assert [line["id"] for line in lines] == [row["_id"] for row in ROWS]
    assert all(len(line["terms"]) > 5 for line in lines)
    assert one_document(run("encode", corpus, "--json").out) == lines
    output = tmp_path / "out.jsonl"
    assert run("encode", corpus, "-o", output).out == ""
    assert output.read_text(encoding="utf-8") == done.out


def test_encoding_a_file_with_bad_rows(run: Run, tmp_path: Path) -> None:
    done = run("encode", jsonl(tmp_path / "x.jsonl", [ROWS[0], "{", ROWS[1]]), "--json")
    assert done.code == 1
    assert [item["id"] for item in one_document(done.out)] == ["1", "2"]
    assert "warning: line 2: line 2 is not JSON" in done.err


def test_an_output_is_whole_or_absent(run: Run, corpus: Path, tmp_path: Path) -> None:
    packed = tmp_path / "x.jsonl.gz"
    data = gzip.compress(
        "".join(
            json.dumps(row | {"_id": n}) + "\n" for n in range(2000) for row in ROWS[:1]
        ).encode()
    )
    packed.write_bytes(data[:-20])
    output = tmp_path / "out.jsonl"
    assert " to the end: " in refusal(run("encode", packed, "-o", output))
    missing = tmp_path / "nowhere" / "out.jsonl"
    assert "cannot write" in refusal(run("encode", corpus, "-o", missing))
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["corpus.jsonl", "x.jsonl.gz"]


BAD_FILES: list[tuple[str, bytes | None, list[str], str]] = [
    ("none.jsonl", None, [], r"cannot read .*none\.jsonl: No such file"),
    ("x.jsonl", b"", [], "has no readable row: it is empty"),
    ("x.jsonl", b"{\n{\n", [], "has no readable row: line 1 is not JSON"),
    ("x.jsonl", b'{"text": "x"}', [], r"has no id field \(_id or id\); it has 'text'.*--id-field"),
    ("x.jsonl", b'{"id": 1, "body": "x"}', [], "has no field 'text'; it has 'id', 'body'"),
    ("x.jsonl", b'{"id": 1, "text": "x"}', ["--text", "body"], r"no text field \(body\); it has"),
    ("x.jsonl", b'{"id": 1, "text": "x"}', ["--id-field", "key"], r"no id field \(key\); it has"),
    (
        "x.txt",
        b"text",
        [],
        r"cannot tell the format of .*x\.txt .*--format jsonl\|csv\|tsv\|parquet",
    ),
    ("x.jsonl", b'{"id": 1, "text": "x"}', ["--format", "xml"], "unknown format 'xml'; choose"),
    ("x.parquet", b"text", [], "is not a Parquet file"),
    ("x.jsonl.gz", b"text", [], " to the end: Not a gzipped file"),
    ("x.csv", b"id,text\n1,\xff\n", [], "is not valid UTF-8 after line"),
    (
        "x.jsonl",
        b'{"id": 1, "text": "x"}',
        ["--long-text", "cut"],
        "long_text must be 'truncate' or",
    ),
    (
        "x.jsonl",
        b'{"id": 1, "text": "x"}',
        ["--engine", "tf"],
        "engine must be 'int8', 'onnx' or 'torch'",
    ),
    (
        "x.jsonl",
        b'{"id": 1, "text": "x"}',
        ["--prune-max-ratio", "2"],
        r"lie in \[0, 1\), not 2\.0",
    ),
    ("x.jsonl", b'{"id": 1, "text": "x"}', ["--max-length", "9000"], "max_length=9000"),
    (
        "x.jsonl",
        b'{"id": 1, "text": "x"}',
        ["--model", "nowhere"],
        "the model 'nowhere' does not exist",
    ),
]


@pytest.mark.parametrize(("name", "data", "options", "sentence"), BAD_FILES)
def test_a_file_that_cannot_be_indexed_is_refused_and_nothing_is_made(
    run: Run, tmp_path: Path, name: str, data: bytes | None, options: list[str], sentence: str
) -> None:
    if data is not None:
        (tmp_path / name).write_bytes(data)
    assert re.search(sentence, refusal(run("index", tmp_path / name, target(tmp_path), *options)))
    assert not (tmp_path / "shard").exists()


def test_an_archive_that_ends_too_early_says_how_far_it_got(run: Run, tmp_path: Path) -> None:
    rows = [{"id": n, "text": f"number {n * 7919}"} for n in range(3000)]
    packed = gzip.compress("\n".join(map(json.dumps, rows)).encode())
    (tmp_path / "x.jsonl.gz").write_bytes(packed[: len(packed) * 3 // 4])
    sentence = refusal(run("index", tmp_path / "x.jsonl.gz", target(tmp_path)))
    assert "to the end: Compressed file ended" in sentence
    (shown,) = re.findall(r"([\d,]+) documents? written so far", sentence)
    written = int(shown.replace(",", ""))
    assert written >= 512
    with connect(target(tmp_path)) as store:
        assert store.count() == written


def test_documents_of_others_are_replaced_on_demand_only(run: Run, tmp_path: Path) -> None:
    file = jsonl(tmp_path / "rows.jsonl", [{"id": 1, "text": "bread"}, {"id": 2, "text": "salt"}])
    EdgeOwner(tmp_path / "theirs", lambda: None).put({1: {"title": "of another", "price": 3}})
    theirs = f"edge:{tmp_path}/theirs"
    said = refusal(run("index", file, theirs))
    assert "was not created by this package, and 1 of the next 2 documents already" in said
    assert "splade-connectors attach" in said
    assert run("inspect", theirs, "--json").json["manifest"] is None
    done = run("index", file, theirs, "--replace")
    assert (done.code, "1 replaced a document with the same id" in done.out) == (0, True)


def break_model(folder: Path, file: str, size: int | None) -> None:
    shutil.copytree(BUNDLED, folder)
    if size is None:
        (folder / file).unlink()
    else:
        os.truncate(folder / file, size)


@pytest.mark.parametrize(
    ("file", "size", "sentence"),
    [
        ("tokenizer.json", None, "has no tokenizer.json; save it there with"),
        ("tokenizer.json", 1000, r"tokenizer\.json cannot be read"),
        ("model.onnx", 10_000, r"model\.onnx"),
        ("model.onnx", 0, r"model\.onnx"),
        ("splade_connectors.json", 10, r"splade_connectors\.json is not valid JSON"),
    ],
)
def test_a_broken_model_is_refused_and_nothing_is_made(
    run: Run, corpus: Path, tmp_path: Path, file: str, size: int | None, sentence: str
) -> None:
    break_model(tmp_path / "model", file, size)
    done = run("index", corpus, target(tmp_path), "--model", tmp_path / "model")
    assert re.search(sentence, refusal(done))
    assert not (tmp_path / "shard").exists()


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["search", "articles", "x"], "'articles' is not a target; targets look like edge:PATH"),
        (["search", "http://localhost/x", "x"], "must name a database"),
        (["search", "mydb://localhost/x", "x"], "no adapter for 'mydb'; installed adapters"),
        (["search", "edge:FILLED?field=x", "x"], "field= is for Elasticsearch"),
        (["search", "edge:FILLED?vectr=x", "x"], "unknown target parameter 'vectr'"),
        (["search", "edge:NOWHERE", "x"], "does not exist; `splade-connectors index` creates it"),
        (["search", "edge:FILLED?vector=other", "x"], "no sparse vectors under this name; it has"),
        (["search", "edge:FILLED", "x", "--filter", "{"], "--filter must be JSON, such as "),
        (
            ["search", "edge:FILLED", "x", "--filter", "[]"],
            "a Qdrant filter must be a condition of",
        ),
        (["search", "edge:FILLED", "x", "--filter", '{"a": 1}'], "takes must, should, must_not"),
        (["explain", "edge:FILLED", "x", "nobody"], "has no document 'nobody'"),
        (["explain", "edge:FILLED", "x", "77"], "has no document 77"),
        (["explain", "edge:NOWHERE", "x", "1"], "does not exist"),
        (["evaluate", "edge:FILLED", "--beir", "NOWHERE"], r"cannot read .*queries\.jsonl"),
        (["evaluate", "edge:FILLED", "--beir", "BEIR", "--split", "dev"], r"dev\.tsv: .*No such"),
        (["encode"], "pass either a FILE or --query TEXT"),
        (["encode", "x.jsonl", "--query", "x"], "pass either a FILE or --query TEXT"),
        (["encode", "--query", "x", "--model", "NOWHERE"], "does not exist"),
    ],
)
def test_a_mistake_is_a_sentence_and_exit_code_2(
    run: Run, filled: Path, tmp_path: Path, arguments: list[str], sentence: str
) -> None:
    places = {"FILLED": filled / "shard", "BEIR": filled, "NOWHERE": tmp_path / "nowhere"}
    for name, place in places.items():
        arguments = [argument.replace(name, str(place)) for argument in arguments]
    assert re.search(sentence, refusal(run(*arguments)))
    assert not (tmp_path / "nowhere").exists()


@pytest.mark.parametrize(
    ("arguments", "missing"),
    [
        (["index"], "FILE"),
        (["index", "corpus.jsonl"], "TARGET"),
        (["index", "C:\\corpus.jsonl"], "TARGET"),
        (["index", "edge:articles"], "FILE"),
        (["index", "elasticsearch+https://localhost/articles", "--json"], "FILE"),
        (["search"], "TARGET"),
        (["search", "edge:articles"], "QUERY"),
    ],
)
def test_a_missing_argument_is_the_one_that_is_missing(
    run: Run, arguments: list[str], missing: str
) -> None:
    done = run(*arguments)
    assert (done.code, f"Missing argument '{missing}'." in done.err) == (2, True), done.err


def test_other_settings_are_refused_unless_overridden(
    run: Run, corpus: Path, tmp_path: Path
) -> None:
    assert run("index", corpus, target(tmp_path)).code == 0
    other = ("index", corpus, target(tmp_path), "--prune-top-k", 5)
    sentence = refusal(run(*other))
    assert "prune_top_k: the index has None, you have 5" in sentence
    assert "--override-manifest" in sentence
    assert run(*other, "--override-manifest").code == 0


def test_another_model_is_refused_unless_overridden(run: Run, corpus: Path, tmp_path: Path) -> None:
    model = tmp_path / "another"
    shutil.copytree(BUNDLED, model)
    record = json.loads((model / "splade_connectors.json").read_text())
    record["spec"]["model"] = "another"
    (model / "splade_connectors.json").write_text(json.dumps(record))
    assert run("index", corpus, target(tmp_path), "--model", model).code == 0
    for command in (["search", target(tmp_path), "bread"], ["explain", target(tmp_path), "x", "1"]):
        sentence = refusal(run(*command))
        assert "model: the index has 'another', you have 'splade-tiny'" in sentence
        assert run(*command, "--override-manifest").code == 0
        assert run(*command, "--model", model).code == 0


def test_the_manifest_may_lie_in_a_file(run: Run, corpus: Path, tmp_path: Path) -> None:
    file = tmp_path / "manifest.json"
    assert run("index", corpus, target(tmp_path), "--manifest", file).code == 0
    assert json.loads(file.read_text())["splade"]["model"] == "splade-tiny"
    assert run("search", target(tmp_path), "bread", "--manifest", file).err == ""
    warned = run("search", target(tmp_path), "bread")
    assert "warning: the index has no manifest" in warned.err
    nowhere = tmp_path / "nowhere" / "manifest.json"
    done = run("index", corpus, f"edge:{tmp_path}/other", "--manifest", nowhere)
    assert re.search(r"cannot write .*nowhere.manifest\.json: No such file", refusal(done))


def test_what_an_embedded_store_refuses(run: Run, corpus: Path, tmp_path: Path) -> None:
    (tmp_path / "shard").mkdir()
    (tmp_path / "shard" / "notes.txt").write_text("mine")
    assert "exists but is not a Qdrant shard" in refusal(run("index", corpus, target(tmp_path)))
    assert [entry.name for entry in (tmp_path / "shard").iterdir()] == ["notes.txt"]
    idf = qdrant_edge.EdgeSparseVectorParams(modifier=qdrant_edge.Modifier.Idf)
    config = qdrant_edge.EdgeConfig(vectors=None, sparse_vectors={"splade": idf})
    (tmp_path / "idf").mkdir()
    qdrant_edge.EdgeShard.create(str(tmp_path / "idf"), config).close()
    for command in (
        ["index", corpus, f"edge:{tmp_path}/idf"],
        ["search", f"edge:{tmp_path}/idf", "x"],
    ):
        assert "has the modifier 'idf'" in refusal(run(*command))


def test_a_store_that_is_open_elsewhere_is_named(
    corpus: Path, tmp_path: Path, encoder: SparseEncoder
) -> None:
    with connect(target(tmp_path), encoder=encoder) as store:
        store.index([])
        store.index([Document(id=1, text="bread")])
        for command in (["index", corpus, target(tmp_path)], ["search", target(tmp_path), "x"]):
            done = real(*command)
            assert (done.returncode, done.stdout) == (2, "")
            assert "is open in another process, or in another store" in done.stderr
    assert real("search", target(tmp_path), "bread").returncode == 0


def test_the_demo_touches_no_other_folder(run: Run, tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("mine")
    assert "exists but is not a Qdrant shard" in refusal(run("demo", "--path", tmp_path))
    assert [entry.name for entry in tmp_path.iterdir()] == ["notes.txt"]


# Files as people have them


def test_several_files_with_types_and_names(run: Run, tmp_path: Path) -> None:
    exports = tmp_path / "exports"
    exports.mkdir()
    lines = "key;title;body;price;internal\n1;Bread;<p>Flour &#38 water</p>;9.90;x\n"
    (exports / "a.csv").write_text(lines)
    (exports / "b.csv.gz").write_bytes(gzip.compress(lines.replace("1;Bread", "2;Salt").encode()))
    (exports / "c.csv").write_text("key;title;body;price;internal\n3;Time;bad;cheap;x\n")
    done = run(
        *("index", f"{exports}/*.csv*", target(tmp_path), "--type", "price=float"),
        *("--rename", "body=text", "--id-field", "key", "--exclude", "internal", "--strip-html"),
        *("--dead-letters", tmp_path / "letters.jsonl"),
    )
    assert done.code == 1
    assert "2 documents written" in done.out
    place = f"line 2 of {exports / 'c.csv'} id '3'"
    reason = "the field 'price' is not of type float; --type price=text keeps it as is"
    assert f"{place}: {reason}" in " ".join(done.err.split())
    hits = run("search", target(tmp_path), "water", "--json").json
    assert {hit["id"]: hit["payload"] for hit in hits} == {
        "1": {"title": "Bread", "text": "Flour & water", "price": 9.9},
        "2": {"title": "Salt", "text": "Flour & water", "price": 9.9},
    }


def test_pairs_that_are_none(run: Run, corpus: Path, tmp_path: Path) -> None:
    for option in ("--type", "--rename"):
        for pair in ("price", "=float", "price="):
            sentence = refusal(run("index", corpus, target(tmp_path), option, pair))
            assert f"expected NAME=VALUE, not {pair!r}" in sentence


def test_encoding_files_of_a_folder(run: Run, tmp_path: Path) -> None:
    folder = tmp_path / "rows"
    folder.mkdir()
    jsonl(folder / "a.jsonl", ROWS[:2])
    jsonl(folder / "b.jsonl", [*ROWS[2:], {"_id": 5}])
    done = run("encode", folder)
    assert done.code == 1
    assert [json.loads(line)["id"] for line in done.out.splitlines()] == ["1", "2", "3", 4]
    assert f"warning: {folder}/b.jsonl, line 3: the row has no" in done.err


def test_a_table_of_pandas_with_a_malformed_quote(run: Run, tmp_path: Path) -> None:
    rows = [f"{number},d{number},text number {number}" for number in range(300)]
    rows[250] = '250,d250,"abc"def'
    path = tmp_path / "pd.csv"
    path.write_text("\n".join([",id,text", *rows]))
    done = run("index", path, target(tmp_path), "--json")
    assert (done.code, done.json["written"], done.json["rejected"]) == (1, 299, 1)
    assert done.json["rejections"][0]["line"] == 252
    assert "warning: dropped from" in done.err
    assert "1 column without a name (1)" in done.err
    assert "warning" not in run("index", path, target(tmp_path), "--exclude", "#1").err


def test_an_input_that_ends_a_run_is_to_be_corrected_first(run: Run, tmp_path: Path) -> None:
    path = tmp_path / "x.csv"
    path.write_bytes(b"id,text\n" + b"a,words\n" + b"".join(b"%d,x\n" % n for n in range(3000)))
    with path.open("ab") as file:
        file.write(b"last,\xff\n")
    done = run("index", path, target(tmp_path))
    assert "not valid UTF-8 after line" in done.err
    assert "written so far; correct the cause, then run the same command again" in done.err


def test_letters_that_would_fail_again_are_skipped(run: Run, tmp_path: Path) -> None:
    path, letters = tmp_path / "x.csv", tmp_path / "letters.jsonl"
    path.write_text('id,text\na,bread\nb,"sa"lt\n')
    assert run("index", path, target(tmp_path), "--dead-letters", letters).code == 1
    before = sorted(tmp_path.iterdir())
    again = ("index", "--from-dead-letters", letters, target(tmp_path))
    done = run(*again)
    assert (done.code, done.err) == (0, "")
    assert "0 documents written" in done.out
    assert "  1 skipped: cannot be retried; correct the source and index it again" in done.out
    assert (run(*again, "--json").json["skipped"], sorted(tmp_path.iterdir())) == (1, before)
