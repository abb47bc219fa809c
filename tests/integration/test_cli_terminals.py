"""The command line on terminals: widths, colours, completion, `python -m`, and its own examples."""

from __future__ import annotations

import os
import pty
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from splade_connectors import cli
from tests.integration.command_line import BUNDLED, ROWS, SCRIPT, Run, fill, jsonl, real, target
from tests.integration.test_cli_processes import terminal_output

SAMPLE = BUNDLED.parents[1] / "sample"
QUERY = "how do I bake bread"
LONG_ID = "0c5d3b5e-8a86-4a0e-9b0e-6a9d5e1f7c11"


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store with the rows and one of a long id, read only."""
    folder = fill(tmp_path_factory.mktemp("filled"))
    more = jsonl(folder / "more.jsonl", [{"_id": LONG_ID, "title": "", "text": "Bread rises."}])
    assert real("index", more, target(folder)).returncode == 0
    return folder


@pytest.fixture
def at_width(run: Run, monkeypatch: pytest.MonkeyPatch) -> Callable[..., str]:
    """What a command prints where COLUMNS says so, or nothing does."""

    def do(columns: int | None, *arguments: object) -> str:
        if columns is None:
            monkeypatch.delenv("COLUMNS", raising=False)
        else:
            monkeypatch.setenv("COLUMNS", str(columns))
        done = run(*arguments)
        assert (done.code, done.err) == (0, "")
        return done.out

    return do


def squeezed(text: str) -> str:
    return re.sub(r"\s", "", text)


def test_python_m_is_the_script() -> None:
    for arguments in (["search", "--help"], ["inspect", "articles"]):
        module = [sys.executable, "-m", "splade_connectors", *arguments]
        done = subprocess.run(module, capture_output=True, text=True, timeout=120, check=False)
        script = real(*arguments)
        assert (done.returncode, done.stdout, done.stderr) == (
            script.returncode,
            script.stdout,
            script.stderr,
        )
        assert done.stdout or done.stderr


def test_hits_on_a_narrow_screen_are_whole(filled: Path, at_width: Callable[..., str]) -> None:
    usual = at_width(None, "search", target(filled), QUERY)
    assert at_width(100, "search", target(filled), QUERY) == usual
    assert max(map(len, usual.splitlines())) <= 100
    narrow = at_width(40, "search", target(filled), QUERY)
    assert max(map(len, narrow.splitlines())) <= 40
    wide = at_width(200, "search", target(filled), QUERY)
    scores = re.findall(r"^\d+ +(\d+\.\d{3}) ", wide, re.M)
    assert len(scores) >= 2
    assert re.findall(r"^score: (\d+\.\d{3})$", narrow, re.M) == scores
    for shown in (narrow, wide):
        assert LONG_ID in squeezed(shown)
        assert "Flour,water,saltandtimemakebread." in squeezed(shown)
        assert "…" not in shown


@pytest.mark.parametrize("columns", [40, 200])
def test_other_tables_on_a_narrow_screen_are_whole(
    filled: Path, at_width: Callable[..., str], columns: int
) -> None:
    usual = at_width(None, "inspect", target(filled))
    assert squeezed(str(filled)) in squeezed(at_width(columns, "inspect", target(filled)))
    numbers = re.findall(r"\d+\.\d+|\d+%", at_width(None, "explain", target(filled), QUERY, "1"))
    shown = at_width(columns, "explain", target(filled), QUERY, "1")
    assert re.findall(r"\d+\.\d+|\d+%", shown) == numbers
    assert "…" not in usual + shown
    measured = at_width(columns, "evaluate", target(filled), "--beir", filled)
    assert measured.count("1.0000") == 3
    assert "…" not in measured
    for name in ("nDCG@10", "recall@100", "MRR@10", "queries", "p50", "p95"):
        assert name in measured


def on_a_terminal(*arguments: object, **variables: str) -> bytes:
    """What a command writes on a terminal of 80 columns."""
    ours, theirs = pty.openpty()
    environment = {**os.environ, "TERM": "xterm-256color", "COLUMNS": "80", **variables}
    command = [str(SCRIPT), *map(str, arguments)]
    with subprocess.Popen(command, stdout=theirs, stderr=theirs, env=environment) as process:
        os.close(theirs)
        shown = b"".join(terminal_output(ours))
    assert process.returncode == 0, shown
    return shown


def test_no_color_is_honoured(filled: Path) -> None:
    searched = ("search", target(filled), QUERY)
    plain = on_a_terminal(*searched, NO_COLOR="1")
    assert b"\x1b" not in plain
    assert b"Flour" in plain
    assert b"\x1b[1m" in on_a_terminal(*searched, NO_COLOR="")


def test_a_bar_without_colours_or_room_still_counts(tmp_path: Path) -> None:
    path = jsonl(tmp_path / "corpus.jsonl", ROWS)
    arguments = ("index", path, target(tmp_path))
    shown = on_a_terminal(*arguments, NO_COLOR="1", COLUMNS="40")
    assert not re.search(rb"\x1b\[[\d;]*m", shown)
    assert b"4 done" in shown
    assert b"\xe2\x80\xa6" not in shown


def bash(script: str, home: Path) -> str:
    done = subprocess.run(
        ["bash", "--norc", "-c", script],
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
        env={
            "HOME": str(home),
            "PATH": f"{SCRIPT.parent}:{os.environ['PATH']}",
            "SHELL": shutil.which("bash") or "",
        },
    )
    return done.stdout


COMPLETE = """
source "$HOME/.bashrc"
COMP_WORDS=({words})
COMP_CWORD={last}
_splade_connectors_completion splade-connectors
printf '%s\\n' "${{COMPREPLY[@]}}"
"""


def test_completion_is_installed_and_completes(tmp_path: Path) -> None:
    # The shell is found among the parents of the process: a last command keeps bash there.
    said = bash("splade-connectors --install-completion; true", tmp_path)
    assert "bash completion installed in" in said
    assert (tmp_path / ".bashrc").is_file()

    def completed(*words: str) -> list[str]:
        script = COMPLETE.format(words=shlex.join(words), last=len(words) - 1)
        return bash(script, tmp_path).split()

    assert completed("splade-connectors", "se") == ["search"]
    assert set(completed("splade-connectors", "de")) == {"delete", "demo", "detach"}
    assert completed("splade-connectors", "attach", "--client-k") == ["--client-key"]
    assert set(completed("splade-connectors", "index", "--prune-")) == {
        "--prune-top-k",
        "--prune-max-ratio",
    }


def runs_here(line: str) -> bool:
    """Whether an example needs neither a server nor a model, nor what another one has done."""
    return not ("://" in line or line.startswith(("export-model ", "demo --path")))


def test_the_examples_of_the_helps_run(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Those that can, in the order of the commands, in a folder with the sample."""
    monkeypatch.chdir(tmp_path)
    for name in ("corpus.jsonl", "queries.jsonl"):
        shutil.copy(SAMPLE / name, tmp_path)
    shutil.copytree(SAMPLE / "qrels", tmp_path / "qrels")
    ran = []
    lines = [line for holder in (*cli.COMMANDS, cli) for line in holder.EXAMPLES]
    for line in dict.fromkeys(lines):
        if runs_here(line):
            done = run(*shlex.split(line))
            assert (done.code, done.err) == (0, ""), line
            assert done.out or "--output" in line
            ran.append(line.split()[0])
            if ran[-1] == "delete":  # the examples after it find the whole sample
                run("index", "corpus.jsonl", "edge:articles")
    assert set(ran) >= {"demo", "encode", "index", "search", "explain", "inspect", "evaluate"}
