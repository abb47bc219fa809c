"""onnxruntime tells nobody anything: no file, no name look-up, no thread that is left."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ENCODE = """
import threading, time
from pathlib import Path
from splade_connectors import load_encoder
load_encoder(engine="onnx").encode_queries(["how do vaccines work"])
time.sleep({seconds})
"""
NETWORK = ("socket(", "connect(", "sendto(", "sendmsg(", "resolv.conf", "/etc/hosts")


def encoded(home: Path, *before: str, seconds: float = 0.0, **environment: str) -> None:
    places = {"HOME": str(home), "XDG_CACHE_HOME": str(home / "cache")}
    more = {name: value for name, value in os.environ.items() if name != "ORT_DISABLE_TELEMETRY"}
    script = ENCODE.replace("{seconds}", str(seconds))
    subprocess.run(
        [*before, sys.executable, "-c", script],
        check=True,
        timeout=120,
        env=more | places | environment,
    )


def test_no_file_is_written_in_the_users_folders(tmp_path: Path) -> None:
    encoded(tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_who_asks_for_it_gets_it(tmp_path: Path) -> None:
    """So that the test above is known to find what it looks for."""
    encoded(tmp_path, ORT_DISABLE_TELEMETRY="0")
    if not list(tmp_path.rglob("*")):
        pytest.skip("this onnxruntime has no telemetry")
    assert list(tmp_path.rglob("*onnxruntime*"))


@pytest.mark.skipif(shutil.which("strace") is None, reason="strace is not installed")
def test_no_name_is_looked_up(tmp_path: Path) -> None:
    home, calls = tmp_path / "home", tmp_path / "calls"
    home.mkdir()
    trace = ("strace", "-f", "-o", str(calls), "-e", "trace=network,openat")
    encoded(home, *trace, seconds=3.0)
    lines = calls.read_text(errors="replace").splitlines()
    assert any("model.onnx" in line for line in lines)
    assert [line for line in lines if any(call in line for call in NETWORK)] == []
