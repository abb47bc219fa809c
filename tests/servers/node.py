"""A server of the Elasticsearch family with a single node: how one is configured, started, ended.

Elasticsearch and OpenSearch differ in names of files and variables; the rest stands here.
"""

import atexit
import json
import os
import shutil
import tempfile
import time
from pathlib import Path
from typing import ClassVar, Self

import httpx

from tests.servers.errors import ServerFailed
from tests.servers.process import ServerProcess, free_ports, server_account

START_TIMEOUT_S = 120.0

_POLL_S = 0.2

# A start takes 60% of the CPU without the second compiler, whose code would pay off only after the
# tests, and memory that is not used need not be touched.
_SHORT_LIFE = ("-XX:TieredStopAtLevel=1", "-XX:-AlwaysPreTouch")

Settings = dict[str, str | int | bool]


class SearchNode:
    """A running server with a single node, on ports and in a folder of its own.

    Attributes:
        product: its name, for messages.
        program: name of its launcher and of its settings file.
        variables: what the names of its environment variables begin with.
        version: such as "9.3.2".
    """

    product: ClassVar[str]
    program: ClassVar[str]
    variables: ClassVar[str]

    def __init__(self, version: str, java: Path, home: Path) -> None:
        """Prepare the folder of a server; `start` of a subclass gives one that runs."""
        self.version = version
        self._account = server_account()
        self._java = java
        self._home = home
        self._port, self._transport_port = free_ports(2)
        self._folder = Path(tempfile.mkdtemp(prefix=f"{self.program}-{version}-"))
        self._process: ServerProcess | None = None
        atexit.register(self.stop)

    @property
    def url(self) -> str:
        """Where the server listens. It stays the same over a restart."""
        return f"http://127.0.0.1:{self._port}"

    def kill(self) -> None:
        """kill -9: the server can neither flush nor close anything. `restart` brings it back."""
        if self._process is not None:
            self._process.kill()

    def restart(self, timeout_s: float = START_TIMEOUT_S) -> None:
        """Start again on the same data and ports, after ending the server if it still runs."""
        if self._process is not None:
            self._process.terminate()
        self._launch(timeout_s)

    def stop(self) -> None:
        """End the server and remove its data. Once is enough, more do no harm.

        At once: what it would do for its data at leisure is in vain.
        """
        atexit.unregister(self.stop)
        if self._process is not None:
            self._process.kill()
            self._process = None
        shutil.rmtree(self._folder, ignore_errors=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def _run(self, heap: str | None, timeout_s: float) -> Self:
        """Configure and launch; whatever goes wrong, nothing is left behind."""
        try:
            self._configure(heap or os.environ.get("SPLADE_TEST_HEAP", "512m"))
            self._launch(timeout_s)
        except BaseException:
            self.stop()
            raise
        return self

    def _configure(self, heap: str) -> None:
        """Write the configuration, and hand the folder to the account of the server."""
        config = self._folder / "config"
        shutil.copytree(self._home / "config", config)
        _write_jvm_options(config, heap)
        _write_settings(config / f"{self.program}.yml", self._settings())
        for name in ("data", "logs", "tmp"):
            (self._folder / name).mkdir()
        self._add_to_configuration(config)
        if self._account is not None:
            self._account.take_over(self._folder)

    def _add_to_configuration(self, config: Path) -> None:
        """Files that a subclass wants beside the settings."""

    def _settings(self) -> Settings:
        return {
            "cluster.name": self._folder.name,
            "discovery.type": "single-node",
            "path.data": str(self._folder / "data"),
            "path.logs": str(self._folder / "logs"),
            "http.host": "127.0.0.1",
            "http.port": self._port,
            "transport.host": "127.0.0.1",
            "transport.port": self._transport_port,
            # A full disk on the machine must not make the indices of the tests read-only.
            "cluster.routing.allocation.disk.threshold_enabled": False,
        }

    def _environment(self) -> dict[str, str]:
        """Nothing of ours but the path: Java and the servers obey many variables."""
        temporary = str(self._folder / "tmp")
        return {
            "PATH": os.environ["PATH"],
            "HOME": str(self._folder),
            f"{self.variables}_JAVA_HOME": str(self._java),
            f"{self.variables}_PATH_CONF": str(self._folder / "config"),
            f"{self.variables}_TMPDIR": temporary,
            # Of the Java that starts the server, which leaves folders behind.
            "CLI_JAVA_OPTS": f"-Djava.io.tmpdir={temporary}",
        }

    def _launch(self, timeout_s: float) -> None:
        self._process = ServerProcess(
            [str(self._home / "bin" / self.program)],
            folder=self._folder,
            env=self._environment(),
            log=self._folder / "console.log",
            account=self._account,
        )
        self._wait_until_healthy(self._process, timeout_s)

    def _wait_until_healthy(self, process: ServerProcess, timeout_s: float) -> None:
        give_up = time.monotonic() + timeout_s
        while not self._is_healthy():
            if (status := process.exit_status) is not None:
                raise self._failure(process, f"ended with status {status} before it was healthy")
            if time.monotonic() > give_up:
                raise self._failure(process, f"is not healthy after {timeout_s:g} s")
            time.sleep(_POLL_S)

    def _credentials(self) -> tuple[str, str] | None:
        """User and password to ask for its health with; None if there are none."""
        return None

    def _is_healthy(self) -> bool:
        try:
            response = httpx.get(
                f"{self.url}/_cluster/health?wait_for_status=yellow&timeout=2s",
                auth=self._credentials(),
                timeout=5.0,
                trust_env=False,  # no proxy of the machine can reach 127.0.0.1
            )
        except httpx.TransportError:
            return False
        return response.is_success

    def _failure(self, process: ServerProcess, what: str) -> ServerFailed:
        return ServerFailed(f"{self.product} {self.version} {what}:\n{process.log_tail()}")


def _write_jvm_options(config: Path, heap: str) -> None:
    """Set the heap, drop the log of the garbage collector, and do not prepare for a long life.

    7.17 writes that log into the folder it was unpacked to, which all its starts share.
    """
    options = config / "jvm.options"
    lines = options.read_text(encoding="utf-8").splitlines()
    kept = [line for line in lines if "gc.log" not in line]
    ours = [f"-Xms{heap}", f"-Xmx{heap}", *_SHORT_LIFE]
    options.write_text("\n".join([*kept, *ours, ""]), encoding="utf-8")


def _write_settings(path: Path, settings: Settings) -> None:
    lines = [f"{name}: {json.dumps(value)}\n" for name, value in settings.items()]
    path.write_text("".join(lines), encoding="utf-8")
