"""The part of a hybrid search that differs between the two servers: combining the legs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from splade_connectors.backends.feature_names import Keys
from splade_connectors.backends.protocol import Plan
from splade_connectors.documents import Hit
from splade_connectors.errors import RequestRejected
from splade_connectors.fusion.request import FusionPath, HybridQuery
from splade_connectors.runtime.effects import Steps
from splade_lucene.schema import Schema


class Fusing(Protocol):
    """The paths of one server, for one backend.

    It caches what it has read from the server (a licence, plugins) and what the server has refused
    since, so that no search asks twice.
    """

    def server(self, schema: Schema, place: Mapping[str, Any]) -> Steps[Any]:
        """The facts about the server that decide the path.

        Args:
            schema: of the index.
            place: the arguments of `compile.legs.Searched`.
        """

    def compile(self, query: HybridQuery, server: Any, keys: Keys, path: FusionPath) -> Plan:
        """The best request that preserves the fusion's definition. Pure."""

    def searches(self, query: HybridQuery, server: Any, keys: Keys) -> Sequence[Mapping[str, Any]]:
        """One search body per leg, for its candidate window. Pure."""

    def rescored(self, query: HybridQuery, hits: Sequence[Hit]) -> list[Hit]:
        """The hits of a fused search with the scores of the fusion's definition."""

    def is_past_the_end(self, query: HybridQuery, error: RequestRejected) -> bool:
        """Whether the server refused a page only because it starts after the last hit."""

    def refused(self, plan: Plan) -> bool:
        """Remember that the server refused the plan's path; return whether another one exists."""
