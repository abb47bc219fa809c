"""Real servers for the tests: fetched once, started when first needed, gone when the tests end.

The fixtures that tests use stand in `tests.servers.fixtures`; load them from the root conftest:

    pytest_plugins = ["tests.servers.fixtures"]

Nothing here needs a container engine. The servers are the builds that Elastic and the OpenSearch
project publish to Maven Central, so Java, Maven and a POSIX system are enough.
"""

from tests.servers.compat import client_for
from tests.servers.elasticsearch import DISTRIBUTIONS, Distribution, ElasticsearchServer
from tests.servers.errors import ServerFailed, ServerUnavailable
from tests.servers.opensearch import OpenSearchServer
from tests.servers.shared import SharedServer

__all__ = [
    "DISTRIBUTIONS",
    "Distribution",
    "ElasticsearchServer",
    "OpenSearchServer",
    "ServerFailed",
    "ServerUnavailable",
    "SharedServer",
    "client_for",
]
