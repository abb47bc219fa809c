"""The folder of an embedded shard: what is removed from it, who may make it, who may open it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from splade_connectors import Document, Store, connect
from splade_connectors.errors import ConfigurationError, NotFound, SchemaConflict, StoreLocked
from splade_connectors.options import ConnectOptions
from splade_connectors.testing import HashEncoder

MARK = ".splade_connectors.unfinished"
SEGMENT = "segments/4418ab79-d065-47bf-8507-1d2a61731fdc"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "shard"


def opened(path: Path | str, **more: Any) -> Store:
    return connect(f"edge:{path}", encoder=HashEncoder(), **more)


def documents(prefix: str = "d", count: int = 50) -> list[Document]:
    return [Document(id=f"{prefix}{number}", text=f"water {number}") for number in range(count)]


def everything(folder: Path) -> dict[str, bytes | str | None]:
    """Files with what is in them, links with where they lead, and folders."""
    found: dict[str, bytes | str | None] = {}
    for entry in folder.rglob("*"):
        name = str(entry.relative_to(folder))
        if entry.is_symlink():
            found[name] = os.readlink(entry)
        else:
            found[name] = entry.read_bytes() if entry.is_file() else None
    return found


def _put(folder: Path, names: list[str]) -> None:
    for name in names:
        place = folder / name.rstrip("/")
        place.parent.mkdir(parents=True, exist_ok=True)
        if name.endswith("/"):
            place.mkdir(exist_ok=True)
        else:
            place.write_text("mine")


@pytest.mark.parametrize(
    "names",
    [
        ["notes.txt"],
        ["photos/"],
        ["photos/2026/one.jpg"],
        ["wal/", "thesis.tex"],
        ["wal/mine.txt"],
        ["segments/mine.txt"],
        ["segments/mine/chapter.txt"],
        [f"{SEGMENT}/notes.txt"],
        [f"{SEGMENT}/payload_storage/page_0.dat", f"{SEGMENT}/payload_storage/page_0.dat.bak"],
        [".git/config"],
        ["edge_config.json.orig"],
        ["open-1"],
        [".atomicwriteABC/mine"],
    ],
)
def test_what_is_not_of_a_shard_is_never_removed(path: Path, names: list[str]) -> None:
    path.mkdir()
    (path / MARK).touch()
    _put(path, names)
    before = everything(path)
    with opened(path) as store:
        refusal = r"holds '.*' beside an unfinished shard; nothing was changed there"
        with pytest.raises(SchemaConflict, match=refusal):
            store.index(documents())
        with pytest.raises(SchemaConflict, match=refusal):
            store.search("water")
    assert everything(path) == before


@pytest.mark.parametrize("name", ["wal", "segments", "segments/other", "edge_config.json.x"])
def test_links_are_neither_followed_nor_removed(path: Path, tmp_path: Path, name: str) -> None:
    theirs = tmp_path / "theirs"
    _put(theirs, ["open-1", f"{SEGMENT}/segment.json"])
    path.mkdir()
    (path / MARK).touch()
    (path / name).parent.mkdir(exist_ok=True)
    (path / name).symlink_to(theirs, target_is_directory=True)
    before = everything(tmp_path)
    with opened(path) as store, pytest.raises(SchemaConflict, match="beside an unfinished shard"):
        store.index(documents())
    assert everything(tmp_path) == before


@pytest.mark.parametrize(
    "names",
    [
        ["wal/open-1", "wal/open-2", "edge_config.json"],
        [f"{SEGMENT}/segment.json", f"{SEGMENT}/version.info", "edge_config.json"],
        [f"{SEGMENT}/vector_storage-sp lade/store/page_0.dat", "wal/tmp-open-3"],
        ["splade_connectors.json", ".splade_connectors.json.0a1b2c3d.unfinished"],
        [".atomicwriteABC/tmpfile.tmp", f"{SEGMENT}/.atomicwriteXYZ/tmpfile.tmp"],
    ],
)
def test_parts_of_a_shard_whose_maker_was_killed_are_made_anew(
    path: Path, names: list[str]
) -> None:
    path.mkdir()
    (path / MARK).touch()
    _put(path, names)
    with opened(path) as store:
        assert not store.inspect().capabilities.exists
        assert store.index(documents()).written == 50
    with opened(path) as store:
        assert store.count() == 50
    assert not any(entry.name.startswith(".") for entry in path.iterdir())


def test_a_damaged_shard_is_named_and_left_alone(path: Path) -> None:
    with opened(path) as store:
        store.index(documents())
    (path / "edge_config.json").write_text("{")
    before = everything(path)
    with opened(path) as store:
        with pytest.raises(Exception, match="refused the request"):
            store.index(documents())
        with pytest.raises(Exception, match="refused the request"):
            store.search("water")
    assert everything(path) == before


TOGETHER = """
import sys, time
from splade_connectors import connect, Document
from splade_connectors.errors import StoreLocked
from splade_connectors.testing import HashEncoder
path, at, name = sys.argv[1], float(sys.argv[2]), sys.argv[3]
documents = [Document(id=f"{name}{number}", text="water") for number in range(50)]
with connect(f"edge:{path}", encoder=HashEncoder()) as store:
    time.sleep(max(0, at - time.time()))
    try:
        print("written", store.index(documents).written)
    except StoreLocked as error:
        print("locked", error)
