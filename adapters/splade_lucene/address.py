"""Where an index is and what of it is meant: the one value that the parts of a backend share."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from urllib.parse import quote

from splade_connectors.backends.feature_names import Keys
from splade_connectors.backends.protocol import Description
from splade_lucene.dialect import Dialect, Kind


@dataclass(frozen=True, kw_only=True, slots=True)
class IndexAddress:
    """An index and the sparse field in it.

    A backend for another index or field is made again from another address.

    Attributes:
        name: of the index, alias or data stream, as its user calls it.
        field: name of the sparse field, as its user calls it; another one stands behind it after
            the model was replaced.
        exactly: this very field is meant, whatever its name stands for.
        kind: its type; None takes what is there, or the best that the server has.
        dense: field that documents' unnamed dense vectors go to.
        keys: feature names.
        location: the target, for messages.
        dialect: of the server.
        bound: the index behind the alias, to which requests are to go; "" where they go to `name`.
        routing: the payload field whose value routes a document that is indexed; "" if its id does.
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
        """What requests name."""
        return self.bound or self.name

    @property
    def path(self) -> str:
        """Of the index, below the server's address."""
        return f"/{quote(self.index, safe='')}"

    def keys_in(self, seen: Description) -> Keys:
        """Feature names in the style that the index has them."""
        return self.keys.in_style(seen.capabilities.key_style)
