"""What a user of a secured Elasticsearch must be allowed, asked for before it is needed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from splade_connectors.errors import (
    AccessDenied,
    ConfigurationError,
    NotFound,
    NotSupported,
    RequestRejected,
)
from splade_connectors.runtime.effects import Steps
from splade_lucene.requests import HttpRequest


@dataclass(frozen=True, kw_only=True, slots=True)
class Privileges:
    """Least privileges for a purpose [proven on 9.3.2, tests/integration/test_privileges.py].

    Attributes:
        index: on the index.
        cluster: on the cluster.
    """

    index: Sequence[str]
    cluster: Sequence[str] = ()


SEARCH = Privileges(index=("read", "view_index_metadata"))
# Without `maintenance` there is no refresh: documents are visible a second later.
INDEX = Privileges(index=("read", "view_index_metadata", "index"))
# The version decides about a new field's type, here and below.
CREATE = Privileges(
    index=("read", "view_index_metadata", "index", "create_index"), cluster=("monitor",)
)
# `manage` is for the mapping, `monitor` tells the version on which a new field's type depends.
ATTACH = Privileges(index=("read", "view_index_metadata", "index", "manage"), cluster=("monitor",))
# Where the mapping is as it should be; `maintenance` is for the refresh, which `manage` includes.
ATTACH_AGAIN = Privileges(index=("read", "view_index_metadata", "index", "maintenance"))


def missing_privileges(index: str, needed: Privileges) -> Steps[list[str]]:
    """Those that this user lacks, such as "manage"; [] also where the server has no security.

    Args:
        index: as requests name it. Privileges on an alias hold for the index behind it, those on
            the index not for its alias.
        needed: for what is to be done.
    """
    asked = [{"names": [index], "privileges": list(needed.index)}]
    body = {"cluster": list(needed.cluster), "index": asked}
    try:
        answer = yield HttpRequest("POST", "/_security/user/_has_privileges", body)
    except (AccessDenied, ConfigurationError, NotFound, NotSupported, RequestRejected):
        return []  # no security, or no user of its own: what is not allowed shows itself
    try:
        return _lacking(answer)
    except (AttributeError, TypeError):
        return []  # a proxy may answer with anything


def _lacking(answer: Any) -> list[str]:
    cluster, indices = answer.get("cluster") or {}, answer.get("index") or {}
    lacking = [f"{name} (cluster)" for name, has in cluster.items() if not has]
    for granted in indices.values():
        lacking += [name for name, has in granted.items() if not has]
    return sorted(lacking)
