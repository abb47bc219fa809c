"""Hybrid searches from the command line: mistakes, dry runs that can be sent, saved tunings.

What decides about a sentence or a body is real: the embedded engine and the servers. Only the dense
model is a stand-in, which makes a vector of random ones for each word; `test_a_real_dense_model` is
the exception.
"""

from __future__ import annotations

import contextlib
import json
import re
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest

from splade_connectors import Document, SparseEncoder, aconnect, connect
from splade_connectors.evaluate import read_beir, read_tuning
from splade_connectors.fusion import DenseLeg, SparseLeg, fuse, parse_fusion
from splade_connectors.fusion.reference import leg_ranking
from splade_connectors.fusion.spec import weights_of
from splade_connectors.fusion.tuning import Against, Tuning
from splade_connectors.options import ConnectOptions
from tests.integration import hybrid_places
from tests.integration.command_line import Done, Run, jsonl, real, refusal

SAMPLE = Path(__file__).parents[2] / "splade_connectors" / "sample"
SIZE = 16
COUNT = 80
QUERY = "why does dough rise"
QDRANT_ODD = '{"must": [{"key": "part", "match": {"value": "odd"}}]}'
ELASTIC_ODD = '{"term": {"part": "odd"}}'

TUNING = Tuning(
    fusion="sum:weights=0.3:0.7,scale=20:1",
    legs=("sparse", "dense"),
    candidates=30,
    max_query_terms=5,
    held_out=0.7,
    against={"sparse": Against(ndcg=0.6, difference=0.1, p=0.01)},
    model="splade-tiny",
    dataset="sample/test",
    queries=50,
    folds=2,
    seed=0,
)
AS_TUNED = ["--fusion", TUNING.fusion, "--candidates", 30, "--max-query-terms", 5]


def word_vector(text: str, size: int = SIZE) -> list[float]:
    """A random vector per word, summed and brought to length 1; zeros for no word."""
    total = np.zeros(size)
    for word in re.findall(r"\w+", text.lower()):
        total += np.random.default_rng(zlib.crc32(word.encode())).normal(size=size)
    found: list[float] = (total / (float(np.linalg.norm(total)) or 1.0)).tolist()
    return found


def rows() -> list[dict[str, Any]]:
    with (SAMPLE / "corpus.jsonl").open(encoding="utf-8") as lines:
        found = [json.loads(line) for line in lines][:COUNT]
    for at, row in enumerate(found):
        text = f"{row['title']} {row['text']}"
        row |= {"dense": word_vector(text), "part": "odd" if at % 2 else "even"}
    return found


def documents() -> Iterator[Document]:
    for row in rows():
        payload = {"title": row["title"], "part": row["part"]}
        yield Document(id=row["_id"], text=row["text"], payload=payload, dense=row["dense"])


@dataclass(frozen=True)
class Place:
    """A target that holds the documents, and filters for it: its own, and of another store."""

    target: str
    odd: str
    foreign: str
    url: str = ""


@contextlib.contextmanager
def _filled(place: Any, foreign: str, url: str = "") -> Iterator[Place]:
    with place as opened:
        report = opened.store.index(documents())
        assert (report.written, report.rejected) == (COUNT, [])
        opened.store.close()  # the command line opens it
        yield Place(opened.target, json.dumps(opened.odd), foreign, url)


