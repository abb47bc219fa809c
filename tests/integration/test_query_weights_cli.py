"""`make-query-weights` over files and targets; searching with what it makes."""

from __future__ import annotations

import json
import uuid
from pathlib import Path

import httpx
import pytest

from splade_connectors import WriteOptions, connect, load_encoder
from splade_connectors.files.readers import FileReader
from tests.integration.command_line import Run

SAMPLE = Path(__file__).parents[2] / "splade_connectors" / "sample"
CORPUS = SAMPLE / "corpus.jsonl"
QUERY = "why does dough rise"


@pytest.fixture(scope="module")
def target(tmp_path_factory: pytest.TempPathFactory) -> str:
    made = f"edge:{tmp_path_factory.mktemp('index') / 'sample'}"
    with connect(made) as store, FileReader(CORPUS) as reader:
        store.index(reader, options=WriteOptions(text_fields=reader.text_fields))
    return made


def test_a_file_gives_a_folder_that_searches(run: Run, target: str, tmp_path: Path) -> None:
    folder = tmp_path / "made"
    done = run("make-query-weights", "splade-tiny", "--from", CORPUS, "-o", folder)
    assert done.code == 0, done.err
    text = " ".join(done.out.split())
    assert "query weights for splade-tiny inverse document frequencies of 336 texts" in text
    assert "quality loss not measured: pass --beir FOLDER to measure it" in done.out
    own = run("search", target, QUERY, "--json").json
    free = run("search", target, QUERY, "--json", "--model", folder)
    assert free.code == 0, free.err
    assert free.json[0]["id"] == own[0]["id"]
    assert free.json[0]["score"] != own[0]["score"]
    explained = run("explain", target, QUERY, free.json[0]["id"], "--json", "--model", folder).json
    assert explained["score"] == pytest.approx(free.json[0]["score"], rel=1e-3)
    assert all(term["in_query"] for term in explained["terms"])


def test_documents_are_refused_before_anything_is_written(
    run: Run, target: str, tmp_path: Path
) -> None:
    folder = tmp_path / "made"
    assert run("make-query-weights", "splade-tiny", "--from", CORPUS, "-o", folder).code == 0
    new = f"edge:{tmp_path / 'new'}"
    for command in (
        ("index", CORPUS, target),
        ("index", CORPUS, new),
        ("attach", target, "--text", "text"),
        ("verify", target),
        ("encode", CORPUS),
    ):
        refused = run(*command, "--model", folder)
        assert refused.code == 2, command
        assert "holds weights for queries only: to encode documents, load the model" in refused.err
    assert not (tmp_path / "new").exists()


def test_a_target_gives_the_same_weights_and_its_own_loss(
    run: Run, target: str, tmp_path: Path
) -> None:
    of_file, of_target = tmp_path / "file", tmp_path / "target"
    judged = ("--beir", SAMPLE, "--json")
    one = run("make-query-weights", "splade-tiny", "--from", CORPUS, "-o", of_file, *judged).json
    done = run("make-query-weights", "splade-tiny", "--from", target, "-o", of_target, *judged)
    assert done.code == 0, done.err
    other = done.json
    weights = [json.loads((at / "idf.json").read_text("utf-8")) for at in (of_file, of_target)]
    assert weights[0] == weights[1]
    assert one["loss"]["own"] == pytest.approx(other["loss"]["own"], abs=2e-3)
    assert one["loss"]["made"] == pytest.approx(other["loss"]["made"], abs=2e-3)
    assert other["loss"]["dataset"] == "sample/test"
    kept = json.loads((of_target / "query_weights.json").read_text("utf-8"))
    assert kept | {"folder": str(of_target)} == other


def test_the_loss_is_printed(run: Run, target: str, tmp_path: Path) -> None:
    options = ("--learn", "--sample", "30", "--beir", SAMPLE)
    done = run(
        "make-query-weights", "splade-tiny", "--from", target, "-o", tmp_path / "x", *options
    )
    assert done.code == 0, done.err
    text = " ".join(done.out.split())
    assert "fitted to the model's own query results, starting from inverse document" in text
    assert "of 336 texts nDCG@10 on sample/test (" in text
    assert "with the model's own queries 0." in text
    assert "two-sided paired randomization test" in text


def test_mistakes(run: Run, target: str, tmp_path: Path) -> None:
    for arguments, sentence in (
        (("--from", CORPUS, "--queries", CORPUS), "--queries needs --learn"),
        (("--from", tmp_path / "no.jsonl"), "no.jsonl"),
        (("--from", f"edge:{tmp_path / 'no'}"), "does not exist"),
        (("--from", CORPUS, "--beir", tmp_path), "cannot read"),
        (("--from", CORPUS, "--learn", "--sample", "0"), "--sample"),
    ):
        done = run("make-query-weights", "splade-tiny", "-o", tmp_path / "made", *arguments)
        assert done.code == 2, done.out
        assert sentence in done.err
        assert not (tmp_path / "made").exists()
    for name in ("queries.jsonl", "qrels/test.tsv"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes((SAMPLE / name).read_bytes())
    done = run(
        "make-query-weights", "splade-tiny", "--from", CORPUS, "-o", tmp_path / "made",
        "--beir", tmp_path,
    )  # fmt: skip
    assert (done.code, "has no corpus.jsonl, which --beir needs" in done.err) == (2, True)
    (tmp_path / "made").mkdir()
    (tmp_path / "made" / "file").touch()
    done = run("make-query-weights", "splade-tiny", "--from", CORPUS, "-o", tmp_path / "made")
    assert (done.code, "already exists" in done.err) == (2, True)


@pytest.mark.servers
@pytest.mark.parametrize(
    ("server", "scheme", "kind"),
    [
        ("elasticsearch_url", "elasticsearch", "sparse_vector"),
        ("rank_features_url", "elasticsearch", "rank_features"),
        ("opensearch_url", "opensearch", "rank_features"),
    ],
    ids=["9.3.2", "7.17.29", "opensearch"],
)
def test_weights_over_a_server(
    run: Run, request: pytest.FixtureRequest, tmp_path: Path, server: str, scheme: str, kind: str
) -> None:
    url = request.getfixturevalue(server)
    name = f"free-{uuid.uuid4().hex[:12]}"
    target = f"{scheme}://{url.partition('://')[2]}/{name}?kind={kind}"
    rows = [json.loads(line) for line in CORPUS.read_text("utf-8").splitlines()[:40]]
    corpus, folder = tmp_path / "corpus.jsonl", tmp_path / "made"
    corpus.write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")
    try:
        assert run("index", corpus, target).code == 0
        done = run("make-query-weights", "splade-tiny", "--from", target, "-o", folder, "--json")
        assert (done.code, done.json["texts"]) == (0, 40), done.err
        queries = load_encoder(folder)
        with connect(target, encoder=queries) as store:
            hits = store.search(QUERY, limit=5)
            (query,) = queries.encode_queries([QUERY])
            for hit in hits:
                (stored,) = store.get([hit.id], with_vectors=True)
                assert stored.vector
                assert hit.score == pytest.approx(query.dot(stored.vector), rel=5e-3)
        assert len(hits) == 5
    finally:
        httpx.delete(f"{url}/{name}")
