"""Fixtures that give tests a server: one of yours, or one that is started at its first use.

| fixture               | server                     | to use yours, set               |
|-----------------------|----------------------------|---------------------------------|
| elasticsearch_url     | Elasticsearch 9.3.2        | ELASTICSEARCH_URL               |
| rank_features_url     | Elasticsearch 7.17.29      | ELASTICSEARCH_RANK_FEATURES_URL |
| elasticsearch_8_url   | Elasticsearch 8.19.21      |                                 |
| secured_elasticsearch | Elasticsearch 9.3.2, users |                                 |
| qdrant_url            | none is started            | QDRANT_URL                      |

Without Java or Maven the tests that need a server are skipped, and the reason says what to
install. In CI (the variable CI is set) they fail, since nobody reads the reasons there.
A server that is started and does not come up is a failure everywhere.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from tests.servers.elasticsearch import ElasticsearchServer
from tests.servers.errors import ServerUnavailable
from tests.servers.opensearch import OpenSearchServer


@pytest.fixture(scope="session")
def elasticsearch_url() -> Iterator[str]:
    """Elasticsearch 9.3.2, or the server at `$ELASTICSEARCH_URL`."""
    with _url_of("9.3.2", variable="ELASTICSEARCH_URL") as url:
        yield url


@pytest.fixture(scope="session")
def rank_features_url() -> Iterator[str]:
    """Elasticsearch 7.17.29, or the server at `$ELASTICSEARCH_RANK_FEATURES_URL`."""
    with _url_of("7.17.29", variable="ELASTICSEARCH_RANK_FEATURES_URL") as url:
        yield url


@pytest.fixture(scope="session")
def elasticsearch_8_url() -> Iterator[str]:
    """Elasticsearch 8.19.21."""
    with _started("8.19.21") as server:
        yield server.url


@pytest.fixture(scope="session")
def opensearch_url() -> Iterator[str]:
    """OpenSearch 3.6.0 with k-NN and neural search, or the server at `$OPENSEARCH_URL`."""
    if given := os.environ.get("OPENSEARCH_URL"):
        yield given
        return
    with skip_when_unavailable(", or set OPENSEARCH_URL"):
        server = OpenSearchServer.start()
    with server:
        yield server.url


@pytest.fixture(scope="session")
def secured_elasticsearch() -> Iterator[ElasticsearchServer]:
    """Elasticsearch 9.3.2 that asks for a password; see `ElasticsearchServer.users`."""
    with _started("9.3.2", secured=True) as server:
        yield server


@pytest.fixture(scope="session")
def qdrant_url() -> str:
    """The Qdrant at `$QDRANT_URL`: no package registry has a server that could be started."""
    url = os.environ.get("QDRANT_URL")
    if not url:
        pytest.skip("set QDRANT_URL to a Qdrant >= 1.18 to run this against a server")
    return url


@contextmanager
def skip_when_unavailable(instead: str = "") -> Iterator[None]:
    """Skip the test when the block finds no server to start; in CI, fail it.

    `instead` is added to the reason: what else the reader may do.
    """
    try:
        yield
    except ServerUnavailable as error:
        give_up = pytest.fail if os.environ.get("CI") else pytest.skip
        give_up(f"{error}{instead}")


@contextmanager
def _url_of(version: str, *, variable: str) -> Iterator[str]:
    if given := os.environ.get(variable):
        yield given
    else:
        with _started(version, instead=f", or set {variable}") as server:
            yield server.url


@contextmanager
def _started(
    version: str, *, secured: bool = False, instead: str = ""
) -> Iterator[ElasticsearchServer]:
    with skip_when_unavailable(instead):
        server = ElasticsearchServer.start(version, secured=secured)
    with server:
        yield server
