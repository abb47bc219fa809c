"""Elasticsearch servers for the tests, from the builds that Elastic publishes to Maven Central.

    with ElasticsearchServer.start(version="9.3.2") as server:
        httpx.get(f"{server.url}/_cluster/health")

These builds are made for Elastic's own integration tests. They lack scripts, reindex,
the `rrf` and `linear` retrievers and, from 8.x on, the root endpoint: `GET /` answers 405.
"""

import atexit
import json
import os
import shutil
import subprocess
import tempfile
import time
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Literal, Self

import httpx

from tests.servers import security
from tests.servers.cache import unpacked
from tests.servers.errors import ServerFailed
from tests.servers.java import java_home
from tests.servers.maven import fetch
from tests.servers.process import ServerProcess, free_ports, run_as, server_account

START_TIMEOUT_S = 120.0

_KEYSTORE_TIMEOUT_S = 60
_POLL_S = 0.2


@dataclass(frozen=True)
class Module:
    """A jar to add to a build that comes without it."""

    name: str
    coordinate: str
    classname: str


@dataclass(frozen=True)
class Distribution:
    """A version of Elasticsearch, and what it needs.

    `kind` is the field type in which this build keeps SPLADE vectors.
    """

    version: str
    kind: Literal["sparse_vector", "rank_features"]
    java_minimum: int
    java_maximum: int | None = None
    modules: tuple[Module, ...] = ()

    @property
    def major(self) -> int:
        """9 for 9.3.2."""
        return int(self.version.split(".")[0])

    def java_home(self) -> Path:
        """The Java to run it on."""
        return java_home(self.java_minimum, self.java_maximum)

    def home(self) -> Path:
        """The unpacked server, complete with its modules; fetched at the first call."""
        group = "org.elasticsearch.distribution.integ-test-zip"
        archive = fetch(f"{group}:elasticsearch:{self.version}:zip")
        jars = {module: fetch(module.coordinate) for module in self.modules}
        name = "+".join([f"elasticsearch-{self.version}", *(module.name for module in jars)])
        return unpacked(archive, name, finish=partial(self._add_modules, jars))

    def _add_modules(self, jars: dict[Module, Path], home: Path) -> None:
        for module, jar in jars.items():
            folder = home / "modules" / module.name
            folder.mkdir()
            shutil.copy(jar, folder)
            descriptor = folder / "plugin-descriptor.properties"
            descriptor.write_text(self._descriptor(module), encoding="utf-8")

    def _descriptor(self, module: Module) -> str:
        properties = {
            "name": module.name,
            "description": f"{module.name}, added for tests",
            "version": self.version,
            "elasticsearch.version": self.version,
            "java.version": "1.8",
            "classname": module.classname,
            "has.native.controller": "false",
            "extended.plugins": "",
            "licensed": "false",
        }
        return "".join(f"{key}={value}\n" for key, value in properties.items())


# The one build with `rank_features`: the jar of that module is published for 7.x only.
_MAPPER_EXTRAS = Module(
    name="mapper-extras",
    coordinate="org.elasticsearch.plugin:mapper-extras-client:7.17.29",
    classname="org.elasticsearch.index.mapper.MapperExtrasPlugin",
)

DISTRIBUTIONS = {
    distribution.version: distribution
    for distribution in (
        Distribution("9.3.2", kind="sparse_vector", java_minimum=21),
        Distribution("8.19.21", kind="sparse_vector", java_minimum=17),
        Distribution(
            "7.17.29",
            kind="rank_features",
            java_minimum=17,
            java_maximum=17,  # the newest that it is known to run on; it does not know Java 25
            modules=(_MAPPER_EXTRAS,),
        ),
    )
}


