"""The address of a sparse field in an index, which all parts of a backend share."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from urllib.parse import quote

from splade_connectors.backends.feature_names import Keys
from splade_connectors.backends.protocol import Description
from splade_lucene.dialect import Dialect, Kind


@dataclass(frozen=True, kw_only=True, slots=True)
class IndexAddress:
    """An index and a sparse field in it.

    Another index or field has another address, and its own backend.

    Attributes:
        name: the users' name of the index, alias or data stream.
        field: the users' name of the sparse field; after a model swap it refers to another one.
        exactly: whether `field` is the stored name, never redirected.
        kind: type of the field; None takes the existing type, or the best that the server offers.
        dense: field that stores the documents' unnamed dense vector.
        keys: codec of the feature names.
        location: the target, for messages.
        dialect: of the server.
        bound: the index behind the alias, to which requests go; "" if they go to `name`.
        routing: payload field whose value routes an indexed document; "" if its id does.
    """

    name: str
    field: str
    exactly: bool = False
    kind: Kind | None
    dense: str
    keys: Keys = dataclasses.field(repr=False)
    location: str
    dialect: Dialect = dataclasses.field(repr=False)
    bound: str = ""
    routing: str = ""

    @property
    def index(self) -> str:
        """The name used in requests."""
        return self.bound or self.name

    @property
    def path(self) -> str:
        """The path of the index below the server's address."""
        return f"/{quote(self.index, safe='')}"

    def keys_in(self, seen: Description) -> Keys:
        """The codec of feature names in the index's style."""
        return self.keys.in_style(seen.capabilities.key_style)