@pytest.fixture(scope="module")
def edge(encoder: SparseEncoder, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    folder = tmp_path_factory.mktemp("hybrid") / "shard"
    with _filled(hybrid_places.edge(folder, encoder), ELASTIC_ODD) as place:
        yield place


@pytest.fixture(scope="module")
def elasticsearch(encoder: SparseEncoder, elasticsearch_url: str) -> Iterator[Place]:
    made = hybrid_places.elasticsearch(elasticsearch_url, encoder, name="9.3.2", dimensions=SIZE)
    with _filled(made, QDRANT_ODD, elasticsearch_url) as place:
        yield place


@pytest.fixture(scope="module")
def opensearch(encoder: SparseEncoder, opensearch_url: str) -> Iterator[Place]:
    made = hybrid_places.opensearch(opensearch_url, encoder, name="3.6.0", dimensions=SIZE)
    with _filled(made, QDRANT_ODD, opensearch_url) as place:
        yield place


@pytest.fixture(scope="module")
def old_elasticsearch(encoder: SparseEncoder, rank_features_url: str) -> Iterator[Place]:
    """7.17, without a dense field."""
    with hybrid_places.elasticsearch(rank_features_url, encoder, name="7.17.29") as opened:
        opened.store.index(replace(document, dense=None) for document in documents())
        yield Place(opened.target, ELASTIC_ODD, QDRANT_ODD, rank_features_url)


SERVERS = [
    pytest.param("elasticsearch", marks=pytest.mark.servers),
    pytest.param("opensearch", marks=pytest.mark.servers),
]


@pytest.fixture(params=["edge", *SERVERS])
def place(request: pytest.FixtureRequest) -> Place:
    found: Place = request.getfixturevalue(request.param)
    return found


@pytest.fixture(params=SERVERS)
def server(request: pytest.FixtureRequest) -> Place:
    found: Place = request.getfixturevalue(request.param)
    return found


@pytest.fixture(autouse=True)
def _in_its_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever a command leaves behind is found there."""
    monkeypatch.chdir(tmp_path)


class StandIn:
    """A dense model: of words, of fewer dimensions, broken, or without any word."""

    def __init__(self, kind: str) -> None:
        self._kind = kind

    def encode(self, texts: list[str], batch_size: int, show_progress_bar: bool) -> Any:
        assert not show_progress_bar
        return np.array([self._vector(text) for text in texts])

    def _vector(self, text: str) -> Any:
        match self._kind:
            case "short":
                return np.array(word_vector(text, 7))
            case "broken":
                return np.full(SIZE, np.nan)
            case "wordless":
                return np.zeros(SIZE)
        return np.array(word_vector(text))


@pytest.fixture(autouse=True)
def models(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with folders that look like those of sentence-transformers, by kind."""
    stand_in = lambda folder: StandIn(folder.name)  # noqa: E731
    monkeypatch.setattr("splade_connectors.encoders.dense.load_model", stand_in)
    folder = tmp_path_factory.mktemp("models")
    for kind in ("words", "short", "broken", "wordless"):
        (folder / kind).mkdir()
        (folder / kind / "modules.json").write_text("[]")
    return folder


@pytest.fixture
def dense(models: Path) -> list[object]:
    return ["--dense-model", models / "words"]


@pytest.fixture(scope="module")
def vectors(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Files of query vectors: right, too short, with a NaN."""
    folder = tmp_path_factory.mktemp("vectors")
    queries = read_beir(SAMPLE).queries
    right = np.array([word_vector(text) for text in queries.values()])
    broken = right.copy()
    broken[3, 5] = np.nan
    made = {"right": right, "short": right[:, :7], "broken": broken}
    for name, values in made.items():
        np.savez(folder / f"{name}.npz", ids=np.array(list(queries)), vectors=values)
    return {name: folder / f"{name}.npz" for name in made}


def halves(folder: Path, count: int = 20) -> tuple[Path, Path]:
    """Judged queries, half of which words find and half of which vectors do; and the vectors."""
    found = [row for row in rows() if row["title"]][: count + 1]
    (folder / "qrels").mkdir(parents=True)
    texts, vectors, lines = [], [], []
    for at, row in enumerate(found[:count]):
        by_words = at % 2
        texts.append({"_id": f"q{at}", "text": row["title"] if by_words else f"zzxq {at}"})
        vectors.append((found[at + 1] if by_words else row)["dense"])
        lines.append(f"q{at}\t{row['_id']}\t1\n")
    jsonl(folder / "queries.jsonl", texts)
    (folder / "qrels" / "test.tsv").write_text("".join(lines))
    file = folder / "vectors.npz"
    np.savez(file, ids=np.array([text["_id"] for text in texts]), vectors=np.array(vectors))
    return folder, file


def judged(folder: Path, count: int, *more: str) -> Path:
    """A BEIR folder with the first judged queries of the sample, and more judgements."""
    found = read_beir(SAMPLE)
    (folder / "qrels").mkdir(parents=True)
    (folder / "queries.jsonl").write_bytes((SAMPLE / "queries.jsonl").read_bytes())
    lines = [
        f"{query}\t{document}\t{grade}\n"
        for query in list(found.queries)[:count]
        for document, grade in found.qrels[query].items()
    ]
    (folder / "qrels" / "test.tsv").write_text("".join([*lines, *more]))
    return folder


def kept(target: str) -> Any:
    """The manifest, as it lies there."""
    with connect(target) as store:
        return store.inspect().manifest


# --- mistakes


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (["--fusion", "rrf:weights=-1:2"], r"--fusion rrf:weights=-1:2: .* >= 0"),
        (["--fusion", "rrf:weights=nan:1"], r"weights=nan:1: weights must be finite"),
        (["--fusion", "dbsf:weights=inf:1"], r"weights=inf:1: weights must be finite"),
        (["--fusion", "sum:weights=0:0"], r"at least one weight must be greater than 0"),
        (
            ["--fusion", "rrf:weights=1"],
            r"1 weight for 2 legs: give one per leg, or none; the legs are sparse, dense, in",
        ),
        (["--fusion", "dbsf:weights=1:1:1"], r"3 weights for 2 legs"),
        (["--fusion", "sum:scale=1:2:3"], r"3 scales for 2 legs.*the legs are sparse, dense"),
        (["--fusion", "rrf:k=0"], r"k of Rrf must be greater than 0, not 0\.0"),
        (["--fusion", "rrf:k=-5"], r"k of Rrf must be greater than 0, not -5\.0"),
        (["--fusion", "rrf:k=nan"], r"k of Rrf must be greater than 0, not nan"),
        (["--fusion", "rrf:k=60:30"], r"k=60:30 must be one number"),
        (["--fusion", "rrf:k=many"], r"k=many does not consist of numbers; for example k=60"),
        (["--fusion", "rrf:weights=1;2"], r"weights=1;2 .* for example weights=2:1"),
        (["--fusion", "sum:scale=0:1"], r"a scale must be greater than 0, not 0\.0"),
        (["--fusion", "sum:normalize=l2"], r"normalize must be 'minmax' or 'theoretical-minmax'"),
        (["--fusion", "best"], r"--fusion best: the fusion must be one of rrf, sum, dbsf"),
        (["--fusion", ""], r"the fusion must be one of rrf, sum, dbsf, not ''"),
        (
            ["--candidates", "15", "--offset", "10"],
            r"limit \+ offset is 20, but the sparse leg has a window of 15: .* at least 20 "
            r"\(--candidates\)",
        ),
        (["--limit", "201"], r"limit \+ offset is 201, but .* a window of 200: .*\(--candidates\)"),
        (["--path", "fastest"], r"--path must be auto, server or client, not 'fastest'"),
        (
            ["--path", "server", "--fusion", "sum:normalize=minmax"],
            r"cannot fuse this in one request: normalize='minmax' needs .*--path server\)",
        ),
        (["--dense-field", "nope"], r"has no dense vector 'nope'; it has '' \(un.*--dense-field"),
        (["--dense-model", "short"], r"the query has 7 dimensions, .* has 16"),
        (["--dense-model", "broken"], r"contains NaN or infinity \(nan\): .* that model is broken"),
        (
            ["--text-field", "title"],
            r"'title' of \S+ has no text index; .* attach \S+ --text-index title creates one",
        ),
        (["--filter", ELASTIC_ODD], r"a Qdrant filter takes must, .* not 'term'; for example"),
        (["--filter", '{"must": [{"term": {"part": 1}}]}'], r"not a Qdrant condition: {'term'"),
        (["--filter", "{"], r"--filter must be JSON, such as "),
    ],
    ids=lambda value: " ".join(value)[:40] if isinstance(value, list) else "",
)
def test_a_mistake_in_a_search_is_a_sentence(
    run: Run, edge: Place, models: Path, options: list[str], sentence: str
) -> None:
    before = kept(edge.target)
    given = [models / part if part in ("short", "broken") else part for part in options]
    if "--dense-model" not in options:
        given += ["--dense-model", models / "words"]
    found = refusal(run("search", edge.target, QUERY, *given))
    assert re.search(sentence, found), found
    assert found.count("\n") == 1
    assert kept(edge.target) == before
    assert not list(Path.cwd().iterdir())


@pytest.mark.parametrize("command", ["evaluate", "tune"])
@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (["--dense-vectors", "short"], r"the query has 7 dimensions, .* has 16"),
        (
            ["--dense-vectors", "broken"],
            r"1 of 82 vectors contain NaN or infinity, .* that of 'q\w+'",
        ),
        (["--dense-vectors", "right", "--dense-field", "nope"], r"no dense vector 'nope'"),
        (["--text-field", "nope"], r"attach \S+ --text-index nope creates one"),
        (["--dense-vectors", "right", "--beir", "nowhere"], r"cannot read nowhere/queries\.jsonl"),
    ],
    ids=lambda value: " ".join(value)[:40] if isinstance(value, list) else "",
)
def test_a_mistake_in_measuring_writes_nothing(
    run: Run,
    edge: Place,
    vectors: dict[str, Path],
    command: str,
    options: list[str],
    sentence: str,
) -> None:
    files = ["--run-file", "out.run"]
    if command == "tune":
        files = ["--output", "out.json", "--report", "out.html", "--save"]
    before = kept(edge.target)
    given = [vectors.get(part, part) for part in options]
    done = run(command, edge.target, "--beir", SAMPLE, *given, *files)
    assert re.search(sentence, refusal(done)), done.err
    assert kept(edge.target) == before
    assert not list(Path.cwd().iterdir())


@pytest.mark.parametrize("spec", ["rrf:weights=-1:2", "sum:weights=0:0", "rrf:k=0", "dbsf:k=1"])
def test_a_fusion_that_is_none_is_not_measured(
    run: Run, edge: Place, vectors: dict[str, Path], spec: str
) -> None:
    more = ["--dense-vectors", vectors["right"], "--run-file", "out.run", "--fusion", "rrf"]
    done = run("evaluate", edge.target, "--beir", SAMPLE, *more, "--fusion", spec)
    assert refusal(done).startswith(f"--fusion {spec}: ")
    assert not list(Path.cwd().iterdir())


@pytest.mark.parametrize(
    ("command", "option"),
    [("evaluate", "--run-file"), ("tune", "--output"), ("tune", "--report")],
)
def test_a_file_that_cannot_be_written_is_refused_before_the_work(
    run: Run, vectors: dict[str, Path], tmp_path: Path, command: str, option: str
) -> None:
    line = [command, "edge:absent", "--beir", SAMPLE, "--dense-vectors", vectors["right"], option]
    assert "the folder nowhere does not exist" in refusal(run(*line, "nowhere/out"))
    assert "it is a folder" in refusal(run(*line, tmp_path))


def test_a_foreign_filter_is_refused(run: Run, place: Place, dense: list[object]) -> None:
    for options in ([], dense):
        found = refusal(run("search", place.target, QUERY, "--filter", place.foreign, *options))
        assert "filter" in found
        mine = run("search", place.target, QUERY, "--filter", place.odd, *options, "--json")
        assert {row["payload"]["part"] for row in mine.json} == {"odd"}


def test_a_foreign_condition_inside_a_query_is_told_by_the_server(
    run: Run, server: Place, dense: list[object]
) -> None:
    inside = '{"bool": {"must": [{"key": "part"}]}}'
    found = refusal(run("search", server.target, QUERY, "--filter", inside, *dense))
    assert re.search(r"unknown query \[key\]|\[key\] query malformed", found), found


def test_a_leg_that_is_not_there_is_refused(run: Run, server: Place, dense: list[object]) -> None:
    search = ["search", server.target, QUERY]
    found = refusal(run(*search, *dense, "--dense-field", "nope"))
    assert re.search(r"has no \w+ field 'nope'; it has 'dense': .*--dense-field", found), found
    found = refusal(run(*search, "--text-field", "title", "--text-field", "tittle^2"))
    assert "has no field 'tittle' for a text leg; its text fields are 'text', 'title'" in found
    assert "--text-field" in found
    for known in ("title", "title^2", "t*", "title.keyword"):
        assert run(*search, "--text-field", known).code == 0


def test_a_dense_vector_that_does_not_fit_is_refused(run: Run, server: Place, models: Path) -> None:
    search = ["search", server.target, QUERY, "--dense-model"]
    found = refusal(run(*search, models / "short"))
    assert re.search(r"the query has 7 dimensions, but 'dense' of .* has 16", found), found
    assert "(nan)" in refusal(run(*search, models / "broken"))


@pytest.mark.servers
def test_an_unlicensed_server_is_not_passed_over(
    run: Run, elasticsearch: Place, dense: list[object]
) -> None:
    search = ["search", elasticsearch.target, QUERY, *dense]
    for spec, name in (("rrf", "rrf"), ("sum:weights=1:20", "linear")):
        found = refusal(run(*search, "--path", "server", "--fusion", spec))
        assert f"the {name} retriever needs an Enterprise licence; this cluster is basic" in found
        assert "--path server" in found
        assert run(*search, "--fusion", spec).code == 0


@pytest.mark.servers
def test_a_server_that_is_too_old_is_not_passed_over(run: Run, old_elasticsearch: Place) -> None:
    search = ["search", old_elasticsearch.target, QUERY, "--text-field", "text"]
    found = refusal(run(*search, "--path", "server"))
    assert re.search(r"rrf needs Elasticsearch 8\.16, but the server is 7\.17", found), found
    shown = run(*search, "--dry-run").out
    assert re.search(r"# not taken: a retriever: .* 8\.16, but the server is 7\.17", shown), shown


@pytest.mark.servers
def test_what_opensearch_cannot_fuse_is_refused(
    run: Run, opensearch: Place, dense: list[object]
) -> None:
    search = ["search", opensearch.target, QUERY, *dense, "--path", "server"]
    found = refusal(run(*search, "--fusion", "sum:normalize=minmax"))
    assert "its min_max gives the last hit of a window 0.001 instead of 0" in found
    assert run(*search, "--fusion", "rrf:weights=2:1").code == 0


def test_a_query_without_any_word_finds_nothing_and_says_why(
    run: Run, place: Place, dense: list[object]
) -> None:
    # The stand-in has no word there either, and says so by a vector of zeros.
    line = ["search", place.target, " ", *dense, "--limit", 3]
    nothing = run(*line)
    assert (nothing.code, nothing.out) == (0, "no hits\n")
    assert "warning: the query has no terms, so the sparse leg is omitted" in nothing.err
    assert "its vector is all zeros), so the dense leg is omitted" in nothing.err


def test_an_empty_query_leaves_the_other_legs(
    run: Run, place: Place, dense: list[object], monkeypatch: pytest.MonkeyPatch
) -> None:
    known = np.array(word_vector("dough"))
    monkeypatch.setattr(StandIn, "encode", lambda self, texts, **_: [known for _ in texts])
    line = ["search", place.target, " ", *dense, "--fusion", "rrf:weights=5:1"]
    found = run(*line, "--json", "--limit", 3)
    assert [row["score"] for row in found.json] == pytest.approx([1 / 61, 1 / 62, 1 / 63])
    assert all(row["legs"].keys() == {"dense"} for row in found.json)
    warning = "the query has no terms, so the sparse leg is omitted"
    assert f"warning: {warning}" in found.err
    plan = run(*line, "--dry-run", "--json").json
    assert warning in plan["warnings"]
    weightless = refusal(run(*line[:-1], "rrf:weights=1:0"))
    assert "the only legs with a query have weight 0" in weightless


def test_a_model_that_knows_no_word_leaves_the_sparse_leg(
    run: Run, place: Place, models: Path
) -> None:
    line = ["search", place.target, QUERY, "--dense-model", models / "wordless", "--json"]
    found = run(*line)
    alone = run("search", place.target, QUERY, "--json")
    assert [row["id"] for row in found.json] == [row["id"] for row in alone.json]
    assert "its vector is all zeros), so the dense leg is omitted" in found.err


def test_judgements_of_what_is_not_there_are_counted(
    run: Run, edge: Place, vectors: dict[str, Path], tmp_path: Path
) -> None:
    known = next(iter(read_beir(SAMPLE).queries))
    more = ("nobody\tx\t1\n", "noone\tx\t1\n", f"{known}\tgone\t2\n", f"{known}\tirrelevant\t0\n")
    folder = judged(tmp_path / "few", 5, *more)
    with connect(edge.target) as store:
        here = {str(id) for id in store.known([row["_id"] for row in rows()])}
    missing = {
        document
        for grades in read_beir(folder).qrels.values()
        for document, grade in grades.items()
        if grade and document not in here
    }
    assert "gone" in missing
    for legs in ([], ["--dense-vectors", vectors["right"]]):
        line = ["evaluate", edge.target, "--beir", folder, *legs]
        done = run(*line)
        assert done.code == 0
        assert "warning: 2 judged queries not in queries.jsonl: ignored" in done.err
        assert f"warning: {len(missing)} relevant documents not in the store" in done.err
        found = run(*line, "--json").json
        counts = (found["queries"], found["unknown_queries"], found["missing_documents"])
        assert counts == (5, 2, len(missing))
    only = judged(tmp_path / "unknown", 0, "nobody\tx\t1\n")
    assert "no query in" in refusal(run("evaluate", edge.target, "--beir", only))


# --- dry runs


@dataclass(frozen=True)
class Shown:
    """What `--dry-run` prints, taken apart as a reader would."""

    comments: list[str]
    method: str
    path: str
    body: str


def shown(done: Done) -> Shown:
    assert done.code == 0, done.err
    lines = done.out.splitlines()
    comments = [line for line in lines if line.startswith("# ")]
    method, path = lines[len(comments)].split()
    return Shown(comments, method, path, "\n".join(lines[len(comments) + 1 :]) + "\n")


def sent(place: Place, request: Shown) -> Any:
    """The answer to what was pasted into a client that knows nothing of this package."""
    in_lines = (
        "# newline-delimited: curl -H 'Content-Type: application/x-ndjson' --data-binary @FILE"
    )
    kind = "application/x-ndjson" if in_lines in request.comments else "application/json"
    with httpx.Client(trust_env=False, timeout=60) as client:
        answer = client.request(
            request.method,
            place.url.rstrip("/") + request.path,
            content=request.body,
            headers={"Content-Type": kind},
        )
    assert answer.status_code == 200, answer.text
    return answer.json()


def hits_of(answer: Any) -> list[tuple[str, float]]:
    return [(hit["_id"], hit["_score"]) for hit in answer["hits"]["hits"]]


def assert_found(done: Done, expected: list[tuple[Any, float]]) -> None:
    rows = done.json
    assert [row["score"] for row in rows] == pytest.approx([s for _, s in expected], abs=1e-6)
    assert [row["id"] for row in rows] == [id for id, _ in expected]


FUSIONS = ["rrf", "rrf:weights=2:1", "sum:weights=1:20", "sum:normalize=minmax", "dbsf"]


@pytest.mark.parametrize("spec", FUSIONS)
def test_what_a_dry_run_shows_can_be_sent(
    run: Run, server: Place, dense: list[object], spec: str
) -> None:
    line = ["search", server.target, QUERY, *dense, "--fusion", spec, "--filter", server.odd]
    request = shown(run(*line, "--dry-run"))
    answer = sent(server, request)
    fusion = parse_fusion(spec)
    if "# fused by the server" in request.comments:
        # OpenSearch's weights add up to 1.
        factor = sum(weights_of(fusion, 2)) if getattr(fusion, "weights", None) else 1
        expected: list[tuple[Any, float]] = [(id, s * factor) for id, s in hits_of(answer)]
    else:
        assert [part["status"] for part in answer["responses"]] == [200, 200]
        found = [hits_of(part) for part in answer["responses"]]
        rankings = [
            leg_ranking(name, [id for id, _ in hits], [score for _, score in hits])
            for name, hits in zip(("sparse", "dense"), found, strict=True)
        ]
        expected = [(hit.id, hit.score) for hit in fuse(fusion, rankings)[:10]]
    assert len(expected) == 10
    assert_found(run(*line, "--json"), expected)


@pytest.mark.servers
@pytest.mark.parametrize("options", [[], ["--text-field", "text"]], ids=["sparse", "text"])
@pytest.mark.parametrize("name", ["elasticsearch", "opensearch", "old_elasticsearch"])
def test_what_a_dry_run_of_other_legs_shows_can_be_sent(
    run: Run, request: pytest.FixtureRequest, name: str, options: list[str]
) -> None:
    place: Place = request.getfixturevalue(name)
    line = ["search", place.target, QUERY, "--limit", 5, *options]
    answer = sent(place, shown(run(*line, "--dry-run")))
    if "responses" in answer:
        assert [part["status"] for part in answer["responses"]] == [200, 200]
        assert all(part["hits"]["hits"] for part in answer["responses"])
    else:
        assert_found(run(*line, "--json"), list(hits_of(answer)))


@pytest.mark.parametrize("spec", FUSIONS)
def test_what_a_dry_run_shows_can_be_run_on_the_engine(
    run: Run, edge: Place, dense: list[object], spec: str
) -> None:
    import qdrant_edge

    from splade_qdrant.compile.hybrid import similarity
    from splade_qdrant.documents import ID_KEY
    from splade_qdrant.edge.query import edge_query

    line = ["search", edge.target, QUERY, *dense, "--fusion", spec, "--filter", edge.odd]
    request = shown(run(*line, "--dry-run"))
    assert request.path.startswith("/collections/COLLECTION/points/query")
    body = json.loads(request.body)
    searches = body.get("searches", [body])
    shard = qdrant_edge.EdgeShard.load(edge.target.removeprefix("edge:"))
    try:
        found = [
            [
                ((point.payload or {}).get(ID_KEY, point.id), point.score)
                for point in shard.query(edge_query(search))
            ]
            for search in searches
        ]
    finally:
        shard.close()
    if len(found) == 1:
        expected = sorted(found[0], key=lambda hit: (-hit[1], str(hit[0])))[:10]
    else:
        sparse, near = found
        near = [(id, similarity(score, "Cosine")) for id, score in near]
        rankings = [
            leg_ranking(name, [id for id, _ in hits], [score for _, score in hits])
            for name, hits in (("sparse", sparse), ("dense", near))
        ]
        expected = [(hit.id, hit.score) for hit in fuse(parse_fusion(spec), rankings)[:10]]
    assert_found(run(*line, "--json"), expected)


@pytest.mark.parametrize(
    ("name", "spec", "comments"),
    [
        ("edge", "rrf", ["# prefetch + formula: one query fuses", "# fused by the server"]),
        (
            "edge",
            "sum:normalize=minmax",
            [
                "# batch query, fused by the client: the definition itself",
                "# fused by the client",
                "# not taken: one query with a formula: normalize='minmax' needs",
            ],
        ),
        pytest.param(
            "elasticsearch",
            "rrf",
            [
                "# _msearch, fused by the client: the definition itself",
                "# fused by the client",
                "# not taken: a retriever: the rrf retriever needs an Enterprise licence",
                "# not taken: bool with knn: it can only add raw scores",
            ],
            marks=pytest.mark.servers,
        ),
        pytest.param(
            "opensearch",
            "rrf",
            ["# hybrid query: one request, fused by the server", "# fused by the server"],
            marks=pytest.mark.servers,
        ),
        pytest.param(
            "opensearch",
            "dbsf",
            [
                "# fused by the client",
                "# not taken: a hybrid query: it has no normalization equal to DistributionBased",
                "# not taken: bool with knn:",
            ],
            marks=pytest.mark.servers,
        ),
    ],
)
def test_a_dry_run_says_which_path_and_why(
    run: Run,
    request: pytest.FixtureRequest,
    dense: list[object],
    name: str,
    spec: str,
    comments: list[str],
) -> None:
    place: Place = request.getfixturevalue(name)
    line = ["search", place.target, QUERY, *dense, "--fusion", spec, "--dry-run"]
    found = shown(run(*line)).comments
    exact = "# exact: scores and fusion; the candidates of the dense leg come from an approximate"
    for comment in [*comments, exact]:
        assert any(shown.startswith(comment) for shown in found), (comment, found)
    plan = run(*line, "--json").json
    assert plan["approximate"] == ["dense"]
    assert all(f"# not taken: {reason}" in found for reason in plan["not_taken"])
    asked = shown(run(*line, "--path", "client")).comments
    assert any("fusion by the client was requested" in comment for comment in asked)


@pytest.mark.servers
def test_legs_without_a_graph_are_exact(run: Run, opensearch: Place) -> None:
    line = ["search", opensearch.target, QUERY, "--text-field", "text", "--dry-run"]
    assert "# exact: scores, windows and fusion" in shown(run(*line)).comments
    assert run(*line, "--json").json["approximate"] == []


# --- tunings that are saved


@pytest.fixture
def tuned(place: Place) -> Iterator[Place]:
    """A place that keeps `TUNING`."""
    with connect(place.target) as store:
        store.save_tuning(TUNING)
    yield place
    with connect(place.target) as store:
        store.save_tuning(None)


def test_a_search_without_a_fusion_takes_the_saved_one(
    run: Run, tuned: Place, dense: list[object]
) -> None:
    line = ["search", tuned.target, QUERY, *dense, "--json"]
    found = run(*line)
    assert found.json == run(*line, *AS_TUNED).json
    assert found.err == run(*line, *AS_TUNED).err  # that 5 terms are sent, and nothing else
    plan, given = (run(*line, *more, "--dry-run").json for more in ([], AS_TUNED))
    assert (
        f"fusion from the index's tuning: {TUNING.fusion}, window 30, at most 5 query"
        in plan["reason"]
    )
    assert "tuning" not in given["reason"]
    assert plan["body"] == given["body"]
    assert plan["body"] != run(*line, "--fusion", "rrf", "--dry-run").json["body"]


def test_a_fusion_on_the_line_wins(run: Run, tuned: Place, dense: list[object]) -> None:
    line = ["search", tuned.target, QUERY, *dense, "--json"]
    own = run(*line, "--fusion", "rrf")
    assert [row["score"] for row in own.json] != [row["score"] for row in run(*line).json]
    with connect(tuned.target) as store:
        store.save_tuning(None)
    assert run(*line).json == own.json


def test_windows_and_terms_on_the_line_win(run: Run, tuned: Place, dense: list[object]) -> None:
    line = ["search", tuned.target, QUERY, *dense, "--json"]
    spec = ["--fusion", TUNING.fusion]
    mine = ["--candidates", 50, "--max-query-terms", 7]
    assert run(*line, *mine).json == run(*line, *spec, *mine).json
    found = refusal(run(*line, "--limit", 31))
    assert "the sparse leg has a window of 30" in found
    assert "fusion from the index's tuning" in found
    assert run(*line, "--limit", 31, "--candidates", 31).code == 0


def test_a_tuning_of_other_legs_is_not_used_in_silence(
    run: Run, edge: Place, dense: list[object], tmp_path: Path
) -> None:
    other = replace(TUNING, legs=("sparse", "text"))
    with connect(edge.target) as store:
        store.save_tuning(other)
    try:
        line = ["search", edge.target, QUERY, *dense, "--json"]
        found, given = run(*line), run(*line, "--fusion", "rrf")
        assert found.json == given.json
        sentence = (
            "the index's tuning is for the legs sparse, text, not for sparse, dense: rrf:k=60 "
            "instead"
        )
        assert found.err == f"warning: {sentence}\n"
        assert given.err == ""
        assert run(*line, "--dry-run").json["warnings"] == [sentence]
        few = judged(tmp_path / "few", 5)
        measured = run("evaluate", edge.target, "--beir", few, *dense, "--json")
        assert "not for sparse, dense; it is not compared" in measured.err
        assert [row["name"] for row in measured.json["rows"]][2:] == ["rrf:k=60"]
    finally:
        with connect(edge.target) as store:
            store.save_tuning(None)


def test_a_plain_search_knows_no_tuning(run: Run, tuned: Place) -> None:
    line = ["search", tuned.target, QUERY, "--json"]
    found = run(*line)
    assert found.err == ""
    with connect(tuned.target) as store:
        store.save_tuning(None)
    assert run(*line).json == found.json


async def test_awaiting_stores_take_the_saved_fusion_too(
    tuned: Place, encoder: SparseEncoder
) -> None:
    legs = [SparseLeg(), DenseLeg(vector=word_vector)]
    with connect(tuned.target, encoder=encoder) as blocking:
        assert blocking.tuning() == TUNING
        expected = blocking.search(QUERY, legs=legs)
    async with await aconnect(tuned.target, encoder=encoder) as store:
        assert await store.tuning() == TUNING
        found = await store.search(QUERY, legs=legs)
        assert [(hit.id, hit.score) for hit in found] == [(hit.id, hit.score) for hit in expected]
        assert found.plan == expected.plan
        await store.save_tuning(replace(TUNING, candidates=40))
        assert "window 40" in (await store.plan(QUERY, legs=legs)).reason
        await store.save_tuning(None)
        assert "tuning" not in (await store.plan(QUERY, legs=legs)).reason
    assert kept(tuned.target).tuning is None


def test_indexing_and_attaching_again_keep_the_tuning(
    run: Run, tuned: Place, tmp_path: Path
) -> None:
    before = kept(tuned.target)
    some = [{key: row[key] for key in ("_id", "title", "text", "part")} for row in rows()[:3]]
    for row, whole in zip(some, rows(), strict=False):
        row["dense"] = whole["dense"]
    corpus = jsonl(tmp_path / "some.jsonl", some)
    line = ["index", corpus, tuned.target, "--text", "text", "--dense-field", "dense"]
    assert run(*line).code == 0
    assert kept(tuned.target) == before
    attached = run("attach", tuned.target, "--text", "text")
    assert attached.code == 0, attached.err
    assert kept(tuned.target) == before
    assert before.tuning == TUNING.to_json()


def test_tuning_saves_and_forgets(
    run: Run, place: Place, dense: list[object], tmp_path: Path
) -> None:
    before = kept(place.target)
    few, queries = halves(tmp_path / "few")
    line = ["tune", place.target, "--beir", few, "--dense-vectors", queries]
    done = run(*line, "--save", "--output", "out.json")
    assert done.code == 0, done.err
    assert (
        "Saved: searches with the legs sparse, dense use it unless they name a fusion." in done.out
    )
    tuning = read_tuning(Path("out.json"))
    assert kept(place.target) == replace(before, tuning=tuning.to_json())
    assert tuning.fusion in " ".join(run("inspect", place.target).out.split())
    search = ["search", place.target, QUERY, *dense, "--json"]
    terms = tuning.max_query_terms
    explicit = ["--fusion", tuning.fusion, "--candidates", tuning.candidates]
    explicit += ["--max-query-terms", terms] if terms else []
    assert run(*search).json == run(*search, *explicit).json
    assert tuning.summary() in run(*search, "--dry-run").json["reason"]

    forgotten = run("tune", place.target, "--forget")
    assert (forgotten.code, forgotten.out) == (0, f"Removed the saved tuning: {tuning.fusion}\n")
    assert kept(place.target) == before
    assert run(*search).json == run(*search, "--fusion", "rrf").json
    assert run("tune", place.target, "--forget").out == "The index has no saved tuning.\n"
    assert run("tune", place.target, "--forget", "--json").json == {"removed": None}


def test_what_is_not_better_than_a_leg_is_neither_recommended_nor_saved(
    run: Run, edge: Place, vectors: dict[str, Path], tmp_path: Path
) -> None:
    before = kept(edge.target)
    few = judged(tmp_path / "few", 20)
    line = ["tune", edge.target, "--beir", few, "--dense-vectors", vectors["right"], "--save"]
    done = run(*line, "--output", "out.json", "--report", "out.html")
    assert done.code == 0, done.err
    assert "no tuned fusion beats sparse alone on held-out queries" in done.err
    assert "Use it" not in done.out
    assert "Saved" not in done.out
    assert not Path("out.json").exists()
    assert "Best, but not recommended" in Path("out.html").read_text()
    assert kept(edge.target) == before
    found = run(*line, "--json").json
    assert (found["recommended"], found["saved"]) == (False, False)


def test_figures_of_queries_that_were_tuned_on_are_marked(
    run: Run, edge: Place, tmp_path: Path
) -> None:
    few, queries = halves(tmp_path / "few")
    line = [edge.target, "--beir", few, "--dense-vectors", queries]
    assert run("tune", *line, "--save", "--output", "out.json").code == 0
    fusion = read_tuning(Path("out.json")).fusion
    try:
        for more in ([], ["--fusion", fusion, "--fusion", "rrf"]):
            rows = run("evaluate", *line, *more, "--json").json["rows"]
            marked = [row["name"] for row in rows if row["tuned_on_these_queries"]]
            assert len(marked) == 1
            assert fusion in marked[0]
        assert "tuned on these queries" in " ".join(run("evaluate", *line).out.split())
        other, vectors = halves(tmp_path / "other", 22)
        line = [edge.target, "--beir", other, "--dense-vectors", vectors]
        rows = run("evaluate", *line, "--json").json["rows"]
        assert not any(row["tuned_on_these_queries"] for row in rows)
    finally:
        run("tune", edge.target, "--forget")


def test_a_tuning_beside_a_manifest_in_a_file(
    run: Run, encoder: SparseEncoder, dense: list[object], tmp_path: Path
) -> None:
    """For servers that have no room for it."""
    target, file = f"edge:{tmp_path / 'shard'}", tmp_path / "manifest.json"
    options = ConnectOptions(manifest_file=str(file))
    with connect(target, encoder=encoder, options=options) as store:
        store.index(documents())
        store.save_tuning(TUNING)
    line = ["search", target, QUERY, *dense, "--json", "--dry-run"]
    assert TUNING.summary() in run(*line, "--manifest", file).json["reason"]
    without = run(*line).json
    assert "tuning" not in without["reason"]
    assert without["warnings"] == [
        "the index has no manifest, so it is unknown which model wrote it"
    ]
    forgotten = run("tune", target, "--forget", "--manifest", file)
    assert forgotten.out == f"Removed the saved tuning: {TUNING.fusion}\n"
    assert "tuning" not in file.read_text()
    assert "tuning" not in run(*line, "--manifest", file).json["reason"]


def test_forgetting_goes_with_nothing_that_tunes(run: Run, edge: Place) -> None:
    for more in (["--save"], ["--output", "out.json"], ["--report", "out.html"]):
        assert "--forget only removes" in refusal(run("tune", edge.target, "--forget", *more))


def test_what_cannot_be_saved_is_refused_before_the_work(
    run: Run, encoder: SparseEncoder, vectors: dict[str, Path], tmp_path: Path
) -> None:
    target = f"edge:{tmp_path / 'shard'}"
    with connect(target, encoder=encoder) as store:
        store.index(documents())
    (tmp_path / "shard" / "splade_connectors.json").unlink()  # as another tool would leave it
    line = ["tune", target, "--beir", SAMPLE, "--dense-vectors", vectors["right"], "--save"]
    found = refusal(run(*line, "--output", "out.json"))
    assert "has no manifest to store a tuning in; write it to a file instead" in found
    assert "tune --output FILE" in found
    assert not Path("out.json").exists()


# --- how many queries, and the report


def test_fewer_than_20_judged_queries_are_refused(
    run: Run, edge: Place, vectors: dict[str, Path], tmp_path: Path
) -> None:
    few = judged(tmp_path / "few", 19)
    line = ["tune", edge.target, "--beir", few, "--dense-vectors", vectors["right"]]
    found = refusal(run(*line, "--save", "--output", "out.json", "--report", "out.html"))
    assert "tuning needs at least 20 judged queries, but there are only 19" in found
    assert kept(edge.target).tuning is None
    assert not list(tmp_path.glob("out.*"))


class Loads(HTMLParser):
    """What a page would fetch: attributes that name something else, and elements that run."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []
        self.tags: set[str] = set()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        loading = {"src", "srcset", "href", "xlink:href", "data", "poster", "action", "background"}
        self.found += [f"{tag} {name}={value}" for name, value in attrs if name in loading]
        self.found += [tag] if tag in {"script", "link", "iframe", "object", "embed", "img"} else []


@pytest.mark.parametrize(("count", "warned"), [(49, True), (50, False)])
def test_a_report_opens_offline_and_says_when_queries_are_few(
    run: Run,
    edge: Place,
    vectors: dict[str, Path],
    tmp_path: Path,
    count: int,
    warned: bool,
) -> None:
    folder = judged(tmp_path / "queries", count)
    line = ["tune", edge.target, "--beir", folder, "--dense-vectors", vectors["right"]]
    done = run(*line, "--report", "out.html", "--json")
    assert done.code == 0, done.err
    page = Path("out.html").read_text(encoding="utf-8")
    sentence = f"only {count} judged queries"
    assert (sentence in done.err, sentence in page) == (warned, warned)
    loads = Loads()
    loads.feed(page)
    assert loads.found == []
    assert {"table", "svg", "style"} <= loads.tags
    # The name of SVG's elements, which nothing fetches.
    rest = page.replace('xmlns="http://www.w3.org/2000/svg"', "")
    assert not re.search(r"https?:|url\(|@import|//\w", rest)
    assert done.json["fusion"] in page


@pytest.mark.models
def test_a_real_dense_model(edge: Place, tmp_path: Path) -> None:
    """Made of random vectors, saved and loaded as sentence-transformers does it."""
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.sentence_transformer.modules import StaticEmbedding
    from tokenizers import Tokenizer

    bundled = SAMPLE.parent / "models" / "splade-tiny" / "tokenizer.json"
    tokenizer = Tokenizer.from_file(str(bundled))
    words = tokenizer.get_vocab_size()
    for name, size, fill in (("right", SIZE, None), ("short", 7, None), ("nan", SIZE, np.nan)):
        weights = np.random.default_rng(3).normal(size=(words, size)).astype(np.float32)
        if fill is not None:
            weights[:] = fill
        model = StaticEmbedding(tokenizer, embedding_weights=weights)
        made = SentenceTransformer(modules=[model], device="cpu")
        made.save(str(tmp_path / name), create_model_card=False)
    line = ["search", edge.target, QUERY, "--json", "--dense-model"]
    found = real(*line, tmp_path / "right")
    assert (found.returncode, found.stderr) == (0, "")
    assert {leg for row in json.loads(found.stdout) for leg in row["legs"]} == {"sparse", "dense"}
    for name, sentence in (("short", "has 7 dimensions"), ("nan", "NaN or infinity (nan)")):
        refused = real(*line, tmp_path / name)
        assert (refused.returncode, refused.stdout) == (2, "")
        assert sentence in refused.stderr
