"""The command line as a process: Ctrl-C, pipes, terminals, missing packages, and the demo."""

from __future__ import annotations

import json
import os
import pty
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from splade_connectors import SparseEncoder, connect
from tests.integration.command_line import (
    ROWS,
    SCRIPT,
    Done,
    fill,
    jsonl,
    one_document,
    real,
    refusal,
    running,
    target,
)


@pytest.fixture
def corpus(tmp_path: Path) -> Path:
    return jsonl(tmp_path / "corpus.jsonl", ROWS)


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store with the rows, read only."""
    return fill(tmp_path_factory.mktemp("filled"))


def disk_usage(folder: Path) -> int:
    """Bytes on disk; the files of the engine are larger than what they hold.

    The folder is written to meanwhile: `os.walk` passes over folders that are gone already.
    """
    blocks = 0
    for parent, _, names in os.walk(folder):
        for name in names:
            with suppress(FileNotFoundError):
                blocks += Path(parent, name).stat().st_blocks
    return blocks * 512


def interrupted(
    arguments: list[object], ready: Callable[[], bool], **more: Any
) -> tuple[int, str, str]:
    """Exit code and outputs of a command that gets SIGINT as soon as it is ready."""
    with running(*arguments, **more) as process:
        deadline = time.monotonic() + 60
        while not ready():
            assert process.poll() is None, process.communicate()
            assert time.monotonic() < deadline
            time.sleep(0.02)
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=60)
    return process.returncode, out, err


@pytest.mark.parametrize("json_option", [[], ["--json"]])
def test_ctrl_c_during_indexing_says_how_far_it_got_and_keeps_that(
    tmp_path: Path, json_option: list[str], encoder: SparseEncoder
) -> None:
    total = 60_000
    rows = [{"id": n, "text": f"number {n}"} for n in range(total)]
    path = jsonl(tmp_path / "x.jsonl", rows)
    shard = tmp_path / "shard"

    def some_windows_are_written() -> bool:
        return disk_usage(shard) > 1_500_000

    arguments: list[object] = ["index", path, target(tmp_path), *json_option]
    code, out, err = interrupted(arguments, some_windows_are_written)
    assert code == 130
    assert "Traceback" not in err
    (shown,) = re.findall(r"^error: stopped: ([\d,]+) documents? written so far; ", err, re.M)
    written = int(shown.replace(",", ""))
    assert 0 < written < total
    if json_option:
        assert one_document(out)["written"] == written
        assert one_document(out)["interrupted"] is True
    else:
        assert out == ""
    with connect(target(tmp_path), encoder=encoder) as store:
        # A request may have been acknowledged between its last count and the interrupt.
        assert written <= store.count() <= written + 256
        assert len(store.known(list(range(written)))) == written


def test_ctrl_c_elsewhere_exits_with_130_and_leaves_nothing_half_written(tmp_path: Path) -> None:
    reader, writer = os.pipe()
    os.write(writer, f"{json.dumps(ROWS[0])}\n".encode() * 2)
    output = tmp_path / "out.jsonl"

    def begun() -> bool:
        return any(tmp_path.glob(".out.jsonl.*.unfinished"))

    try:
        arguments: list[object] = ["encode", "-", "-o", output]
        code, out, err = interrupted(arguments, begun, stdin=reader)
    finally:
        os.close(reader)
        os.close(writer)
    assert (code, out, err) == (130, "", "error: stopped\n")
    assert list(tmp_path.iterdir()) == []


def shell(command: str, unbuffered: str = "") -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["bash", "-o", "pipefail", "-c", command],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
        env={
            **os.environ,
            "PATH": f"{SCRIPT.parent}:{os.environ['PATH']}",
            "PYTHONUNBUFFERED": unbuffered,
        },
    )


@pytest.mark.parametrize(
    "command",
    [
        "splade-connectors search {target} bread | head -1",
        "splade-connectors search {target} bread --json | head -c 5",
        "splade-connectors search {target} bread --json | true",
        "splade-connectors search {target} bread --dry-run | true",
        "splade-connectors inspect {target} | true",
        "splade-connectors encode {big} | head -1",
        "splade-connectors encode {big} --json | true",
        "splade-connectors --help | true",
    ],
)
@pytest.mark.parametrize(
    "unbuffered",
    ["", pytest.param("1", marks=pytest.mark.full("pipes that Python does not buffer"))],
)
def test_a_reader_that_goes_away_is_no_error(
    filled: Path, tmp_path: Path, command: str, unbuffered: str
) -> None:
    big = jsonl(tmp_path / "big.jsonl", [{"id": n, "text": f"number {n}"} for n in range(1500)])
    done = shell(command.format(target=target(filled), big=big), unbuffered)
    assert done.stderr == ""


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="this system has no /dev/full")
@pytest.mark.parametrize("unbuffered", ["", "1"])
def test_an_output_that_cannot_be_written_is_a_sentence(filled: Path, unbuffered: str) -> None:
    done = shell(f"splade-connectors search {target(filled)} bread --json > /dev/full", unbuffered)
    assert done.returncode == 2
    sentence = "error: cannot write to standard output: No space left on device\n"
    assert done.stderr == sentence
    for command in (f"export {target(filled)}", "--version"):
        done = shell(f"splade-connectors {command} > /dev/full", unbuffered)
        assert (done.returncode, done.stderr) == (2, sentence)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="this system has no /dev/full")
@pytest.mark.parametrize("option", ["", "--json", "--log-json"])
def test_the_counts_of_a_run_are_not_lost_with_the_output(
    corpus: Path, tmp_path: Path, option: str
) -> None:
    jsonl(corpus, [*ROWS, {"_id": "5", "text": 1}])
    letters = tmp_path / "letters.jsonl"
    done = shell(
        f"splade-connectors index {corpus} {target(tmp_path)} --dead-letters {letters} {option} "
        "> /dev/full"
    )
    if option == "--log-json":
        *_, report, error = map(json.loads, done.stderr.splitlines())
        error = f"error: {error['message']}"
    else:
        first, error = done.stderr.splitlines()
        report = json.loads(first)
    assert error == "error: cannot write to standard output: No space left on device"
    assert (done.returncode, report["written"], report["rejected"]) == (2, 4, 1)
    assert report["dead_letters"] == str(letters)


def test_a_progress_bar_is_shown_on_a_terminal_only(corpus: Path, tmp_path: Path) -> None:
    done = real("index", corpus, target(tmp_path))
    assert (done.returncode, done.stderr) == (0, "")
    ours, theirs = pty.openpty()
    wide = {**os.environ, "TERM": "xterm", "COLUMNS": "100"}
    with running("index", corpus, target(tmp_path), "--json", stderr=theirs, env=wide) as process:
        os.close(theirs)
        shown = b"".join(terminal_output(ours))
        out, _ = process.communicate(timeout=60)
    assert process.returncode == 0
    assert b"indexing" in shown
    assert b"done" in shown
    assert one_document(out)["written"] == 4


def terminal_output(ours: int) -> Iterator[bytes]:
    try:
        while data := os.read(ours, 4096):
            yield data
    except OSError:  # how Linux says that the other end is closed
        pass
    finally:
        os.close(ours)


BLOCKED = """
import sys

