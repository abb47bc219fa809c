"""Files that are written: nothing that is there is lost by it."""

from __future__ import annotations

import os
import resource
import shlex
import stat
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from splade_connectors import DeadLetters, Document
from splade_connectors.cli import printing
from splade_connectors.documents import Rejected
from splade_connectors.errors import ConfigurationError
from splade_connectors.files import letter_file
from splade_connectors.files.dead_letters import Letters
from splade_connectors.files.outputs import (
    check_outputs,
    opened_in_place,
    replacing,
    same_file,
    write_text,
)
from splade_connectors.files.readers import FileReader
from splade_connectors.testing import HashEncoder, MemoryStore


def mode_of(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def spellings(path: Path) -> dict[str, Path]:
    """Other names of a file, made where they need making."""
    folder = path.parent
    (folder / "sub").mkdir()
    (folder / "link").symlink_to(path)
    (folder / "chain").symlink_to("link")
    (folder / "folder").symlink_to(folder)
    os.link(path, folder / "hard")
    return {
        "itself": path,
        "relative": Path(os.path.relpath(path)),
        "with a detour": folder / "sub" / ".." / path.name,
        "a link": folder / "link",
        "a link to a link": folder / "chain",
        "through a linked folder": folder / "folder" / path.name,
        "a hard link": folder / "hard",
    }


SPELLINGS = [
    "itself",
    "relative",
    "with a detour",
    "a link",
    "a link to a link",
    "through a linked folder",
    "a hard link",
]


@pytest.mark.parametrize("spelling", SPELLINGS)
def test_dead_letters_never_replace_what_is_read(tmp_path: Path, spelling: str) -> None:
    path = tmp_path / "x.jsonl"
    lines = "".join(f'{{"id": {n % 3}, "text": "word {n}"}}\n' for n in range(9))
    path.write_text(lines)
    other = spellings(path)[spelling]
    assert same_file(other, path)
    store = MemoryStore(HashEncoder())
    with (
        DeadLetters(other) as letters,
        FileReader(path) as reader,
        pytest.raises(ConfigurationError, match="is the input, so rejected documents cannot be"),
    ):
        store.index(reader, dead_letters=letters)
    with DeadLetters(other) as letters, pytest.raises(ConfigurationError, match="is the input"):
        store.index(Letters(path), dead_letters=letters)
    with pytest.raises(ConfigurationError, match="is an input, so it cannot be written"):
        check_outputs(other, inputs=[path])
    assert path.read_text() == lines


def test_other_files_are_others(tmp_path: Path) -> None:
    first, second = tmp_path / "a", tmp_path / "b"
    first.write_text("same")
    second.write_text("same")
    assert not same_file(first, second)
    assert not same_file(first, tmp_path / "none")
    assert not same_file(tmp_path / "none", first)
    assert not same_file(Path("/dev/null"), Path("/dev/null"))
    check_outputs(first, second, tmp_path / "none", None, inputs=[tmp_path / "c", None])


@pytest.mark.parametrize("spelling", SPELLINGS)
def test_two_outputs_are_not_one_file(tmp_path: Path, spelling: str) -> None:
    path = tmp_path / "x.json"
    path.write_text("{}")
    other = spellings(path)[spelling]
    with pytest.raises(ConfigurationError, match="would be written twice"):
        check_outputs(path, other)
    with pytest.raises(ConfigurationError, match="would be written twice"):
        check_outputs(tmp_path / "new", tmp_path / "sub" / ".." / "new")


Write = Callable[[Path, str], None]


def letters_to(path: Path, text: str) -> None:
    with DeadLetters(path) as letters:
        letters.add(Rejected(id=text, reason="no"), Document(id=text))


def in_place(path: Path, text: str) -> None:
    with opened_in_place(path, mode=0o600) as file:
        file.write(text)


WRITERS = {"whole": write_text, "in place": in_place, "dead letters": letters_to}


@pytest.fixture(params=WRITERS)
def write(request: pytest.FixtureRequest) -> Write:
    return WRITERS[request.param]


@pytest.mark.parametrize("mode", [0o600, 0o640, 0o444, 0o755])
def test_a_file_that_is_replaced_keeps_its_mode(tmp_path: Path, write: Write, mode: int) -> None:
    path = tmp_path / "x"
    path.write_text("before, and much longer than what comes after it" * 100)
    path.chmod(mode)
    write(path, "after")
    assert "after" in path.read_text()
    assert "before" not in path.read_text()
    assert mode_of(path) == mode
    assert [entry.name for entry in tmp_path.iterdir()] == ["x"]


def test_a_link_stays_and_what_it_points_to_is_replaced(tmp_path: Path, write: Write) -> None:
    folder = tmp_path / "folder"
    folder.mkdir()
    place = folder / "x"
    place.write_text("before")
    place.chmod(0o640)
    link = tmp_path / "link"
    link.symlink_to(place)
    write(link, "after")
    assert link.is_symlink()
    assert "after" in place.read_text()
    assert (mode_of(place), place.is_symlink()) == (0o640, False)
    assert [entry.name for entry in folder.iterdir()] == ["x"]


def test_a_link_to_nothing_makes_what_it_points_to(tmp_path: Path, write: Write) -> None:
    link = tmp_path / "link"
    link.symlink_to(tmp_path / "x")
    write(link, "after")
    assert link.is_symlink()
    assert "after" in (tmp_path / "x").read_text()


def test_a_pipe_is_written_to(tmp_path: Path, write: Write) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    heard: list[str] = []
    listener = threading.Thread(target=lambda: heard.append(pipe.read_text()))
    listener.start()
    write(pipe, "after")
    listener.join(timeout=10)
    assert "after" in heard[0]
    assert stat.S_ISFIFO(pipe.stat().st_mode)


@pytest.mark.parametrize("device", ["/dev/null", "/dev/zero"])
def test_a_device_is_written_to(write: Write, device: str) -> None:
    before = os.stat(device)
    check_outputs(Path(device))
    write(Path(device), "after")
    after = os.stat(device)
    assert (after.st_mode, after.st_rdev) == (before.st_mode, before.st_rdev)


def test_a_device_that_is_full_is_a_sentence() -> None:
    with pytest.raises(ConfigurationError, match="cannot write /dev/full: No space left on device"):
        write_text(Path("/dev/full"), "text")


def test_dead_letters_on_a_full_device_are_a_sentence() -> None:
    letters = DeadLetters("/dev/full")
    sentence = "cannot write dead letters to /dev/full: No space left on device"
    with pytest.raises(ConfigurationError, match=sentence):
        letters.add(Rejected(id=1, reason="no"))
    with pytest.raises(ConfigurationError, match=sentence):
        letters.close()
    letters.close()


STREAMS = """
import sys
from pathlib import Path
from splade_connectors.files.outputs import check_outputs, write_text
check_outputs(Path(sys.argv[1]))
write_text(Path(sys.argv[1]), "after\\n")
"""


@pytest.mark.parametrize("name", ["/dev/stdout", "/dev/fd/1", "/proc/self/fd/1", "LOG"])
def test_a_file_that_the_shell_appends_to_keeps_what_is_in_it(tmp_path: Path, name: str) -> None:
    log = tmp_path / "log"
    log.write_text("before\n")
    with log.open("a") as stdout:
        path = str(log) if name == "LOG" else name
        subprocess.run([sys.executable, "-c", STREAMS, path], stdout=stdout, check=True, timeout=60)
    assert log.read_text() == "before\nafter\n"


def test_what_is_not_completed_leaves_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "x"
    path.write_text("before")
    seen = []

    def half() -> None:
        with replacing(path) as file:
            file.write("half")
            seen.append(path.read_text())
            raise RuntimeError

    with pytest.raises(RuntimeError):
        half()
    assert seen == ["before"]
    assert path.read_text() == "before"
    assert [entry.name for entry in tmp_path.iterdir()] == ["x"]


def test_new_dead_letters_are_for_their_user_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    named = tmp_path / "named.jsonl"
    with DeadLetters(named) as first, DeadLetters() as second:
        for letters in (first, second):
            letters.add(Rejected(id="a", reason="no"))
    assert [mode_of(path) for path in tmp_path.iterdir()] == [0o600, 0o600]


def test_runs_that_begin_in_one_second_have_files_of_their_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(letter_file, "_default_name", lambda: "d.jsonl")
    runs = [DeadLetters() for _ in range(5)]
    for number, letters in enumerate(runs):
        with letters:
            letters.add(Rejected(id=number, reason="no"))
    assert [str(run.path) for run in runs] == ["d.jsonl", *(f"d-{n}.jsonl" for n in range(2, 6))]
    assert [next(iter(Letters(run.path))).id for run in runs] == list(range(5))


def test_a_default_name_that_is_a_link_is_not_followed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(letter_file, "_default_name", lambda: "d.jsonl")
    mine = tmp_path / "mine"
    Path("d.jsonl").symlink_to(mine)
    with DeadLetters() as letters:
        letters.add(Rejected(id=1, reason="no"))
    assert not mine.exists()
    assert str(letters.path) == "d-2.jsonl"


@pytest.fixture
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder for temporary files."""
    folder = tmp_path / "temporary"
    folder.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(folder))
    return folder


@pytest.mark.parametrize("why", ["a root", "not writable", "gone"])
def test_a_folder_that_is_no_place_for_dead_letters_has_another(
    tmp_path: Path,
    temporary: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    why: str,
) -> None:
    here = Path("/") if why == "a root" else tmp_path / "here"
    here.mkdir(exist_ok=True)
    monkeypatch.chdir(here)
    if why == "not writable":  # root may write everywhere
        monkeypatch.setattr("os.access", lambda path, mode: Path(path) != here)
    if why == "gone":
        here.rmdir()
    with DeadLetters() as letters:
        assert caplog.messages == []
        for number in range(3):
            letters.add(Rejected(id=number, reason="no"))
    assert letters.path.parent == temporary
    assert [letter.id for letter in Letters(letters.path)] == [0, 1, 2]
    named = "the current folder" if why == "gone" else str(here)
    assert caplog.messages == [
        f"writing dead letters to {letters.path}: this user cannot write to {named}"
    ]


@pytest.mark.parametrize("is_named", [True, False])
def test_letters_go_on_elsewhere_when_the_disk_is_full(
    tmp_path: Path,
    temporary: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    is_named: bool,
) -> None:
    monkeypatch.chdir(tmp_path)
    letters = DeadLetters(tmp_path / "named.jsonl" if is_named else None)
    for number in range(2):
        letters.add(Rejected(id=number, reason="no"))
    first = letters.path
    size, _ = resource.getrlimit(resource.RLIMIT_FSIZE)
    # A file's largest size is the limit that a test can set: no byte more, and then half a line.
    resource.setrlimit(resource.RLIMIT_FSIZE, (first.stat().st_size + 20, resource.RLIM_INFINITY))
    try:
        letters.add(Rejected(id=2, reason="no"))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (size, resource.RLIM_INFINITY))
    letters.add(Rejected(id=3, reason="no"))
    letters.close()
    assert letters.path.parent == temporary
    assert [letter.id for letter in Letters(first)] == [0, 1]
    assert [letter.id for letter in Letters(letters.path)] == [2, 3]
    assert letters.count == 4
    assert caplog.messages == [
        f"writing dead letters to {letters.path}: {first} is full (File too large)"
    ]


def test_a_named_file_that_cannot_be_written_is_refused_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("os.access", lambda path, mode: False)
    with pytest.raises(ConfigurationError, match=r"cannot write .*: permission denied"):
        DeadLetters(tmp_path / "x.jsonl")


REFUSED = [
    (lambda folder: folder, "it is a folder"),
    (lambda folder: folder / "none" / "x", "the folder .*none does not exist"),
]


@pytest.mark.parametrize(("place", "sentence"), REFUSED)
def test_what_cannot_be_written_is_refused_before_the_work(
    tmp_path: Path, place: Callable[[Path], Path], sentence: str
) -> None:
    with pytest.raises(ConfigurationError, match=f"cannot write .*: {sentence}"):
        check_outputs(place(tmp_path))


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    with pytest.raises(ConfigurationError, match="permission denied"):
        check_outputs(tmp_path / "x")


@pytest.mark.parametrize(
    ("name", "target"), [("d.jsonl", "edge:x"), ("a b'c;$(x).jsonl", "edge:a b")]
)
def test_the_command_that_is_offered_can_be_pasted(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str, target: str
) -> None:
    with DeadLetters(tmp_path / name) as letters:
        letters.add(Rejected(id=1, reason="no", final=True), Document(id=1))
        printing.print_again(letters, target)
        assert capsys.readouterr().err == ""
        letters.add(Rejected(id=2, reason="mapping"), Document(id=2))
        printing.print_again(letters, target)
    said = capsys.readouterr().err.strip()
    assert said.startswith("retry them (1 of 2 may succeed): splade-connectors index ")
    words = shlex.split(said.partition(": ")[2])
    path = str(tmp_path / name)
    assert words == ["splade-connectors", "index", "--from-dead-letters", path, target]
