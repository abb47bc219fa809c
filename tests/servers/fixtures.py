"""Fixtures that give tests a server: one of yours, or one that is started at its first use.

All processes of a run share them (`tests.servers.shared`): names on a server are a test's own.

| fixture               | server                     | to use yours, set               |
|-----------------------|----------------------------|---------------------------------|
| elasticsearch_url     | Elasticsearch 9.3.2        | ELASTICSEARCH_URL               |
| rank_features_url     | Elasticsearch 7.17.29      | ELASTICSEARCH_RANK_FEATURES_URL |
| elasticsearch_8_url   | Elasticsearch 8.19.21      |                                 |
| secured_elasticsearch | Elasticsearch 9.3.2, users |                                 |
| mortal                | Elasticsearch 9.3.2, own   |                                 |
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
from tests.servers.shared import VARIABLE, Owner, SharedServer, shared_server

_owner = pytest.StashKey[Owner]()


def pytest_configure(config: pytest.Config) -> None:
    """The process that runs or distributes the tests owns the servers, unless somebody does."""
    if VARIABLE not in os.environ:
        owner = config.stash[_owner] = Owner()
        owner.__enter__()
        os.environ[VARIABLE] = owner.address


def pytest_unconfigure(config: pytest.Config) -> None:
    """The servers end with the tests."""
    if owner := config.stash.get(_owner, None):
        del os.environ[VARIABLE]
        owner.__exit__()


@pytest.fixture(scope="session")
def elasticsearch_url() -> str:
    """Elasticsearch 9.3.2, or the server at `$ELASTICSEARCH_URL`."""
    return _url_of("9.3.2", variable="ELASTICSEARCH_URL")


@pytest.fixture(scope="session")
def rank_features_url() -> str:
    """Elasticsearch 7.17.29, or the server at `$ELASTICSEARCH_RANK_FEATURES_URL`."""
    return _url_of("7.17.29", variable="ELASTICSEARCH_RANK_FEATURES_URL")


@pytest.fixture(scope="session")
def elasticsearch_8_url() -> str:
    """Elasticsearch 8.19.21."""
    return _shared("8.19.21").url


@pytest.fixture(scope="session")
def opensearch_url() -> str:
    """OpenSearch 3.6.0 with k-NN and neural search, or the server at `$OPENSEARCH_URL`."""
    return _url_of("opensearch", variable="OPENSEARCH_URL")


@pytest.fixture(scope="session")
def secured_elasticsearch() -> SharedServer:
    """Elasticsearch 9.3.2 that asks for a password; see `SharedServer.users`."""
    return _shared("9.3.2-secured")


@pytest.fixture(scope="session")
def mortal() -> Iterator[ElasticsearchServer]:
    """Elasticsearch 9.3.2 of this process alone, which tests may kill, fill and configure.

    They leave it running and as it was. `tests.sharing` keeps them in one process.
    """
    with skip_when_unavailable():
        server = ElasticsearchServer.start(heap="512m")
    with server:
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


def _url_of(name: str, *, variable: str) -> str:
    return os.environ.get(variable) or _shared(name, f", or set {variable}").url


def _shared(name: str, instead: str = "") -> SharedServer:
    with skip_when_unavailable(instead):
        return shared_server(name)
