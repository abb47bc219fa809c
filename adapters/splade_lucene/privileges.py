"""The privileges that a user of a secured Elasticsearch needs, checked before they are needed."""

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
    """Minimum privileges for a purpose [tested on 9.3.2, tests/integration/test_privileges.py].

    Attributes:
        index: on the index.
        cluster: on the cluster.
    """

    index: Sequence[str]
    cluster: Sequence[str] = ()


SEARCH = Privileges(index=("read", "view_index_metadata"))
# Without `maintenance` there is no refresh: documents become visible a second later.
INDEX = Privileges(index=("read", "view_index_metadata", "index"))
# `monitor` is for the version, which decides a new field's type.
CREATE = Privileges(
    index=("read", "view_index_metadata", "index", "create_index"), cluster=("monitor",)
)
# `manage` is for changing the mapping, `monitor` for the version.
ATTACH = Privileges(index=("read", "view_index_metadata", "index", "manage"), cluster=("monitor",))
# If the mapping is complete; `maintenance` is for the refresh, which `manage` would include.
ATTACH_AGAIN = Privileges(index=("read", "view_index_metadata", "index", "maintenance"))


def missing_privileges(index: str, needed: Privileges) -> Steps[list[str]]:
    """The privileges that this user lacks, such as "manage"; [] also without security.

    Args:
        index: name used in requests. Privileges on an alias apply to the index behind it, but those
            on the index do not apply to its alias.
        needed: the privileges to check.
    """
    asked = [{"names": [index], "privileges": list(needed.index)}]
    body = {"cluster": list(needed.cluster), "index": asked}
    try:
        answer = yield HttpRequest("POST", "/_security/user/_has_privileges", body)
    except (AccessDenied, ConfigurationError, NotFound, NotSupported, RequestRejected):
        return []  # no security, or no user: a missing privilege will show when it is needed
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
