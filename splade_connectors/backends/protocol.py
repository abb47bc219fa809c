"""What an adapter implements.

Its verbs are steps (see `runtime.effects`), so one backend serves both the blocking and the
awaiting store; beside it stands a thin sender for each.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal, Protocol, runtime_checkable

from splade_connectors.backends.feature_names import Keys
from splade_connectors.backends.rounding import Rounding
from splade_connectors.backends.targets import Target
from splade_connectors.backends.versions import version_text
from splade_connectors.documents import (
    DocumentId,
    EncodedDocument,
    Hit,
    Outcome,
    StoredDocument,
)
from splade_connectors.fusion.reference import LegRanking
from splade_connectors.fusion.request import FusionPath, HybridQuery
from splade_connectors.manifest import IndexManifest, KeyStyle
from splade_connectors.options import ConnectOptions, SearchOptions
from splade_connectors.runtime.effects import AsyncSend, Send, Steps
from splade_connectors.vectors import SparseVector


@dataclass(frozen=True, kw_only=True, slots=True)
class Capabilities:
    """What the store is and can do, read once and kept.

    Attributes:
        backend: "qdrant", "elasticsearch", …
        version: of the server, e.g. (9, 3, 2); empty where there is none to speak of.
        exists: whether the collection or index is there.
        has_field: whether its sparse field is there.
        key_style: how terms are named in it.
        rounding: what becomes of a weight in it.
        max_query_terms: most terms of one query, None for no limit.
        empty_vectors: whether a document without terms can be stored.
        integer_ids: whether 5 and "5" are different ids.
        documents: number of documents, None when not known.
        max_write_documents: most documents of one write request, None for no limit.
        details: further facts for `inspect`, in the order to show them.
    """

    backend: str
    version: tuple[int, ...] = ()
    exists: bool = False
    has_field: bool = False
    key_style: KeyStyle = "id"
    rounding: Rounding = "float32"
    max_query_terms: int | None = None
    empty_vectors: bool = True
    integer_ids: bool = True
    documents: int | None = None
    max_write_documents: int | None = None
    details: Mapping[str, Any] = field(default_factory=dict)

    @property
    def version_text(self) -> str:
        """The version as "9.3.2"."""
        return version_text(self.version)


@dataclass(frozen=True, kw_only=True, slots=True)
class Plan:
    """The request that a search sends, and why it looks as it does.

    Attributes:
        path: how it is executed, e.g. "rank_feature" or "sparse_vector".
        reason: why this path.
        method: HTTP method, or the name of the embedded engine's call.
        url_path: path of the request below the server's address.
        body: the JSON body, ready to paste into curl.
        warnings: what was changed, e.g. query terms left out.
        fused_by: of a hybrid search: "server" in this one request, or "client" from the answers.
        not_taken: of a hybrid search: better paths, and why they were not taken.
        approximate: of a hybrid search: legs whose windows a graph finds, which may miss a
            neighbour. Everything else is exact, on every path.
        lines: the body as it is sent, where that is a JSON object per line (NDJSON); else ().
    """

    path: str
    reason: str
    method: str
    url_path: str
    body: Mapping[str, Any]
    warnings: tuple[str, ...] = ()
    fused_by: Literal["", "server", "client"] = ""
    not_taken: tuple[str, ...] = ()
    approximate: tuple[str, ...] = ()
    lines: tuple[Mapping[str, Any], ...] = ()

    def as_sent(self) -> str:
        """The body as the server takes it: JSON, or a JSON object per line."""
        if self.lines:
            return "".join(f"{json.dumps(line, ensure_ascii=False)}\n" for line in self.lines)
        return json.dumps(self.body, indent=2, ensure_ascii=False)


class Backend(Protocol):
    """The verbs of one collection or index, as steps."""

    location: str
    """Where it is, for messages; never with a secret."""

    def describe(self) -> Steps[Capabilities]:
        """Read version and schema.

        Raises:
            SchemaConflict: when the sparse field is there, but of a kind that cannot hold or
                score SPLADE vectors exactly.
        """

    def read_manifest(self) -> Steps[IndexManifest | None]:
        """The manifest kept with the index."""

    def prepare(
        self, manifest: IndexManifest, dense_sizes: Mapping[str, int], *, write_manifest: bool
    ) -> Steps[None]:
        """Create what is absent (collection, field, manifest); never drop or recreate anything.

        Args:
            manifest: to be stored.
            dense_sizes: name -> dimensions of dense vectors, for a collection made now.
            write_manifest: whether `manifest` is to be stored; off where it already is.
        """

    def write_manifest(self, manifest: IndexManifest) -> Steps[None]:
        """Store another manifest in place of the present one; nothing else is touched."""

    def check(self, document: EncodedDocument) -> str | None:
        """Why the store would refuse this document, None when nothing is known against it."""

    def size(self, document: EncodedDocument) -> int:
        """About how many bytes the document takes in a request."""

    def write(self, documents: Sequence[EncodedDocument]) -> Steps[list[Outcome]]:
        """Store the documents whole, replacing those with the same ids; one outcome for each."""

    def update(
        self,
        id: DocumentId,
        payload: Mapping[str, Any],
        vector: SparseVector | None,
        marker: str,
    ) -> Steps[None]:
        """Change these fields and, where given, sparse vector and marker of a stored document."""

    def refresh(self) -> Steps[None]:
        """Make what was written visible and durable."""

    def plan(self, query: SparseVector, options: SearchOptions) -> Steps[Plan]:
        """The request for a query of at least one term."""

    def search(self, plan: Plan) -> Steps[list[Hit]]:
        """Send the request of a plan."""

    def fetch(
        self, ids: Sequence[DocumentId], *, with_vectors: bool
    ) -> Steps[list[StoredDocument]]:
        """The documents with these ids that exist, in the order of `ids`."""

    def delete(self, ids: Sequence[DocumentId]) -> Steps[None]:
        """Remove the documents with these ids; absent ones are no error."""

    def count(self) -> Steps[int]:
        """Number of documents that have a sparse vector, empty ones included."""


@runtime_checkable
class HybridBackend(Protocol):
    """The further verbs of a backend that can combine several legs."""

    def dense_field(self, asked: str | None) -> Steps[str]:
        """The dense field of a leg: the one asked for, the target's, or the only one there is.

        Raises:
            ConfigurationError: when there is none, or several to choose from.
        """

    def plan_hybrid(self, query: HybridQuery, path: FusionPath) -> Steps[Plan]:
        """The best request for this fusion that does not change its meaning.

        Raises:
            NotSupported: when `path` is "server" and the server cannot, or when nothing can.
        """

    def search_fused(self, plan: Plan, query: HybridQuery) -> Steps[list[Hit]]:
        """Send the request of a plan that the server fuses; the query's page of it."""

    def refused(self, plan: Plan) -> bool:
        """Remember that the server refused the path of a plan; whether there is another one."""

    def search_legs(self, query: HybridQuery) -> Steps[list[LegRanking]]:
        """The window of every leg, in one request."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Opened:
    """A backend with the sender that executes its requests.

    Attributes:
        backend: the verbs.
        send: executes one request: a function, or a coroutine function when opened for async.
        close: releases what was opened; does nothing for a client that the user handed in.
    """

    backend: Backend
    send: Send | AsyncSend
    close: Any


class Adapter(Protocol):
    """What an entry point of the group `splade_connectors.adapters` names."""

    client_modules: ClassVar[tuple[str, ...]]
    """Top-level modules whose client objects this adapter takes, e.g. ("qdrant_client",)."""

    @staticmethod
    def open(target: Target, keys: Keys, options: ConnectOptions, *, asynchronous: bool) -> Opened:
        """Make a client for the target. Nothing is sent yet."""

    @staticmethod
    def wrap(
        client: Any, target: Target, keys: Keys, options: ConnectOptions, *, asynchronous: bool
    ) -> Opened:
        """Use a client that the user has made; `target` carries name and parameters."""


def does_nothing(asynchronous: bool) -> Callable[[], Any]:
    """What closes a client that is the user's own."""

    def nothing() -> None:
        return None

    async def anothing() -> None:
        return None

    return anothing if asynchronous else nothing
