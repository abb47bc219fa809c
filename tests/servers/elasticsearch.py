"""Elasticsearch servers for the tests, from the builds that Elastic publishes to Maven Central.

    with ElasticsearchServer.start(version="9.3.2") as server:
        httpx.get(f"{server.url}/_cluster/health")

These builds are made for Elastic's own integration tests. They lack scripts, reindex,
the `rrf` and `linear` retrievers and, from 8.x on, the root endpoint: `GET /` answers 405.
"""

import shutil
import subprocess
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Literal, Self

from tests.servers import security
from tests.servers.cache import unpacked
from tests.servers.errors import ServerFailed
from tests.servers.java import java_home
from tests.servers.maven import fetch
from tests.servers.node import START_TIMEOUT_S, SearchNode, Settings
from tests.servers.process import run_as

_KEYSTORE_TIMEOUT_S = 60


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


class ElasticsearchServer(SearchNode):
    """A running Elasticsearch with a single node, on ports and in a folder of its own.

    `users` maps user names to passwords: empty unless the server is secured, and then `elastic`,
    who may do everything, and `reader`, who may only read `articles*`.
    """

    product = "Elasticsearch"
    program = "elasticsearch"
    variables = "ES"

    def __init__(self, distribution: Distribution, *, secured: bool = False) -> None:
        """Prepare the folder of a server; `start` is the way to get one that runs."""
        self.distribution = distribution
        self.users = security.new_passwords() if secured else {}
        super().__init__(distribution.version, distribution.java_home(), distribution.home())

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

        `heap` is in Java's notation, "1g" or "512m" (the default; `$SPLADE_TEST_HEAP` sets
        another). Raises `ServerUnavailable` when Java, Maven or the download is missing, and
        `ServerFailed` when the server ends or is not healthy within `timeout_s`.
        """
        return cls(DISTRIBUTIONS[version], secured=secured)._run(heap, timeout_s)

    def _configure(self, heap: str) -> None:
        super()._configure(heap)
        if self.users:
            self._add_to_keystore("bootstrap.password", self.users[security.ADMIN])

    def _add_to_configuration(self, config: Path) -> None:
        if self.users:
            security.write_users(config, self.users)

    def _settings(self) -> Settings:
        return super()._settings() | {"xpack.security.enabled": bool(self.users)}

    def _credentials(self) -> tuple[str, str] | None:
        password = self.users.get(security.ADMIN)
        return (security.ADMIN, password) if password else None

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
