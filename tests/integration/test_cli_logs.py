"""`--log-json`: every line on stderr is a JSON object, whatever happens."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.integration.command_line import ROWS, Run, jsonl, real, target


def events(text: str) -> list[dict[str, Any]]:
    found = [json.loads(line) for line in text.splitlines()]
    assert all(isinstance(event["event"], str) and event["time"] for event in found)
    return found


@pytest.fixture
def corpus(tmp_path: Path) -> Path:
    return jsonl(tmp_path / "corpus.jsonl", ROWS)


def test_a_run_with_rejections(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    rows = jsonl(tmp_path / "x.jsonl", [*ROWS, "no json", {"_id": "1", "text": "again"}])
    done = run("index", rows, target(tmp_path), "--log-json")
    assert done.code == 1
    found = events(done.err)
    assert {event["event"] for event in found} == {"progress", "report", "note"}
    (report,) = [event for event in found if event["event"] == "report"]
    assert report["rejected"] == 2
    assert Path(report["dead_letters"]).is_file()
    again = run("index", rows, target(tmp_path), "--log-json", "--json")
    assert again.json["dead_letters"] != report["dead_letters"]
    events(again.err)


def test_without_rejections_no_file_is_named(run: Run, corpus: Path, tmp_path: Path) -> None:
    assert run("index", corpus, target(tmp_path), "--json").json["dead_letters"] is None


@pytest.mark.parametrize(
    ("arguments", "word"),
    [
        (["index", "nowhere.jsonl", "edge:x"], "nowhere.jsonl"),
        (["index", "CORPUS", "edge:x", "--no-such"], "--no-such"),
        (["index"], "Missing argument"),
        (["index", "CORPUS", "edge:x", "--batch-size", "0"], "--batch-size"),
        (["index", "CORPUS", "elasticsearch://u:secret@localhost:1/x", "--from-dead-letters"], ""),
        (["attach", "edge:nowhere", "--text", "text"], "does not exist"),
    ],
)
def test_mistakes(run: Run, corpus: Path, arguments: list[str], word: str) -> None:
    given = [str(corpus) if argument == "CORPUS" else argument for argument in arguments]
    done = run(*given, "--log-json")
    assert (done.code, done.out) == (2, "")
    found = events(done.err)
    assert found[-1]["event"] == "error"
    assert word in found[-1]["message"]
    assert "secret" not in done.err


TALKING = """
import logging, sys, warnings
from splade_connectors.cli import main
from splade_connectors.store import Store
index = Store.index

def talking(self, *arguments, **more):
    warnings.warn("a warning\\nof two lines")
    logging.getLogger("some.library").warning("a line\\nand \\x1b[31manother")
    logging.getLogger("splade_connectors.x").warning("one of ours")
    return index(self, *arguments, **more)

Store.index = talking
main(sys.argv[1:])
"""


@pytest.mark.parametrize("verbose", [[], ["--verbose"]])
def test_words_of_libraries(corpus: Path, tmp_path: Path, verbose: list[str]) -> None:
    command = [sys.executable, "-c", TALKING, *verbose]
    command += ["index", str(corpus), target(tmp_path), "--log-json"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True)
    messages = [event.get("message", "") for event in events(done.stderr)]
    for said in ("a warning\nof two lines", "a line\nand ", "one of ours"):
        assert any(said in message for message in messages), messages
    assert "\x1b" not in done.stderr


def test_a_mistake_of_ours_and_a_process(run: Run, tmp_path: Path) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("splade_connectors.opening.connect", lambda *given, **more: 1 / 0)
        done = run("index", jsonl(tmp_path / "x.jsonl", ROWS), target(tmp_path), "--log-json")
    assert done.code == 2
    assert "ZeroDivisionError" in events(done.err)[-1]["traceback"]
    process = real("index", tmp_path / "nowhere", target(tmp_path), "--log-json")
    assert process.returncode == 2
    assert events(process.stderr)[-1]["event"] == "error"


def test_without_it_nothing_is_json(run: Run, tmp_path: Path) -> None:
    """Also after a command that had it, in the same process."""
    run("index", tmp_path / "nowhere", target(tmp_path), "--log-json")
    done = run("index", tmp_path / "nowhere", target(tmp_path))
    assert done.err.startswith("error: ")