class ElasticsearchServer:
    """A running server with a single node, on ports and in a folder of its own.

    `users` maps user names to passwords: empty unless the server is secured, and then `elastic`,
    who may do everything, and `reader`, who may only read `articles*`.
    """

    def __init__(self, distribution: Distribution, *, secured: bool = False) -> None:
        """Prepare the folder of a server; `start` is the way to get one that runs."""
        self.distribution = distribution
        self.users = security.new_passwords() if secured else {}
        self._account = server_account()
        self._java = distribution.java_home()
        self._home = distribution.home()
        self._port, self._transport_port = free_ports(2)
        self._folder = Path(tempfile.mkdtemp(prefix=f"elasticsearch-{distribution.version}-"))
        self._process: ServerProcess | None = None
        atexit.register(self.stop)

    @classmethod
    def start(
        cls,
        version: str = "9.3.2",
        *,
        secured: bool = False,
        heap: str | None = None,
        timeout_s: float = START_TIMEOUT_S,
    ) -> Self:
        """Start a version from `DISTRIBUTIONS` and wait until it is healthy.

        `heap` is in Java's notation, "512m" or "1g" (the default; `$SPLADE_TEST_HEAP` sets
        another). Raises `ServerUnavailable` when Java, Maven or the download is missing, and
        `ServerFailed` when the server ends or is not healthy within `timeout_s`.
        """
        server = cls(DISTRIBUTIONS[version], secured=secured)
        try:
            server._configure(heap or os.environ.get("SPLADE_TEST_HEAP", "1g"))
            server._launch(timeout_s)
        except BaseException:
            server.stop()
            raise
        return server

    @property
    def url(self) -> str:
        """Where the server listens. It stays the same over a restart."""
        return f"http://127.0.0.1:{self._port}"

    @property
    def version(self) -> str:
        """Such as "9.3.2"."""
        return self.distribution.version

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
        """End the server and remove its data. Once is enough, more do no harm."""
        atexit.unregister(self.stop)
        if self._process is not None:
            self._process.terminate()
            self._process = None
        shutil.rmtree(self._folder, ignore_errors=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def _configure(self, heap: str) -> None:
        """Write the configuration, and hand the folder to the account of the server."""
        config = self._folder / "config"
        shutil.copytree(self._home / "config", config)
        _write_jvm_options(config, heap)
        _write_settings(config, self._settings())
        for name in ("data", "logs", "tmp"):
            (self._folder / name).mkdir()
        if self.users:
            security.write_users(config, self.users)
        if self._account is not None:
            self._account.take_over(self._folder)
        if self.users:
            self._add_to_keystore("bootstrap.password", self.users[security.ADMIN])

    def _settings(self) -> dict[str, str | int | bool]:
        return {
            "cluster.name": self._folder.name,
            "discovery.type": "single-node",
            "path.data": str(self._folder / "data"),
            "path.logs": str(self._folder / "logs"),
            "http.host": "127.0.0.1",
            "http.port": self._port,
            "transport.host": "127.0.0.1",
            "transport.port": self._transport_port,
            "xpack.security.enabled": bool(self.users),
            # A full disk on the machine must not make the indices of the tests read-only.
            "cluster.routing.allocation.disk.threshold_enabled": False,
        }

    def _environment(self) -> dict[str, str]:
        """Nothing of ours but the path: Java and Elasticsearch obey many variables."""
        temporary = str(self._folder / "tmp")
        return {
            "PATH": os.environ["PATH"],
            "HOME": str(self._folder),
            "ES_JAVA_HOME": str(self._java),
            "ES_PATH_CONF": str(self._folder / "config"),
            "ES_TMPDIR": temporary,
            # Of the Java that starts the server, which leaves folders behind.
            "CLI_JAVA_OPTS": f"-Djava.io.tmpdir={temporary}",
        }

    def _add_to_keystore(self, name: str, value: str) -> None:
        result = subprocess.run(
            # --force creates the keystore without asking.
            [str(self._home / "bin" / "elasticsearch-keystore"), "add", "--force", "--stdin", name],
            input=value,
            env=self._environment(),
            cwd=self._folder,
            **run_as(self._account),
            check=False,
            capture_output=True,
            text=True,
            timeout=_KEYSTORE_TIMEOUT_S,
        )
        if result.returncode != 0:
            raise ServerFailed(f"cannot set {name}:\n{result.stdout}{result.stderr}")

    def _launch(self, timeout_s: float) -> None:
        self._process = ServerProcess(
            [str(self._home / "bin" / "elasticsearch")],
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

    def _is_healthy(self) -> bool:
        password = self.users.get(security.ADMIN)
        try:
            response = httpx.get(
                f"{self.url}/_cluster/health?wait_for_status=yellow&timeout=2s",
                auth=(security.ADMIN, password) if password else None,
                timeout=5.0,
                trust_env=False,  # no proxy of the machine can reach 127.0.0.1
            )
        except httpx.TransportError:
            return False
        return response.is_success

    def _failure(self, process: ServerProcess, what: str) -> ServerFailed:
        return ServerFailed(f"Elasticsearch {self.version} {what}:\n{process.log_tail()}")


def _write_jvm_options(config: Path, heap: str) -> None:
    """Set the heap, and drop the log of the garbage collector.

    7.17 writes that one into the folder it was unpacked to, which all its starts share.
    """
    options = config / "jvm.options"
    lines = options.read_text(encoding="utf-8").splitlines()
    kept = [line for line in lines if "gc.log" not in line]
    options.write_text("\n".join([*kept, f"-Xms{heap}", f"-Xmx{heap}", ""]), encoding="utf-8")


def _write_settings(config: Path, settings: dict[str, str | int | bool]) -> None:
    lines = [f"{name}: {json.dumps(value)}\n" for name, value in settings.items()]
    (config / "elasticsearch.yml").write_text("".join(lines), encoding="utf-8")
