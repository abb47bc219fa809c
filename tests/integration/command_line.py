"""Running the command line in tests, and what it leaves behind."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

SCRIPT = Path(sys.executable).with_name("splade-connectors")
BUNDLED = Path(__file__).parents[2] / "splade_connectors" / "models" / "splade-tiny"
ROWS: list[dict[str, Any]] = [
    {"_id": "1", "title": "Bread", "text": "Flour, water, salt and time make bread.", "lang": "en"},
    {
        "_id": "2",
        "title": "Hearts",
        "text": "The heart pumps blood through the body.",
        "lang": "en",
    },
    {"_id": "3", "title": "Navigation", "text": "Stars show the way at night.", "lang": "de"},
    {"_id": 4, "title": "", "text": "A vaccine trains the immune system.", "lang": "de"},
]


@dataclass
class Done:
    """What a command left behind."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)


# Runs a command in this process: the fixture `run`.
Run = Callable[..., Done]


def real(*arguments: object, **more: Any) -> subprocess.CompletedProcess[str]:
    """Runs the installed script."""
    command = [str(SCRIPT), *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, check=False, **more)


@contextmanager
def running(*arguments: object, **more: Any) -> Iterator[subprocess.Popen[str]]:
    """The installed script as a process, which does not outlive the block, nor its pipes."""
    more = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, **more}
    process = subprocess.Popen([str(SCRIPT), *map(str, arguments)], text=True, **more)
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def jsonl(path: Path, rows: list[Any]) -> Path:
    lines = [row if isinstance(row, str) else json.dumps(row) for row in rows]
    path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    return path


def target(folder: Path) -> str:
    return f"edge:{folder}/shard"


def one_document(text: str) -> Any:
    """The one JSON document on standard output."""
    found = json.loads(text)
    assert text.endswith("\n")
    return found


def refusal(done: Done) -> str:
    """The sentence of a command that was refused."""
    assert done.code == 2
    assert done.out == ""
    assert "Traceback" not in done.err
    assert done.err.startswith("error: ")
    return done.err.removeprefix("error: ")


def fill(folder: Path) -> Path:
    """A store with the rows above, indexed by the command line, and a judged query."""
    done = real("index", jsonl(folder / "corpus.jsonl", ROWS), target(folder))
    assert done.returncode == 0, done.stderr
    jsonl(folder / "queries.jsonl", [{"_id": "q1", "text": "how do I bake bread"}])
    (folder / "qrels").mkdir()
    (folder / "qrels" / "test.tsv").write_text("query-id\tcorpus-id\tscore\nq1\t1\t1\n")
    return folder
