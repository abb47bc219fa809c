"""A reader who types what a page shows, from its top to its end, and compares what is printed.

    python -m tests.docs.reader PAGE… --update

writes what is printed now into the pages, instead.
"""

from __future__ import annotations

import contextlib
import io
import os
import re
import secrets
import shlex
import subprocess
import sys
import tempfile
import textwrap
from collections.abc import Callable, Iterator
from pathlib import Path

from splade_connectors.cli import main
from tests.docs import installing
from tests.docs.blocks import Block, blocks, same

# The ports of docker/compose.yaml, and the fixtures that stand for the servers behind them.
PORTS = {"6333": "qdrant", "9200": "elasticsearch", "9201": "opensearch"}
_PLACE = re.compile(rf"\blocalhost:({'|'.join(PORTS)})(?:/(\w[\w-]*))?")
# These run as they are written; whatever else a page asks for is checked by `installing`.
_PROGRAMS = ("splade-connectors", "python", "curl", "cat", "head", "echo", "mkdir", "ls")
_SHELL = re.compile(r"[|<>&;$*]")

# The address of a server by its name, such as "http://127.0.0.1:43215".
Servers = Callable[[str], str]


class Reader:
    """Reads one page.

    Args:
        page: its text.
        folder: where the reader is, and what files are written to.
        servers: finds a server that the page names by its usual port.
        apart: start every command as a process, as a terminal does; otherwise commands run in this
            one, which loads the model once.
    """

    def __init__(self, page: str, folder: Path, servers: Servers, *, apart: bool = False) -> None:
        self._folder = folder
        self._servers = servers
        self._apart = apart
        self._names: dict[str, object] = {"__name__": "__main__"}
        self._printed = ""
        self._failed = False
        # Names on servers that others use, too.
        suffix = secrets.token_hex(4)
        found = {match[2] for match in _PLACE.finditer(page) if match[2]}
        self._indices = {name: f"{name}-{suffix}" for name in found}
        self.indices = list(self._indices.values())

    def read(self, block: Block) -> str:
        """Do what a block says: its text as it would be now."""
        if block.file:
            file = self._folder / block.file
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(block.body, encoding="utf-8")
            return block.body
        match block.kind:
            case "python":
                self._printed = self._shown(self._python(block))
            case "console":
                return self._session(block.body)
            case "sh" | "bash":
                self._failed = False
                done = [self._command(line) for line in _lines(block.body)]
                assert not self._failed, "".join(done)
                self._printed = "".join(done)
            case "output":
                return self._printed
        return block.body

    def _python(self, block: Block) -> str:
        printed = io.StringIO()
        # Tracebacks name the line of the page.
        text = "\n" * block.line + self._real(block.body)
        with contextlib.redirect_stdout(printed):
            exec(compile(text, "page", "exec"), self._names)
        return printed.getvalue()

    def _session(self, body: str) -> str:
        commands = (line[2:] for line in _lines(body) if line.startswith("$ "))
        return "".join(f"$ {line}\n{self._command(line)}" for line in commands)

    def _command(self, line: str) -> str:
        """What a command prints, as a page shows it."""
        words = shlex.split(line, comments=True)
        if not words:
            return ""
        if words[0] == "export":
            name, _, value = words[1].partition("=")
            os.environ[name] = self._real(value)
            return ""
        if words[0] == "unset":
            del os.environ[words[1]]
            return ""
        if words[0] not in _PROGRAMS:
            installing.check(words)
            return ""
        real = self._real(line)
        if words[0] == "splade-connectors" and not self._apart and not _SHELL.search(line):
            text, code = _in_process(shlex.split(real, comments=True)[1:])
            self._failed |= code != 0
            return self._shown(text)
        return self._shown(_in_shell(real))

    def _real(self, text: str) -> str:
        """The text with the servers and names of this run."""

        def address(found: re.Match[str]) -> str:
            _, _, host = self._servers(PORTS[found[1]]).partition("://")
            return f"{host}/{self._indices[found[2]]}" if found[2] else host

        text = _PLACE.sub(address, text)
        for name, real in self._indices.items():
            text = text.replace(f'"{name}"', f'"{real}"')
        return text

    def _shown(self, text: str) -> str:
        """The text with the servers and names of the page."""
        for name, real in self._indices.items():
            text = text.replace(real, name)
        for port, server in PORTS.items():
            if server in getattr(self._servers, "known", ()):
                _, _, host = self._servers(server).partition("://")
                text = text.replace(host, f"localhost:{port}")
        return "".join(f"{line.rstrip()}\n" for line in text.splitlines())


def differences(page: str, reader: Reader) -> list[tuple[Block, str]]:
    """The blocks that are not what happens, each with what happens."""
    found = ((block, reader.read(block)) for block in blocks(page))
    return [(block, now) for block, now in found if not same(block.body, now)]


@contextlib.contextmanager
def at(folder: Path) -> Iterator[None]:
    """In a folder, at a terminal of 80 columns, with the program of this environment."""
    before, environment = Path.cwd(), dict(os.environ)
    os.chdir(folder)
    path = f"{Path(sys.executable).parent}{os.pathsep}{environment['PATH']}"
    os.environ.update(COLUMNS="80", NO_COLOR="1", PATH=path)
    try:
        yield
    finally:
        os.chdir(before)
        os.environ.clear()
        os.environ.update(environment)


def _lines(body: str) -> list[str]:
    """The lines of a block; a backslash at the end of one continues it."""
    return body.replace("\\\n", " ").splitlines()


def _in_process(arguments: list[str]) -> tuple[str, object]:
    """What a terminal of 80 columns would show, and the exit code."""
    printed, said = io.StringIO(), io.StringIO()
    code: object = 0
    with contextlib.redirect_stdout(printed), contextlib.redirect_stderr(said):
        try:
            main(arguments)
        except SystemExit as end:
            code = end.code
    if code in (0, None):  # remarks on stderr are not the page's subject
        return printed.getvalue(), 0
    lines = [textwrap.wrap(line, 80) for line in said.getvalue().splitlines()]
    return printed.getvalue() + "".join(f"{part}\n" for line in lines for part in line), code


def _in_shell(line: str) -> str:
    bash = ["bash", "-euo", "pipefail", "-c", line]
    done = subprocess.run(bash, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{line}: {done.stderr}"
    return done.stdout


def _update(page: Path, servers: Servers) -> None:
    text = page.read_text(encoding="utf-8")
    with tempfile.TemporaryDirectory() as folder, at(Path(folder)):
        for block, now in differences(text, Reader(text, Path(folder), servers)):
            text = text.replace(f"```{block.kind}\n{block.body}```", f"```{block.kind}\n{now}```")
    page.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    from tests.docs.servers import KnownServers

    with KnownServers() as known:
        for name in sys.argv[1:]:
            if name != "--update":
                _update(Path(name), known)
