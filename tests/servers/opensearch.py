"""OpenSearch servers for the tests, from the builds that the project publishes to Maven Central.

    with OpenSearchServer.start() as server:
        httpx.get(f"{server.url}/_cluster/health")

These builds are complete but for the plugins. Those for dense vectors and hybrid queries are
installed into the unpacked server, once.
"""

import os
import subprocess
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Self

from tests.servers.cache import unpacked
from tests.servers.errors import ServerUnavailable
from tests.servers.java import java_home
from tests.servers.maven import fetch
from tests.servers.node import START_TIMEOUT_S, SearchNode

_INSTALL_TIMEOUT_S = 120


@dataclass(frozen=True)
class OpenSearchDistribution:
    """A version of OpenSearch with its plugins, whose versions have a fourth number."""

    version: str
    java_minimum: int
    plugins: tuple[str, ...]

    def java_home(self) -> Path:
        """The Java to run it on."""
        return java_home(self.java_minimum)

    def home(self) -> Path:
        """The unpacked server, complete with its plugins; fetched at the first call."""
        group = "org.opensearch.distribution.integ-test-zip"
        archive = fetch(f"{group}:opensearch:{self.version}:zip")
        found = [
            fetch(f"org.opensearch.plugin:{plugin}:{self.version}.0:zip") for plugin in self.plugins
        ]
        # No "+" in it: as Java's policy files read an address, that is a space.
        name = "-with-".join([f"opensearch-{self.version}", *self.plugins])
        return unpacked(archive, name, finish=partial(self._install, found))

    def _install(self, plugins: list[Path], home: Path) -> None:
        """In this order: neural-search builds upon opensearch-knn."""
        command = [str(home / "bin" / "opensearch-plugin"), "install", "--batch"]
        result = subprocess.run(
            [*command, *(path.as_uri() for path in plugins)],
            env={"PATH": os.environ["PATH"], "OPENSEARCH_JAVA_HOME": str(self.java_home())},
            check=False,
            capture_output=True,
            text=True,
            timeout=_INSTALL_TIMEOUT_S,
        )
        if result.returncode != 0:
            raise ServerUnavailable(f"cannot install plugins:\n{result.stdout}{result.stderr}")


OPENSEARCH = OpenSearchDistribution(
    "3.6.0", java_minimum=21, plugins=("opensearch-knn", "neural-search")
)


class OpenSearchServer(SearchNode):
    """A running OpenSearch with a single node and no security plugin."""

    product = "OpenSearch"
    program = "opensearch"
    variables = "OPENSEARCH"

    def __init__(self, distribution: OpenSearchDistribution) -> None:
        """Prepare the folder of a server; `start` is the way to get one that runs."""
        super().__init__(distribution.version, distribution.java_home(), distribution.home())

    @classmethod
    def start(cls, *, heap: str | None = None, timeout_s: float = START_TIMEOUT_S) -> Self:
        """Start 3.6.0 and wait until it is healthy. As `ElasticsearchServer.start`."""
        return cls(OPENSEARCH)._run(heap, timeout_s)
