"""Whether the index is still the one that was looked at."""

from __future__ import annotations

from typing import Any

from splade_connectors.errors import NotFound
from splade_connectors.runtime.effects import Steps
from splade_lucene.address import IndexAddress
from splade_lucene.answers import asked
from splade_lucene.requests import HttpRequest
from splade_lucene.schema import Schema


def check_same(address: IndexAddress, schema: Schema) -> Steps[None]:
    """Stop where the index was deleted or replaced since.

    An update would make a new index of its name, or write to a stranger with the same ids;
    sequence numbers do not tell two indices apart.

    Raises:
        NotFound: saying so.
    """
    params = {"filter_path": "*.settings.index.uuid"}
    request = HttpRequest("GET", f"{address.path}/_settings/index.uuid", None, params)
    try:
        uuids = yield from asked(request, _uuids, address)
    except NotFound:
        uuids = {}
    if uuids.get(schema.index) != schema.uuid:
        raise NotFound(
            f"{address.location}: the index {schema.index} was deleted or replaced during the "
            "run, which ends here: what has its name now was not touched"
        )


def check_still(address: IndexAddress, before: Schema, now: Schema) -> None:
    """Stop where the mapping that was changed is another index's.

    Raises:
        NotFound: saying so.
    """
    if (before.index, before.uuid) != (now.index, now.uuid):
        raise NotFound(
            f"{address.location}: the index {before.index} was replaced while its mapping was "
            "changed, so the run ends here: what has its name now may have got the fields and the "
            "manifest, but no vectors"
        )


def _uuids(answer: Any) -> dict[str, str]:
    return {
        index: str(found["settings"]["index"]["uuid"]) for index, found in (answer or {}).items()
    }