class Hidden:
    def __init__(self, finder):
        self.finder = finder

    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {blocked}:
            return None
        return self.finder.find_spec(name, path, target)

    def __getattr__(self, name):
        return getattr(self.finder, name)

sys.meta_path[:] = [Hidden(finder) for finder in sys.meta_path]
from splade_connectors.cli import main
main(sys.argv[1:])
"""


def without(blocked: set[str], *arguments: object) -> Done:
    """Runs a command where these packages are not installed."""
    script = BLOCKED.replace("{blocked}", repr(blocked))
    done = subprocess.run(
        [sys.executable, "-c", script, *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    return Done(done.returncode, done.stdout, done.stderr)


@pytest.mark.parametrize(
    ("package", "arguments", "extra"),
    [
        ("onnxruntime", ["encode", "--query", "x"], "onnx"),
        ("qdrant_edge", ["inspect", "edge:FILLED"], "qdrant"),
        ("qdrant_client", ["inspect", "qdrant://localhost/x"], "qdrant"),
        ("elasticsearch", ["inspect", "elasticsearch://localhost/x"], "elasticsearch"),
        ("torch", ["encode", "--query", "x", "--engine", "torch"], "torch"),
        ("ir_measures", ["evaluate", "edge:FILLED", "--beir", "BEIR"], "evaluate"),
        ("pyarrow", ["index", "PARQUET", "edge:NOWHERE"], "parquet"),
    ],
)
def test_what_is_not_installed_is_named_with_its_pip_line(
    filled: Path, tmp_path: Path, package: str, arguments: list[str], extra: str
) -> None:
    (tmp_path / "x.parquet").write_bytes(b"PAR1")
    places = {
        "FILLED": filled / "shard",
        "BEIR": filled,
        "PARQUET": tmp_path / "x.parquet",
        "NOWHERE": tmp_path / "nowhere",
    }
    for name, place in places.items():
        arguments = [argument.replace(name, str(place)) for argument in arguments]
    sentence = refusal(without({package}, *arguments))
    assert f" needs {package}: pip install 'splade-connectors[{extra}]'" in sentence
    assert not (tmp_path / "nowhere").exists()


def test_the_demo_ends_with_the_measured_quality(tmp_path: Path) -> None:
    began = time.monotonic()
    done = real("demo", cwd=tmp_path)
    assert time.monotonic() - began < 60
    assert (done.returncode, done.stderr) == (0, "")
    assert re.search(r"Indexed \d{3} sample passages into edge:splade-demo", done.stdout)
    assert done.stdout.count("the model adds: ") >= 3
    measured = re.findall(r"nDCG@10 (0\.\d{4})", done.stdout)
    assert float(measured[0]) > 0.5
    assert "Next: splade-connectors search edge:splade-demo" in done.stdout
    again = real("search", "edge:splade-demo", "why does dough rise", "--json", cwd=tmp_path)
    assert one_document(again.stdout)[0]["payload"]["text"]
    second = real("demo", "--json", cwd=tmp_path)
    assert second.returncode == 0
    found = one_document(second.stdout)
    assert f"{found['measures']['nDCG@10']:.4f}" == measured[0]
    assert found["report"]["rejected"] == 0


def test_the_demo_without_the_measures_package_says_so_and_goes_on(tmp_path: Path) -> None:
    done = without({"ir_measures"}, "demo", "--path", tmp_path / "demo", "--json")
    assert done.code == 0
    assert done.json["measures"] == {}
    assert "pip install 'splade-connectors[evaluate]'" in done.err
