"""How tests are shared out, and who owns the servers: without starting one."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests import sharing
from tests.servers import ServerFailed, ServerUnavailable, SharedServer, shared
from tests.servers.shared import Owner, shared_server

ROOT = Path(__file__).parents[2]


class Pretended:
    """Takes the place of a server."""

    def __init__(self, url: str = "http://127.0.0.1:9") -> None:
        self.url = url
        self.users = {"elastic": "secret"}
        self.stopped = 0

    def stop(self) -> None:
        self.stopped += 1


def refuse(error: Exception) -> Any:
    raise error


def test_a_server_is_started_once_and_stopped_once(monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[Pretended] = []

    def start() -> Pretended:
        made.append(Pretended())
        return made[-1]

    monkeypatch.setattr(shared, "SERVERS", {"one": start, "never asked for": start})
    with Owner() as owner:
        monkeypatch.setenv(shared.VARIABLE, owner.address)
        for _ in range(3):
            assert shared_server("one") == SharedServer(made[0].url, made[0].users)
        with pytest.raises(httpx.HTTPStatusError, match="404"):
            shared_server("nobody")
    assert [server.stopped for server in made] == [1]


@pytest.mark.parametrize("error", [ServerUnavailable("install Java"), ServerFailed("its log")])
def test_why_there_is_no_server_reaches_the_test(
    error: Exception, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shared, "SERVERS", {"one": lambda: refuse(error)})
    with Owner() as owner:
        monkeypatch.setenv(shared.VARIABLE, owner.address)
        with pytest.raises(type(error), match=str(error)):
            shared_server("one")


OWNER = """
from tests.servers import shared, __main__
class Pretended:
    url = "http://127.0.0.1:9"
    def stop(self): print("stopped", flush=True)
shared.SERVERS.clear()
shared.SERVERS["one"] = Pretended
__main__.main()
"""


def test_the_owner_ends_with_its_standard_input() -> None:
    owner = subprocess.Popen(
        [sys.executable, "-c", OWNER],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert owner.stdout is not None
        address = owner.stdout.readline().strip()
        found = httpx.get(f"{address}/one", trust_env=False).json()
        assert found == {"url": "http://127.0.0.1:9", "users": {}}
        out, _ = owner.communicate(timeout=30)
    finally:
        owner.kill()
    assert (owner.returncode, out) == (0, "stopped\n")


@pytest.mark.parametrize(
    ("nodeid", "part"),
    [
        ("tests/unit/test_x.py::test_a", "tests/unit/test_x.py"),
        ("tests/split.py::test_a[9.3.2, 1 shard-x]", "tests/split.py::9.3.2, 1 shard"),
        ("tests/split.py::test_b", "tests/split.py::"),
        ("tests/single.py::test_b[x]", "tests/single.py::test_b[x]"),
        ("tests/mortal.py::test_b[x]", "the mortal"),
    ],
)
def test_parts_of_files(nodeid: str, part: str, monkeypatch: pytest.MonkeyPatch) -> None:
    pattern = r"9\.3\.2, \d shard"
    monkeypatch.setattr(sharing, "_SPLIT", {"tests/split.py": pattern, "tests/single.py": ""})
    monkeypatch.setattr(sharing, "_TOGETHER", {"the mortal": ("tests/mortal.py::test_b",)})
    assert sharing.part_of(nodeid) == part


def test_the_tables_name_files_that_are_there() -> None:
    named = [*sharing._SPLIT, *sharing._FIRST, *sum(sharing._TOGETHER.values(), ())]
    missing = [name for name in named if not (ROOT / name.partition("::")[0]).is_file()]
    assert missing == []
