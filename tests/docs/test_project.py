"""What surrounds the code: workflows that only call make, versions that agree, hooks."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from scripts.release_check import main, versions
from tests.docs.blocks import ROOT
from tests.docs.installing import check

WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))


def read(path: Path) -> Any:
    return yaml.safe_load(path.read_text(encoding="utf-8"))


def steps(path: Path) -> list[dict[str, Any]]:
    return [step for job in read(path)["jobs"].values() for step in job["steps"]]


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.stem)
def test_workflows_run_make_and_nothing_else(path: Path) -> None:
    lines = [step["run"] for step in steps(path) if "run" in step]
    lines = [re.sub(r"\s\w+=(\$\{\{.*?\}\}|\S+)", "", line) for line in lines]
    assert lines
    for line in lines:
        assert line.startswith("make "), line
        check(line.split())


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.stem)
def test_workflows_may_read_and_no_more(path: Path) -> None:
    assert read(path)["permissions"] == {"contents": "read"}


def test_the_checks_run_on_every_supported_python() -> None:
    wanted = ["3.11", "3.12", "3.13", "3.14"]
    for name, job in (("checks", "test"), ("nightly", "full")):
        found = read(ROOT / ".github" / "workflows" / f"{name}.yml")["jobs"][job]
        assert found["strategy"]["matrix"]["python"] == wanted
    text = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    assert re.findall(r'"Programming Language :: Python :: (3\.\d+)"', text) == wanted


def test_forms_ask_for_what_a_maintainer_needs() -> None:
    for path in sorted((ROOT / ".github" / "ISSUE_TEMPLATE").glob("[!c]*.yml")):
        form = read(path)
        assert form["name"]
        assert form["description"]
        assert any(part.get("validations", {}).get("required") for part in form["body"])


def test_a_commit_runs_what_lint_runs() -> None:
    (repository,) = read(ROOT / ".pre-commit-config.yaml")["repos"]
    assert [hook["entry"] for hook in repository["hooks"]] == ["make lint"]


def test_files_agree_on_the_version(capsys: pytest.CaptureFixture[str]) -> None:
    (version,) = set(versions(released=False).values())
    assert main("v0.0.0") == 1
    said = capsys.readouterr().err
    assert f"pyproject.toml says {version}, the tag is v0.0.0" in said


def test_the_citation_can_be_read() -> None:
    citation = read(ROOT / "CITATION.cff")
    assert citation["cff-version"] == "1.2.0"
    assert citation["title"] == "splade-connectors"
