"""Words of documents, servers, files and arguments reach the terminal as text."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from splade_connectors.cli import main
from tests.integration.command_line import Done, jsonl
from tests.unit.test_shown import ATTACKS, is_harmless

# All at once; lone surrogate is in no file and no argument.
HOSTILE = "|".join(text for name, text in ATTACKS.items() if "surrogate" not in name)
# An argument cannot hold a null character.
TYPED = HOSTILE.replace("\x00", "")
Run = Callable[..., Done]


@pytest.fixture(autouse=True)
def _in_its_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Run:
    """Runs a command in this process; what it prints does no harm."""

    def do(*arguments: object, code: int) -> Done:
        capsys.readouterr()
        with pytest.raises(SystemExit) as stop:
            main([str(argument) for argument in arguments])
        done = Done(
            stop.value.code if isinstance(stop.value.code, int) else 0, *capsys.readouterr()
        )
        for line in (done.out + done.err).split("\n"):
            assert is_harmless(line), ascii(line)
        assert "Traceback" not in done.err
        assert done.code == code, done.err
        return done

    return do


def test_documents(run: Run, tmp_path: Path) -> None:
    row = {"id": HOSTILE, "text": f"bread {HOSTILE}", HOSTILE: HOSTILE}
    rows = [row, row, {"id": 1, HOSTILE: 2}, {"id": [HOSTILE], "text": "x"}, f"[{HOSTILE}"]
    path = jsonl(tmp_path / "x.jsonl", [*rows, {"id": 2, "text": {"a": HOSTILE}}])
    done = run("--verbose", "index", path, "edge:shard", code=1)
    assert done.err.count("\\x1b[31mred\\x1b[0m") >= 3
    shown = run("search", "edge:shard", "bread", code=0).out
    assert "\\x1b]0;owned\\x07" in "".join(shown.split())
    (hit,) = run("search", "edge:shard", "bread", "--json", code=0).json
    assert (hit["id"], hit["payload"][HOSTILE]) == (HOSTILE, HOSTILE)
    run("explain", "edge:shard", HOSTILE, HOSTILE, code=0)
    assert run("explain", "edge:shard", "bread", HOSTILE, "--json", code=0).json["id"] == HOSTILE
    run("search", "edge:shard", f"bread {HOSTILE}", "--dry-run", code=0)
    lines = run("encode", path, "--id-field", "id", code=1).out.splitlines()
    assert json.loads(lines[0])["id"] == HOSTILE


def test_a_first_row_without_the_fields(run: Run, tmp_path: Path) -> None:
    """`run` asserts what every line shows, and the exit code."""
    run("index", jsonl(tmp_path / "x.jsonl", [{HOSTILE: 1}]), "edge:shard", code=2)
    (tmp_path / "x.csv").write_text(f'id,"{HOSTILE}","{HOSTILE}"\n1,2,3\n', encoding="utf-8")
    run("index", tmp_path / "x.csv", "edge:shard", code=2)


COMMANDS: list[list[str]] = [
    [TYPED],
    ["search", TYPED, "x"],
    ["search", f"{TYPED}://host/x", "x"],
    ["search", f"qdrant://{TYPED}/x", "x"],
    ["search", f"elasticsearch://host/{TYPED}", "x"],
    ["inspect", f"edge:{TYPED}"],
    ["inspect", f"edge:shard?{TYPED}=x"],
    ["search", "edge:shard", "x", TYPED],
    ["search", "edge:shard", "x", f"--{TYPED}"],
    ["search", "edge:shard", "x", "--limit", TYPED],
    ["search", "edge:shard", "x", "--model", TYPED],
    ["search", "edge:shard", "x", "--fusion", TYPED],
    ["search", "edge:shard", "x", "--filter", TYPED],
    ["index", TYPED, "edge:shard"],
    ["index", f"{TYPED}.jsonl", "edge:shard", "--dead-letters", f"{TYPED}/x"],
    ["index", "x.jsonl", "edge:shard", "--format", TYPED],
    ["index", "--from-dead-letters", TYPED, "edge:shard"],
    ["encode", TYPED],
    ["evaluate", "edge:shard", "--beir", TYPED],
    ["attach", "edge:shard", "--part", TYPED],
    ["search", "edge:shard", "x", "--dense-model", TYPED],
]


@pytest.mark.parametrize("arguments", COMMANDS, ids=range(len(COMMANDS)))
def test_arguments(run: Run, tmp_path: Path, arguments: list[str]) -> None:
    """`run` asserts what every line shows, and the exit code."""
    jsonl(tmp_path / "x.jsonl", [{"id": 1, "text": "x"}])
    run(*arguments, code=0 if arguments[:2] == ["inspect", f"edge:{TYPED}"] else 2)


class Hostile(BaseHTTPRequestHandler):
    """A server that says no in hostile words."""

    protocol_version = "HTTP/1.1"
    status = 400

    def answer(self) -> None:
        words: Any = {
            "error": {"type": HOSTILE, "reason": HOSTILE, "root_cause": [{"reason": HOSTILE}]},
            "status": {"error": HOSTILE},
            "result": HOSTILE,
        }
        body = json.dumps(words).encode()
        self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self.send_response(self.status, "No [bold]way[/bold]")
        self.send_header("Content-Type", "application/json")
        self.send_header("X-Elastic-Product", "Elasticsearch")
        self.send_header("Warning", '299 Elasticsearch-9 "\x1b[31mold\x9b"')
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    do_GET = do_POST = do_PUT = do_HEAD = answer  # noqa: N815  # the library's names

    def log_message(self, *anything: object) -> None:
        """Be quiet."""


@pytest.fixture
def server() -> Iterator[str]:
    with ThreadingHTTPServer(("127.0.0.1", 0), Hostile) as made:
        thread = threading.Thread(target=made.serve_forever, daemon=True)
        thread.start()
        yield f"127.0.0.1:{made.server_port}"
        made.shutdown()
        thread.join()


@pytest.mark.parametrize("scheme", ["elasticsearch", "opensearch", "qdrant"])
@pytest.mark.parametrize("status", [400, 403, 404])
@pytest.mark.filterwarnings("ignore")
def test_servers(
    run: Run, server: str, scheme: str, status: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Hostile, "status", status)
    done = run("--verbose", "search", f"{scheme}://{server}/articles", "x", code=2)
    assert [line for line in done.err.splitlines() if line.startswith("error: forged")] == []
