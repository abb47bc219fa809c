"""Models that run in torch, in the child of a fork whose parent has used them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.models.folders import dense_model, random_model, save

_INSTALL = "pip install 'splade-connectors[test-models]'"
pytest.importorskip("torch", reason=_INSTALL)
pytest.importorskip("sentence_transformers", reason=_INSTALL)

pytestmark = [
    pytest.mark.models,
    pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork"),
]
# Two, also on machines with one core: a team of threads is what a child lacks.
_THREADS = {"OMP_NUM_THREADS": "2", "MKL_NUM_THREADS": "2"}


def forked(what: str, folder: Path) -> Any:
    command = [sys.executable, "-m", "tests.models.forked_torch", what, str(folder)]
    environment = {**os.environ, **_THREADS}
    done = subprocess.run(
        command, capture_output=True, text=True, timeout=180, check=False, env=environment
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.mark.parametrize("what", ["encoder", "dense"])
def test_a_model_that_was_used_works_in_a_forked_child(what: str, tmp_path: Path) -> None:
    bert = random_model(hidden_size=128, intermediate_size=256)
    folder = tmp_path / "model"
    folder = save(folder, bert) if what == "encoder" else dense_model(folder)
    found = forked(what, folder)
    assert found["child"] == {"same": True, "threads": 1}
    assert (found["status"], found["after"], found["threads"]) == (0, True, [2, 2])
