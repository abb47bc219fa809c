"""What the documentation shows is what happens."""

from __future__ import annotations

import contextlib
import io
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.docs import readme

ROOT = Path(__file__).parents[2]
EXAMPLES = sorted((ROOT / "examples").glob("*.py"))


def test_the_readme_session_prints_what_the_readme_shows(tmp_path: Path) -> None:
    sessions = readme.blocks("console")
    assert sessions
    for body in sessions:
        now = readme.run_session(body, tmp_path)
        assert readme.without_times(now) == readme.without_times(body)


def test_the_readme_python_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    names: dict[str, object] = {}
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        for body in readme.blocks("python"):
            exec(compile(body, "README.md", "exec"), names)
    assert printed.getvalue() == "".join(readme.blocks("output"))


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_the_examples_run(path: Path, tmp_path: Path, request: pytest.FixtureRequest) -> None:
    arguments = []
    if path.stem.startswith("elasticsearch"):
        arguments = [request.getfixturevalue("elasticsearch_url")]
    done = subprocess.run(
        [sys.executable, str(path), *arguments],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip()


def test_every_must_hold_line_has_a_command_and_a_figure() -> None:
    text = (ROOT / "docs" / "verification.md").read_text(encoding="utf-8")
    tables = [table for table in re.split(r"\n\n+", text) if table.startswith("| ")]
    for header, _, *rows in (table.splitlines() for table in tables):
        columns = 4 if header.startswith("| what must hold | command | where |") else 2
        assert len(_cells(header)) == columns, header
        assert rows, header
        for row in rows:
            assert len(_cells(row)) == columns, row
            assert all(_cells(row)), f"an empty cell: {row}"
    assert len(tables) >= 5


def _cells(row: str) -> list[str]:
    return [cell.strip() for cell in row.strip("|").split("|")]


def test_files_named_in_the_documentation_exist() -> None:
    for name in ("README.md", "CONTRIBUTING.md", "docs/verification.md", "benchmarks/README.md"):
        text = (ROOT / name).read_text(encoding="utf-8")
        for found in re.findall(r"`((?:tests|benchmarks|examples|scripts|docker)/[\w./-]+)`", text):
            assert (ROOT / found).exists(), f"{name} names {found}"
