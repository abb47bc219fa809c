"""The weights that the bundled graph was made from, for the peers that it has to equal."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

_SHARED = Path(__file__).parent.parent.parent.parent / "shared" / "models" / "splade-tiny"


@pytest.fixture(scope="session")
def weights() -> Path:
    """SPLADE-tiny-msmarco as safetensors: `$SPLADE_TINY`, or where the project's CI has it."""
    folder = Path(os.environ.get("SPLADE_TINY", _SHARED))
    if not (folder / "model.safetensors").is_file():
        pytest.skip("set SPLADE_TINY to the folder with SPLADE-tiny's model.safetensors")
    return folder
