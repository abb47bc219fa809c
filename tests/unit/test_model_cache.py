"""The cache of converted models: whole entries of this user, and nothing that is left over."""

from __future__ import annotations

import os
import signal
import stat
import subprocess
import sys
import time
from pathlib import Path

import pytest

from splade_connectors.encoders import cache
from splade_connectors.errors import ModelError
from tests.models.small import write

pytestmark = pytest.mark.skipif(not hasattr(os, "getuid"), reason="needs users and modes")

NAME = "theirs-0123456789abcdef-log1p"


@pytest.fixture(autouse=True)
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache" / "splade-connectors" / "models"


def build(folder: Path) -> Path:
    with cache.whole_or_not_at_all(folder) as unfinished:
        (unfinished / cache.GRAPH_FILE).write_bytes(b"graph")
        write(unfinished / "splade_connectors.json", {})
    return folder


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_an_entry_is_for_its_user_alone(root: Path) -> None:
    before = os.umask(0)
    try:
        entry = build(cache.entry(NAME))
    finally:
        os.umask(before)
    assert entry == root / NAME
    assert {mode(path) for path in (entry, root, root.parent)} == {0o700}


def test_an_entry_that_others_may_write_to_is_not_loaded(root: Path) -> None:
    entry = build(cache.entry(NAME))
    assert cache.is_usable(entry)
    for path in (entry, entry / cache.GRAPH_FILE, entry / "splade_connectors.json"):
        for bits in (0o020, 0o002):
            before = mode(path)
            path.chmod(before | bits)
            assert not cache.is_usable(entry)
            path.chmod(before)
    assert cache.is_usable(entry)


@pytest.mark.parametrize("what", [".", cache.GRAPH_FILE, "splade_connectors.json"])
def test_a_link_is_not_loaded(root: Path, tmp_path: Path, what: str) -> None:
    entry = build(cache.entry(NAME))
    elsewhere = tmp_path / "elsewhere"
    (entry / what).rename(elsewhere)
    (entry / what if what != "." else entry).symlink_to(elsewhere)
    assert not cache.is_usable(entry)


@pytest.mark.parametrize("what", [".", cache.GRAPH_FILE, "splade_connectors.json"])
def test_an_entry_of_another_user_is_not_loaded(
    root: Path, what: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    entry = build(cache.entry(NAME))
    others, lstat = entry / what, Path.lstat

    def of_another(path: Path) -> os.stat_result:
        found = lstat(path)
        return (
            os.stat_result([*found[:4], found.st_uid + 1, *found[5:]]) if path == others else found
        )

    monkeypatch.setattr(Path, "lstat", of_another)
    assert not cache.is_usable(entry)
    if what == ".":
        mine = cache.entry(NAME)
        assert mine == root / f"{NAME}-{os.getuid()}"
        assert cache.is_usable(build(mine))
        assert entry.is_dir()
        others = mine  # now the second name is another's as well
        monkeypatch.setattr(cache, "_is_own", lambda path: False)
        with pytest.raises(ModelError, match="belongs to another user; set XDG_CACHE_HOME"):
            cache.entry(NAME)


@pytest.mark.skipif(os.getuid() != 0, reason="only root can make files of others")
def test_an_entry_that_really_belongs_to_another_user(root: Path) -> None:
    entry = build(cache.entry(NAME))
    os.chown(entry, 12345, 12345)
    assert not cache.is_usable(entry)
    assert cache.entry(NAME) != entry
    os.chown(entry, os.getuid(), os.getgid())
    os.chown(entry / cache.GRAPH_FILE, 12345, 12345)
    assert not cache.is_usable(entry)


def test_an_error_leaves_nothing_and_what_was_there_stays(root: Path) -> None:
    entry = build(cache.entry(NAME))

    def fail() -> None:
        with cache.whole_or_not_at_all(entry) as unfinished:
            (unfinished / cache.GRAPH_FILE).write_bytes(b"half")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fail()
    assert [path.name for path in root.iterdir()] == [NAME]
    assert (entry / cache.GRAPH_FILE).read_bytes() == b"graph"


def test_a_cache_that_cannot_be_made_is_one_sentence(
    root: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    with pytest.raises(
        ModelError, match=r"cannot be created \(.*\); set XDG_CACHE_HOME to a folder"
    ):
        cache.entry(NAME)


def test_a_cache_that_cannot_be_written_is_one_sentence_before_the_work(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    entry = cache.entry(NAME)
    root.rmdir()
    root.write_text("")  # root may write into every folder
    with (
        pytest.raises(
            ModelError, match=r"cannot be created \(.*\); set XDG_CACHE_HOME to a folder"
        ),
        cache.whole_or_not_at_all(entry),
    ):
        pytest.fail("the work has begun")
    monkeypatch.undo()


# Processes that are killed.

WORKER = """
import sys, time
from pathlib import Path
from splade_connectors.encoders import cache
with cache.whole_or_not_at_all(cache.entry(sys.argv[1])) as unfinished:
    (unfinished / "model.onnx").write_bytes(b"half")
    print(unfinished, flush=True)
    time.sleep(60)
"""


def start(name: str) -> tuple[subprocess.Popen[str], Path]:
    process = subprocess.Popen(
        [sys.executable, "-c", WORKER, name], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout
    return process, Path(process.stdout.readline().strip())


def test_what_killed_conversions_leave_is_removed_and_nothing_else(root: Path) -> None:
    killed = [start(f"{NAME}-{number}") for number in range(2)]
    alive, in_work = start("other")
    try:
        for process, folder in killed:
            assert folder.is_dir()
            process.send_signal(signal.SIGKILL)
            process.communicate()
        (root / "mine").mkdir()
        (root / "old.999999999.unfinished").mkdir()  # of an earlier version: no lock inside
        (root / f"old.{alive.pid}.unfinished").mkdir()
        (root / "no-number.unfinished").mkdir()
        cache.entry(NAME)
        left = {path.name for path in root.iterdir()}
        assert left == {"mine", in_work.name, f"old.{alive.pid}.unfinished", "no-number.unfinished"}
        assert (in_work / "model.onnx").is_file()
    finally:
        alive.kill()
        alive.communicate()
    begun = time.monotonic()
    cache.entry(NAME)
    assert not in_work.exists()
    assert time.monotonic() - begun < 5
