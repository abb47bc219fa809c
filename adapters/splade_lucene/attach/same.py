"""Check that the index is still the one that was looked at."""

from __future__ import annotations

from typing import Any

from splade_connectors.errors import NotFound
from splade_connectors.runtime.effects import Steps
from splade_lucene.address import IndexAddress
from splade_lucene.answers import asked
from splade_lucene.requests import HttpRequest
from splade_lucene.schema import Schema


def check_same(address: IndexAddress, schema: Schema) -> Steps[None]:
    """Stop if someone has deleted or replaced the index since the look.

    An update would create a new index with its name, or write to an unrelated one with the same
    ids; sequence numbers do not distinguish two indices.

    Raises:
        NotFound: if the index was deleted or replaced.
    """
    params = {"filter_path": "*.settings.index.uuid"}
    request = HttpRequest("GET", f"{address.path}/_settings/index.uuid", None, params)
    try:
        uuids = yield from asked(request, _uuids, address)
    except NotFound:
        uuids = {}
    if uuids.get(schema.index) != schema.uuid:
        raise NotFound(
            f"{address.location}: someone deleted or replaced the index {schema.index} during the "
            "run, which ends here: any index that has its name now was not touched"
        )


def check_still(address: IndexAddress, before: Schema, now: Schema) -> None:
    """Stop if the mapping that was changed belongs to another index.

    Raises:
        NotFound: if it does.
    """
    if (before.index, before.uuid) != (now.index, now.uuid):
        raise NotFound(
            f"{address.location}: someone replaced the index {before.index} while its mapping was "
            "being changed, so the run ends here: the index that has its name now may have got the "
            "fields and the manifest, but no vectors"
        )


def _uuids(answer: Any) -> dict[str, str]:
    return {
        index: str(found["settings"]["index"]["uuid"]) for index, found in (answer or {}).items()
    }
