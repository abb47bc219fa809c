"""`attach`, `verify` and `detach` on the command line: what they print, exit codes, bad input."""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from qdrant_client import models

from tests.fronts import QdrantRestFront
from tests.integration.command_line import Done, Run, refusal
from tests.integration.elasticsearch_server import BOTH_KINDS, Server, server_of

COUNT = 6
WITHOUT_TEXT = 99


@pytest.fixture(autouse=True)
def _in_its_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Dead letters go to the folder in which a command runs."""
    monkeypatch.chdir(tmp_path)


def one_line(text: str) -> str:
    """Without the breaks at 100 columns."""
    return " ".join(text.split())


def sentence(done: Done) -> str:
    """The one sentence of a command that was refused."""
    text = refusal(done)
    assert text.count("\n") == 1
    return text.strip()


class Collection:
    """A Qdrant collection of its owner, behind a front."""

    def __init__(self, front: QdrantRestFront) -> None:
        self.front = front
        self.client = front.engine.client
        self.target = f"qdrant://{front.host}/articles"
        dense = models.VectorParams(size=2, distance=models.Distance.DOT)
        self.client.create_collection("articles", {"dense": dense})
        payloads: dict[int, dict[str, Any]] = {
            id: {"title": f"The tide number {id}", "author": {"bio": "likes bread"}}
            for id in range(1, COUNT)
        } | {WITHOUT_TEXT: {"year": 2024}}
        points = [
            models.PointStruct(id=id, vector={"dense": [0.25, 2.0]}, payload=payload)
            for id, payload in payloads.items()
        ]
        self.client.upsert("articles", points)

    def change(self, id: int, title: str) -> None:
        self.client.set_payload("articles", {"title": title}, [id])

    def writes(self) -> int:
        """Requests that may have changed something."""
        reads = ("/scroll", "/count", "/query", "/points")
        return sum(
            request.method != "GET"
            and not request.path.split("?")[0].endswith(reads)
            and request.body != {"points": []}
            for request in self.front.requests
        )


@pytest.fixture
def front() -> Iterator[QdrantRestFront]:
    with QdrantRestFront() as found:
        yield found


@pytest.fixture
def collection(front: QdrantRestFront) -> Collection:
    return Collection(front)


@pytest.fixture
def older() -> Iterator[Collection]:
    """On a server that cannot add a vector to what exists."""
    with QdrantRestFront(version="1.17.0") as front:
        yield Collection(front)


def test_a_dry_run_shows_the_plan_and_writes_nothing(run: Run, collection: Collection) -> None:
    command = ("attach", collection.target, "--text", "title", "--dry-run")
    shown = run(*command)
    assert (shown.code, shown.err) == (0, "")
    rows = dict(line.split("  ", 1) for line in shown.out.splitlines() if "  " in line)
    assert {name: value.strip() for name, value in rows.items()}["fields with text"] == (
        "title, author.bio"
    )
    assert "would add: the collection gets the sparse vector 'splade'" in shown.out
    assert shown.out.endswith("No blockers. Nothing was written.\n")
    plan = run(*command, "--json").json
    assert (plan["documents"], plan["to_do"], plan["refusals"]) == (COUNT, COUNT, [])
    assert plan["without_text_percent"] == pytest.approx(100 / COUNT, abs=0.1)
    assert plan["estimated_seconds"] >= 0
    assert collection.writes() == 0


def test_a_dry_run_that_is_refused_ends_with_2(run: Run, collection: Collection) -> None:
    done = run("attach", collection.target, "--text", "body", "--dry-run")
    assert (done.code, done.err) == (2, "")
    assert "blocker: no document has text in 'body'; fields with text are: title" in done.out
    assert "No blockers" not in done.out


def test_attached_verified_and_detached(run: Run, collection: Collection) -> None:
    done = run("attach", collection.target, "--text", "title")
    assert (done.code, done.err) == (0, "")
    assert done.out.startswith(f"attached vectors to {COUNT} documents in ")
    assert "1 without text: marked" in done.out
    assert f"Next: splade-connectors search {collection.target}" in done.out
    assert run("verify", collection.target).out == (
        f"{COUNT} documents, 0 without a vector; {COUNT} compared with their text, 0 different\n"
    )
    asked = run("detach", collection.target)
    assert asked.code == 2
    assert asked.err.endswith(
        "error: nothing was removed: there is no terminal to confirm on; pass --yes\n"
    )
    planned = run("detach", collection.target, "--dry-run")
    assert planned.code == 0
    assert planned.err.startswith(
        f"would remove: the vectors 'splade' of {COUNT} documents\n"
        "would remove: the sparse vector 'splade'\n"
    )
    assert run("verify", collection.target).code == 0
    gone = run("detach", collection.target, "--yes")
    assert (gone.code, gone.out) == (0, f"removed 'splade' from {COUNT} documents\n")
    assert "there is nothing to detach" in sentence(run("detach", collection.target, "--yes"))
    for command, *words in (["verify"], ["search", "x"], ["explain", "x", "1"]):
        line = f"`splade-connectors attach {shlex.quote(collection.target)} --text FIELD` adds them"
        assert sentence(run(command, collection.target, *words)).endswith(line)


def test_json_is_one_document_on_stdout(run: Run, collection: Collection) -> None:
    report = run("attach", collection.target, "--text", "title", "--json")
    assert report.err == ""
    assert (report.json["attached"], report.json["empty"], report.json["rejected"]) == (COUNT, 1, 0)
    assert report.json["verification"]["complete"] is True
    looked = run("verify", collection.target, "--all", "--json").json
    assert (looked["compared"], looked["different"], looked["complete"]) == (COUNT, 0, True)
    planned = run("detach", collection.target, "--dry-run", "--json").json
    assert (planned["documents"], planned["cleared"], planned["done"]) == (COUNT, 0, False)
    done = run("detach", collection.target, "--yes", "--json")
    assert done.err == ""
    assert (done.json["cleared"], done.json["done"]) == (COUNT, True)


def test_lines_of_the_log_are_json(run: Run, collection: Collection) -> None:
    done = run("attach", collection.target, "--text", "title", "--log-json")
    lines = [json.loads(line) for line in done.err.splitlines()]
    assert {line["event"] for line in lines} == {"progress", "report"}
    assert all(line["time"] for line in lines)
    assert (lines[0]["done"], lines[0]["total"]) == (0, COUNT)
    assert (lines[-1]["event"], lines[-1]["attached"]) == ("report", COUNT)


@pytest.mark.parametrize("mark", [True, False])
def test_edited_texts_are_found_and_the_remedy_works(
    run: Run, collection: Collection, mark: bool
) -> None:
    more = ["--mark"] if mark else []
    run("attach", collection.target, "--text", "title", *more)
    collection.change(1, "a cat")
    looked = run("verify", collection.target, "--all")
    assert looked.code == 1
    assert looked.out.endswith("1 different\n  different: 1\n")
    remedy = f"splade-connectors attach {collection.target} --recheck"
    assert looked.err == f"to fix it: {remedy}\n"
    # Without a mark the last look of a plain run finds it, and says the same.
    plain = run("attach", collection.target)
    assert plain.code == (0 if mark else 1)
    assert plain.err == ("" if mark else f"to fix it: {remedy}\n")
    mended = run(*remedy.split()[1:], "--json")
    assert (mended.code, mended.json["attached"]) == (0, 0 if mark else 1)
    assert run("verify", collection.target, "--all").code == 0


def test_parts_together_are_all(run: Run, collection: Collection) -> None:
    command = ("attach", collection.target, "--text", "title", "--json", "--part")
    parts = [run(*command, f"{number}/3").json for number in range(3)]
    assert sum(part["attached"] for part in parts) == COUNT
    assert {part["verification"] for part in parts} == {None}
    assert run("verify", collection.target).code == 0


@pytest.mark.parametrize(
    ("part", "said"),
    [
        ("x", "--part must be I/N, such as 0/4, not 'x'"),
        ("-1/4", "--part must be I/N, such as 0/4, not '-1/4'"),
        ("4/4", "part must be between 0/4 and 3/4, not 4/4"),
        ("0/0", "the number of parts must be at least 1, not 0"),
    ],
)
def test_a_part_that_is_none(run: Run, collection: Collection, part: str, said: str) -> None:
    assert sentence(run("attach", collection.target, "--text", "title", "--part", part)) == said


def test_another_setting_is_refused_and_replaced_on_demand(
    run: Run, collection: Collection
) -> None:
    run("attach", collection.target, "--text", "title")
    command = ("attach", collection.target, "--prune-top-k", "5")
    said = sentence(run(*command))
    assert "prune_top_k: the index has None, you have 5" in said
    assert "--replace-model re-encodes everything under a second name" in said
    done = run(*command, "--replace-model")
    assert done.code == 0
    assert "searches now use the new vectors" in done.out
    assert run("detach", collection.target, "--former", "--yes").out == (
        f"removed 'splade' from {COUNT} documents\n"
    )
    assert "no model was replaced" in sentence(
        run("detach", collection.target, "--former", "--yes")
    )


def test_lengths_of_the_index_go_on(run: Run, collection: Collection) -> None:
    long = " ".join(["bread", "oven", "tide", "moon", "heart"] * 30)
    collection.change(1, long)
    cut = ("--max-length", "64", "--long-text", "passages", "--passage-overlap", "0")
    assert run("attach", collection.target, "--text", "title", *cut).code == 0
    checked = run("verify", collection.target, "--all", "--recheck", "--json")
    assert (checked.code, checked.json["different"], checked.json["compared"]) == (0, 0, COUNT)
    collection.change(2, f"{long} again")
    again = run("attach", collection.target, "--recheck", "--json")
    assert (again.json["attached"], again.json["unchanged"]) == (1, COUNT - 1)
    assert run("verify", collection.target, "--all", "--recheck").code == 0
    other = sentence(run("attach", collection.target, "--max-length", "128"))
    assert "max_length: the index has 64, you have 128" in other
    assert "omit yours to use those of the index" in other
    other = sentence(run("attach", collection.target, "--passage-overlap", "16"))
    assert "passage_overlap: the index has 0, you have 16" in other
    mixed = ("--max-length", "128", "--override-manifest", "--recheck", "--json")
    assert run("attach", collection.target, *mixed).json["attached"] == 2
    assert "2 different" in run("verify", collection.target, "--all", "--recheck").out


def test_an_older_server_gets_a_copy_and_an_alias(run: Run, older: Collection) -> None:
    command = ("attach", older.target, "--text", "title")
    assert (
        "1.18 and later can): upgrade, or copy it with all its points: --copy-to NEW"
        in sentence(run(*command))
    )
    copied = (*command, "--copy-to", "articles-2")
    planned = run(*copied, "--switch-alias", "live", "--dry-run")
    assert planned.code == 0
    assert "articles-2: a copy of all points, with the same settings" in planned.out
    assert "the alias 'live', pointing to the copy at the end" in planned.out
    assert older.writes() == 0
    done = run(*copied, "--switch-alias", "live")
    assert done.code == 0
    assert f"articles-2: {COUNT} points, equal to the original" in done.out
    assert "the alias 'live' now points to the copy" in done.out
    assert run("verify", older.target.replace("articles", "live")).code == 0
    again = run(*copied, "--switch-alias", "live", "--json").json
    assert (again["copy"]["written"], again["attached"], again["alias"]) == (0, 0, "live")


def test_an_alias_that_cannot_be_is_found_before_anything_is_copied(
    run: Run, older: Collection
) -> None:
    command = ("attach", older.target, "--text", "title", "--copy-to", "articles-2")
    said = sentence(run(*command, "--switch-alias", "articles"))
    assert "'articles' is a collection, so it cannot become an alias" in said
    assert not older.client.collection_exists("articles-2")
    assert sentence(run("attach", older.target, "--switch-alias", "live")) == (
        "switch_alias (--switch-alias) requires copy_to (--copy-to)"
    )


def test_dead_letters_of_attach_are_for_attach(
    run: Run, collection: Collection, tmp_path: Path
) -> None:
    limits = {"enabled": True, "sparse_config": {"splade": {"max_length": 3}}}
    strict = models.StrictModeConfigOutput.model_validate(limits)
    collection.front.engine.strict_mode = strict
    letters = tmp_path / "letters.jsonl"
    command = ("attach", collection.target, "--text", "title", "--dead-letters", letters)
    done = run(*command, "--no-bodies")
    assert done.code == 1
    assert one_line(done.err).startswith(f"{COUNT - 1} rejected: - id 1: its vector has ")
    assert done.err.endswith(f"see {letters}\n")
    assert "to fix it" not in done.err
    kept = [json.loads(line) for line in letters.read_text().splitlines()]
    assert [letter["id"] for letter in kept] == list(range(1, COUNT))
    assert all("--prune-top-k 3" in letter["reason"] for letter in kept)
    assert "tide" not in letters.read_text()
    collection.front.engine.strict_mode = None
    # Their documents were never out of the store: writing them whole would lose the rest of them.
    said = sentence(run("index", "--from-dead-letters", letters, collection.target))
    assert said.endswith("so its documents are in the store; run `attach` again to retry them")
    assert run("attach", collection.target, "--json").json["attached"] == COUNT - 1


@pytest.mark.parametrize(
    ("suffix", "options", "said"),
    [
        ("x", ["--text", "title"], "articlesx does not exist; did you mean 'articles'?"),
        ("", ["--text", "body"], "no document has text in 'body'; fields with text are: title, au"),
        ("", [], "has no manifest that names its text fields; name them with --text FIELD"),
        ("", ["--text", "title", "--text", "title"], "'title' (--text) is repeated"),
        (
            "",
            ["--text", ""],
            "a text field (--text) must be a name, such as title or author.bio, not",
        ),
        ("?vector=dense", ["--text", "title"], "has a dense vector named 'dense'; choose another"),
        ("", ["--text", "title", "--copy-to", "articles"], "a new collection, not 'articles' its"),
    ],
)
def test_bad_input_gets_one_sentence(
    run: Run, collection: Collection, suffix: str, options: list[str], said: str
) -> None:
    assert said in sentence(run("attach", f"{collection.target}{suffix}", *options))
    assert collection.writes() == 0


@pytest.mark.parametrize("command", [("verify",), ("detach", "--yes")])
def test_other_commands_know_near_names_too(
    run: Run, collection: Collection, command: tuple[str, ...]
) -> None:
    verb, *options = command
    said = sentence(run(verb, collection.target.replace("articles", "artikles"), *options))
    assert said.endswith("artikles does not exist; did you mean 'articles'?")
    missing = "has no sparse vectors" if verb == "verify" else "has no 'splade'"
    assert missing in sentence(run(verb, collection.target, *options))


def test_a_key_that_may_only_read_is_found_before_anything_is_encoded(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    with QdrantRestFront(api_key="all", read_only_key="reading") as front:
        collection = Collection(front)
        command = ("attach", f"{collection.target}", "--text", "title")
        assert "set QDRANT_API_KEY" in sentence(run(*command))
        monkeypatch.setenv("QDRANT_API_KEY", "reading")
        with pytest.warns(UserWarning, match="insecure connection"):
            planned = run(*command, "--dry-run")
        assert planned.code == 2
        assert "blocker: this key has no write access" in planned.out
        with pytest.warns(UserWarning, match="insecure connection"):
            said = sentence(run(*command))
        assert "this key has no write access" in said
        assert "403" in said


@pytest.fixture(params=BOTH_KINDS)
def server(request: pytest.FixtureRequest) -> Iterator[Server]:
    with server_of(request.param, request) as found:
        yield found


@pytest.fixture
def newest(request: pytest.FixtureRequest) -> Iterator[Server]:
    with server_of("9.3.2", request) as found:
        yield found


def index_of(server: Server, **properties: Any) -> str:
    """An index of its owner."""
    name = server.new_name()
    mappings = {"properties": {"title": {"type": "text"}, **properties}}
    server.call("PUT", f"/{name}", {"mappings": mappings})
    server.put(name, {str(number): {"title": f"The tide {number}"} for number in range(4)})
    return name


@pytest.mark.servers
def test_an_index_attached_verified_and_detached(run: Run, server: Server) -> None:
    target = server.target(index_of(server))
    assert run("attach", target, "--text", "title", "--dry-run").code == 0
    assert run("attach", target, "--text", "title", "--json").json["attached"] == 4
    again = run("attach", target)
    assert again.code == 0
    assert "4 already had one" in again.out
    assert run("verify", target, "--all").code == 0
    shown = run("detach", target, "--dry-run")
    assert "note: the empty fields 'splade' and 'splade_marker' stay in the mapping" in shown.err
    assert run("detach", target, "--yes").out == "removed 'splade' from 4 documents\n"
    found = run("inspect", target, "--json").json
    assert (found["documents"], found["with_vectors"], found["manifest"]) == (4, 0, None)
    told = sentence(run("verify", target))
    assert told in run("search", target, "tide").err
    # It does what it says.
    line = shlex.split(told.split("`")[1].replace("FIELD", "title"))
    assert run(*line[1:], "--json").json["attached"] == 4
    assert run("inspect", target, "--json").json["with_vectors"] == 4


@pytest.mark.servers
def test_bad_targets_get_one_sentence(run: Run, server: Server) -> None:
    name = index_of(server)
    target, title = server.target(name), ("--text", "title")
    # Other tests have names on this server, too: the nearest is the first.
    assert f"does not exist; did you mean '{name}'" in sentence(run("attach", f"{target}x", *title))
    assert f"does not exist; did you mean '{name}'" in sentence(run("verify", f"{target}x"))
    assert "fields with text are: title" in sentence(run("attach", target, "--text", "body"))
    assert (
        "is text, not rank_features or sparse_vector; choose another field: ?field=NAME"
        in sentence(run("attach", f"{target}?field=title", *title))
    )
    assert "only Qdrant collections can be copied; omit copy_to (--copy-to)" in sentence(
        run("attach", target, *title, "--copy-to", "new")
    )
    alias, other = f"{name}-both", index_of(server)
    actions = [{"add": {"index": index, "alias": alias}} for index in (name, other)]
    server.call("POST", "/_aliases", {"actions": actions})
    both = ", ".join(sorted([name, other]))
    # `verify` says first that there are no sparse vectors.
    for verb in (("attach", *title), ("detach", "--yes")):
        said = sentence(run(verb[0], server.target(alias), *verb[1:]))
        assert (
            f"is an alias of several indices ({both}), which can only be searched together" in said
        )


@pytest.mark.servers
@pytest.mark.parametrize("block", ["write", "read_only", "read_only_allow_delete", "metadata"])
def test_a_block_is_named_with_what_removes_it(run: Run, server: Server, block: str) -> None:
    name = index_of(server)
    path = f"/{name}/_settings"
    server.call("PUT", path, {f"index.blocks.{block}": True})
    try:
        said = sentence(run("attach", server.target(name), "--text", "title"))
    finally:
        server.call("PUT", path, {f"index.blocks.{block}": None})
    assert f'"index.blocks.{block}": null' in said


@pytest.mark.servers
def test_a_closed_index_is_named_with_what_opens_it(run: Run, server: Server) -> None:
    name = index_of(server)
    server.call("POST", f"/{name}/_close")
    for arguments in (("attach", "--text", "title"), ("verify",), ("detach", "--yes")):
        said = sentence(run(arguments[0], server.target(name), *arguments[1:]))
        assert "is closed: open it" in said


@pytest.mark.servers
def test_a_dense_field_of_that_name_is_named(run: Run, newest: Server) -> None:
    name = index_of(newest, dense={"type": "dense_vector", "dims": 2})
    said = sentence(run("attach", f"{newest.target(name)}?field=dense", "--text", "title"))
    assert "the field 'dense'" in said
    assert "is dense_vector, not rank_features or sparse_vector" in said


def data_stream(server: Server, name: str, indices: int) -> list[str]:
    """A data stream with so many indices. Test builds cannot remove one, so it is made once."""
    template = {"index_patterns": [name], "data_stream": {}, "priority": 500}
    server.call("PUT", f"/_index_template/{name}", template)
    document = {"@timestamp": "2024-01-01T00:00:00Z", "title": "the tide was high"}
    server.call("POST", f"/{name}/_doc?refresh=true", document)
    while len(found := sorted(server.call("GET", f"/{name}/_mapping"))) < indices:
        server.call("POST", f"/{name}/_rollover")
    return found


@pytest.mark.servers
def test_a_data_stream_is_refused_and_the_index_behind_it_is_not(run: Run, newest: Server) -> None:
    title = ("--text", "title")
    (index,) = data_stream(newest, "splade-test-stream", 1)
    said = sentence(run("attach", newest.target("splade-test-stream"), *title))
    assert said.endswith(
        "splade-test-stream is a data stream, whose documents cannot be updated: name the "
        f"index behind it, {index}"
    )
    both = ", ".join(data_stream(newest, "splade-test-two-indices", 2))
    said = sentence(run("attach", newest.target("splade-test-two-indices"), *title))
    assert said.endswith(
        f"is a data stream of several indices ({both}), which can only be searched together; "
        "to write, name one of them"
    )
    behind = newest.target(index)
    planned = run("attach", behind, *title, "--dry-run")
    assert "note: this is one index of a data stream" in planned.out
    assert run("attach", behind, *title).code == 0
    assert run("verify", behind, "--all").code == 0
    assert run("detach", behind, "--yes").code == 0