"""


@pytest.mark.parametrize("apart_s", [0.0, 0.02])
def test_processes_that_make_a_shard_at_once_leave_one(path: Path, apart_s: float) -> None:
    at = time.time() + 1
    running = [
        subprocess.Popen(
            [sys.executable, "-c", TOGETHER, str(path), str(at + number * apart_s), f"p{number}-"],
            stdout=subprocess.PIPE,
            text=True,
        )
        for number in range(3)
    ]
    told = [process.communicate(timeout=60)[0] for process in running]
    assert all(line.startswith(("written 50", "locked edge:")) for line in told), told
    written = sum(line.startswith("written") for line in told)
    assert written
    with opened(path) as store:
        assert store.count() == 50 * written
        assert len(store.search("water", limit=1000)) == 50 * written
    assert not (path / MARK).exists()


FORKED = """
import os, sys
from splade_connectors import connect, Document
from splade_connectors.errors import ConfigurationError
from splade_connectors.testing import HashEncoder

def documents(name):
    return [Document(id=f"{name}{number}", text="water") for number in range(50)]

store = connect(f"edge:{sys.argv[1]}", encoder=HashEncoder())
store.index(documents("parent"))
for end in ("exit", "close", "at once"):
    child = os.fork()
    if not child:
        for verb in (lambda: store.index(documents("child")), lambda: store.search("water")):
            try:
                verb()
            except ConfigurationError as error:
                print(error, flush=True)
            else:
                print("the child was let in", flush=True)
        if end == "close":
            store.close()
        if end == "at once":
            os._exit(0)
        sys.exit(0)
    assert os.waitpid(child, 0)[1] == 0
    store.index(documents(end))
print("counted", store.count(), flush=True)
store.close()
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
def test_children_of_a_fork_are_refused_and_damage_nothing(path: Path) -> None:
    command = [sys.executable, "-c", FORKED, str(path)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    *refusals, counted = done.stdout.splitlines()
    assert len(refusals) == 6
    for line in refusals:
        assert line.startswith(f"this store of edge:{path} was opened before this process was")
        assert line.endswith("close it before the fork, and connect in the process that uses it")
    assert counted == "counted 200"
    with opened(path) as store:
        assert store.count() == 200


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
def test_a_store_that_was_not_opened_yet_may_be_used_in_a_child(path: Path) -> None:
    script = """
import os, sys
from splade_connectors import connect, Document
from splade_connectors.testing import HashEncoder
store = connect(f"edge:{sys.argv[1]}", encoder=HashEncoder())
if not os.fork():
    print(store.index([Document(id="a", text="water")]).written, flush=True)
    store.close()
    os._exit(0)
assert os.wait()[1] == 0
print(store.count())
"""
    command = [sys.executable, "-c", script, str(path)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert (done.stdout.split(), done.returncode) == (["1", "1"], 0), done.stderr


def test_a_relative_path_is_that_of_the_folder_where_it_was_opened(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "one").mkdir()
    (tmp_path / "two").mkdir()
    monkeypatch.chdir(tmp_path / "one")
    with opened("shard") as store, opened("./other/shard") as other:
        monkeypatch.chdir(tmp_path / "two")
        store.index(documents())
        other.index(documents())
        assert store.count() == other.count() == 50
    assert not list((tmp_path / "two").iterdir())
    assert sorted(entry.name for entry in (tmp_path / "one").iterdir()) == ["other", "shard"]


def test_two_stores_of_one_process_do_not_share_a_shard(path: Path) -> None:
    with opened(path) as store, opened(path) as other:
        store.index(documents())
        with pytest.raises(StoreLocked, match="in another store of this process"):
            other.index(documents("e"))
        store.close()
        assert other.index(documents("e")).written == 50
        assert other.count() == 100


@pytest.mark.parametrize("name", ["~nosuch", "~nosuch/shard", "~no such user"])
def test_a_home_that_is_not_there_is_a_sentence(name: str) -> None:
    with pytest.raises(ConfigurationError, match=r"nosuch|no such user"):
        opened(name)


def test_nothing_is_made_by_looking(path: Path) -> None:
    with opened(path) as store:
        assert not store.inspect().capabilities.exists
        for verb in (store.count, lambda: store.search("x"), lambda: store.delete(["a"])):
            with pytest.raises(NotFound):
                verb()
    assert not path.exists()


@pytest.mark.parametrize("in_a_file", [False, True])
def test_what_this_package_made_is_recorded(path: Path, tmp_path: Path, in_a_file: bool) -> None:
    file = str(tmp_path / "manifest.json") if in_a_file else None
    options = ConnectOptions(manifest_file=file)
    with opened(path, options=options) as store:
        assert not store.inspect().capabilities.created_by_us
        store.index(documents())
        assert store.inspect().capabilities.created_by_us
        store.index(documents("e"))
    with opened(path, options=options) as store:
        found = store.inspect()
        assert found.capabilities.created_by_us
        assert found.manifest is not None
    kept = Path(file or path / "splade_connectors.json")
    assert set(json.loads(kept.read_text())["splade_connectors_state"]) == {"/collection"}
