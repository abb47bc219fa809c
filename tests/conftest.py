"""Fixtures for all tests."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import settings

from splade_connectors import SparseEncoder, load_encoder
from splade_connectors.encoders.engines.onnx import without_telemetry
from tests.kept import remembering

# The suite for adapters is a library module: ask pytest for its detailed assertion messages there.
pytest.register_assert_rewrite("splade_connectors.testing")

# A machine that is busy is not a mistake of the code.
settings.register_profile("untimed", deadline=None)
settings.load_profile("untimed")

# The same numbers whether the kernels are installed or not, in commands that tests start too. The
# tests of int8 say so themselves.
os.environ.setdefault("SPLADE_PRECISION", "fp32")

pytest_plugins = ["tests.servers.fixtures", "tests.sharing", "tests.random_models"]

# xdist tells its processes of 80 columns: commands are tested at their own width.
os.environ.pop("COLUMNS", None)

ROOT = Path(__file__).parent.parent


def pytest_configure() -> None:
    """Ctrl-C reaches the commands of the tests also where the tests run in the background.

    A shell has its background jobs ignore it, and whatever they start inherits that.
    """
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session", autouse=True)
def _one_session() -> Iterator[None]:
    """See `remembering`."""
    with pytest.MonkeyPatch.context() as patch:
        onnxruntime = without_telemetry()
        patch.setattr(onnxruntime, "InferenceSession", remembering(onnxruntime.InferenceSession))
        yield


@pytest.fixture(scope="session")
def encoder() -> SparseEncoder:
    """The bundled model."""
    return load_encoder()


@pytest.fixture(scope="session")
def scifact() -> Path:
    """SciFact in BEIR layout: `$SPLADE_SCIFACT`, or where the project's CI has it."""
    folder = Path(os.environ.get("SPLADE_SCIFACT", ROOT.parent / "shared" / "data" / "scifact"))
    if not (folder / "corpus.jsonl").is_file():
        pytest.skip("set SPLADE_SCIFACT to a folder with SciFact in BEIR layout")
    return folder


@pytest.fixture(autouse=True)
def _own_cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """Converted models go to a folder of the test run, not to the user's cache."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.getbasetemp() / "cache"))
