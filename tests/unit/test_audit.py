"""`make audit`: what it says of answers of the service that it asks."""

from __future__ import annotations

import importlib.util
import json
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

SCRIPT = Path(__file__).parent.parent.parent / "scripts" / "audit.py"

FINE = {"name": "numpy", "version": "2.4.6", "vulns": []}
ABSENT = {"name": "torch", "skip_reason": "not found"}
HOLE = {"id": "CVE-2026-4372", "fix_versions": ["5.3.0"], "aliases": [], "description": ""}
OPEN = {"name": "transformers", "version": "5.2.0", "vulns": [HOLE]}


@pytest.fixture(scope="module")
def script() -> ModuleType:
    spec = importlib.util.spec_from_file_location("audit", SCRIPT)
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def answering(tmp_path: Path, output: str, error: str = "", code: int = 0) -> str:
    """A program that answers as pip-audit does."""
    program = tmp_path / "pip-audit"
    lines = [f"#!{sys.executable}", "import sys", f"print({output!r})"]
    lines += [f"print({error!r}, file=sys.stderr)", f"sys.exit({code})"]
    program.write_text("\n".join(lines), encoding="utf-8")
    program.chmod(0o755)
    return str(program)


@pytest.mark.parametrize(
    ("packages", "code", "said"),
    [
        ([FINE], 0, "1 package looked up, known vulnerabilities: 0"),
        ([FINE, OPEN], 1, "transformers 5.2.0: CVE-2026-4372, fixed in 5.3.0"),
        ([FINE, ABSENT], 0, "not looked up: torch"),
        ([ABSENT, ABSENT], 0, "(it knows none of the 2 packages)"),
    ],
)
def test_what_is_known_is_said(
    script: ModuleType,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    packages: list[dict[str, Any]],
    code: int,
    said: str,
) -> None:
    program = answering(tmp_path, json.dumps({"dependencies": packages, "fixes": []}), code=code)
    assert script.main(program, "constraints.txt") == code
    assert said in capsys.readouterr().out


@pytest.mark.parametrize("output", ["", "no JSON", "[]", "{}"])
def test_where_it_cannot_ask_it_says_so(
    script: ModuleType, tmp_path: Path, capsys: pytest.CaptureFixture[str], output: str
) -> None:
    program = answering(tmp_path, output, "ERROR: Connection refused", 1)
    assert script.main(program, "constraints.txt") == 0
    assert "NOT AUDITED" in (out := capsys.readouterr().out)
    assert "Connection refused" in out
