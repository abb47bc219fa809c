"""The protocols that an adapter implements.

Verbs are steps (see `runtime.effects`), so one backend serves both the blocking and the async
store; each has its own thin sender.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Protocol

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
    Total,
)
from splade_connectors.forks import never_destroy_in_children
from splade_connectors.fusion.reference import LegRanking
from splade_connectors.fusion.request import FusionPath, HybridQuery
from splade_connectors.manifest import IndexManifest, KeyStyle
from splade_connectors.options import ConnectOptions, SearchOptions
from splade_connectors.runtime.effects import AsyncSend, Send, Steps
from splade_connectors.vectors import SparseVector

if TYPE_CHECKING:
    from splade_connectors.backends.attaching import AttachBackend, CopyBackend
    from splade_connectors.backends.text_indexing import TextIndexBackend


@dataclass(frozen=True, kw_only=True, slots=True)
class Capabilities:
    """What a store is and can do, read once and kept.

    Attributes:
        backend: "qdrant", "elasticsearch", …
        version: of the server, e.g. (9, 3, 2); empty if the store has none.
        exists: whether the collection or index exists.
        has_field: whether its sparse field exists.
        created_by_us: whether this package created the collection or index, or recorded that it
            was empty, so that everything in it was written by this package.
        key_style: how terms are named; without a manifest, derived from `term_names`.
        term_names: names of some stored terms, if nothing says which model wrote them; () if
            terms are numbers or none was found.
        rounding: how the store rounds weights.
        max_query_terms: maximum number of terms of a query; None for no limit.
        max_vocabulary: maximum number of distinct terms; None if any 32-bit number is one.
        empty_vectors: whether a document without terms can be stored.
        max_write_documents: maximum number of documents per write request; None for no limit.
        max_request_bytes: maximum size of a request in bytes, unless the server is configured
            otherwise; None for no limit.
        details: further facts for `inspect`, in display order.
    """

    backend: str
    version: tuple[int, ...] = ()
    exists: bool = False
    has_field: bool = False
    created_by_us: bool = False
    key_style: KeyStyle = "id"
    term_names: tuple[str, ...] = ()
    rounding: Rounding = "float32"
    max_query_terms: int | None = None
    max_vocabulary: int | None = None
    empty_vectors: bool = True
    max_write_documents: int | None = None
    max_request_bytes: int | None = None
    details: Mapping[str, Any] = field(default_factory=dict)

    @property
    def version_text(self) -> str:
        """The version as "9.3.2"."""
        return version_text(self.version)


@dataclass(frozen=True, kw_only=True, slots=True)
class Plan:
    """The request that a search sends, and why it has this form.

    Attributes:
        path: how the search is executed, e.g. "rank_feature" or "sparse_vector".
        reason: why this path was chosen.
        method: HTTP method, or the name of the embedded engine's call.
        url_path: path of the request below the server's address.
        body: the JSON body, ready to paste into curl.
        warnings: what was changed, e.g. query terms omitted.
        fused_by: for a hybrid search: "server" in this request, or "client" from the responses.
        not_taken: for a hybrid search: better paths, and why they were not taken.
        approximate: for a hybrid search: legs whose candidate window comes from a graph (HNSW),
            which may miss a neighbour. Everything else is exact, on every path.
        lines: the body as sent, if that is one JSON object per line (NDJSON); else ().
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
        """The body as the server takes it: JSON, or one JSON object per line."""
        if self.lines:
            return "".join(f"{json.dumps(line, ensure_ascii=False)}\n" for line in self.lines)
        return json.dumps(self.body, indent=2, ensure_ascii=False)


def _needs_nothing(path: str) -> bool:
    return True


@dataclass(frozen=True, kw_only=True, slots=True)
class Description:
    """The result of one look at the server.

    A verb looks once and passes this value on. It looks again only if someone else may have changed
    what it saw, and a comment there names who.

    Attributes:
        capabilities: what the store is and can do.
        manifest: the manifest stored with the index, or None.
        vector: the vector or field that the users' name refers to; after a model swap it differs
            from that name.
        schema: the adapter's own view of the collection or index; None if it does not exist.
        knows: whether the look covers the field of a path, so that a condition can be compiled; if
            not, the field may have been added since.
    """

    capabilities: Capabilities
    manifest: IndexManifest | None
    vector: str
    schema: Any = None
    knows: Callable[[str], bool] = field(default=_needs_nothing, repr=False, compare=False)


class Backend(Protocol):
    """The verbs of one collection or index, as steps.

    It returns what it learns about the server and keeps none of it. Its parts hold verbs that not
    every store supports.
    """

    location: str
    """The target, for messages; never contains a secret."""

    @property
    def hybrid(self) -> HybridBackend | None:
        """The verbs of a search with several legs; None if the store cannot combine them."""

    @property
    def attaching(self) -> AttachBackend | None:
        """The verbs that attach vectors to existing documents; None if the store cannot."""

    @property
    def copying(self) -> CopyBackend | None:
        """The verbs that copy a collection; None if the store cannot."""

    @property
    def text_indexing(self) -> TextIndexBackend | None:
        """The verbs for text indexes that BM25 needs; None if the store has no such indexes."""

    def describe(self) -> Steps[Description]:
        """Read version, schema and manifest.

        Raises:
            SchemaConflict: if the sparse field exists, but with a type that cannot hold or score
                SPLADE vectors exactly.
        """

    def prepare(
        self,
        seen: Description,
        manifest: IndexManifest,
        dense_sizes: Mapping[str, int],
        *,
        write_manifest: bool,
    ) -> Steps[Description]:
        """Create what is missing (collection, field, manifest); never drop or recreate anything.

        Args:
            seen: the result of `describe`.
            manifest: the manifest to store.
            dense_sizes: name -> dimensions of the dense vectors of a new collection.
            write_manifest: whether to store `manifest`; False if it is already stored.

        Returns:
            The resulting description: `seen` itself if nothing was created.
        """

    def write_manifest(self, manifest: IndexManifest) -> Steps[Description]:
        """Replace the stored manifest; change nothing else."""

    def check(self, seen: Description, document: EncodedDocument) -> str | None:
        """Why the store would refuse this document; None if no reason is known.

        Called with an empty vector before the document is encoded, and again with its own.
        """

    def key_of(self, id: DocumentId) -> DocumentId:
        """The key under which the store keeps a document: equal for ids of the same document."""

    def size(self, document: EncodedDocument) -> int:
        """Approximate size of the document in a request, in bytes."""

    def write(
        self, seen: Description, documents: Sequence[EncodedDocument]
    ) -> Steps[list[Outcome]]:
        """Store whole documents, replacing those with the same ids; one outcome each."""

    def update(
        self,
        seen: Description,
        id: DocumentId,
        payload: Mapping[str, Any],
        vector: SparseVector | None,
        marker: str,
    ) -> Steps[None]:
        """Change these fields of a stored document and, if given, its sparse vector and marker."""

    def refresh(self) -> Steps[None]:
        """Make all writes visible and durable."""

    def plan(self, seen: Description, query: SparseVector, options: SearchOptions) -> Plan:
        """The request for a query with at least one term. Pure."""

    def search(self, plan: Plan) -> Steps[list[Hit]]:
        """Send the request of a plan."""

    def total(self, plan: Plan) -> Steps[Total]:
        """The number of documents that the plan's query matches, regardless of its page."""

    def fetch(
        self,
        seen: Description,
        ids: Sequence[DocumentId],
        *,
        with_vectors: bool,
        fields: Sequence[str] | None = None,
    ) -> Steps[list[StoredDocument]]:
        """The documents with these ids that exist, in the order of `ids`.

        Args:
            seen: the result of `describe`.
            ids: of the documents.
            with_vectors: whether to return their sparse vectors.
            fields: payload paths that the caller needs, or None for all; more may be returned.
        """

    def present(self, seen: Description, ids: Sequence[DocumentId]) -> Steps[set[DocumentId]]:
        """The ids that exist; nothing else of the documents is read."""

    def delete(self, seen: Description, ids: Sequence[DocumentId]) -> Steps[None]:
        """Delete the documents with these ids; ignore ids that do not exist."""

    def documents(self, seen: Description) -> Steps[int]:
        """Number of documents, with or without a sparse vector."""

    def count(self, seen: Description) -> Steps[int]:
        """Number of documents that have a sparse vector, empty ones included."""


class HybridBackend(Protocol):
    """The part of a backend that combines several legs."""

    def dense_field(self, seen: Description, asked: str | None) -> str:
        """The dense field of a leg: the one given, the target's, or the only one.

        Raises:
            ConfigurationError: if there is none, or several without a choice.
        """

    def beside(self, vector: str | None, keys: Keys) -> Backend:
        """A backend of the same collection with another sparse vector or field, of any author.

        Args:
            vector: name of the sparse vector or field; None for the target's.
            keys: codec of its feature names.
        """

    def sparse_place(self, seen: Description) -> Any:
        """What `plan` needs to know about the sparse vector of a backend made by `beside`.

        It is passed on as `ResolvedLeg.place`.
        """

    def plan(self, seen: Description, query: HybridQuery, path: FusionPath) -> Steps[Plan]:
        """The best request for this fusion that preserves its definition.

        Raises:
            NotSupported: if `path` is "server" and the server cannot fuse this, or no path can.
        """

    def search_fused(self, seen: Description, plan: Plan, query: HybridQuery) -> Steps[list[Hit]]:
        """Send the request of a plan that the server fuses; return the query's page."""

    def refused(self, plan: Plan) -> bool:
        """Remember that the server refused the plan's path; return whether another one exists."""

    def search_legs(self, seen: Description, query: HybridQuery) -> Steps[list[LegRanking]]:
        """The candidate window of every leg, by one request."""


@dataclass(frozen=True, kw_only=True, slots=True, weakref_slot=True, eq=False)
class Opened:
    """A backend with the sender that executes its requests.

    Attributes:
        backend: the verbs.
        send: executes one request: a function, or a coroutine function if opened for async.
        close: releases what was opened; does nothing for a client that the caller passed in.
        one_process: whether only the process that opened it may use it: a forked child cannot
            reopen it, and the adapter decides what the child may do with it.
    """

    backend: Backend
    send: Send | AsyncSend
    close: Any
    one_process: bool = False

    def __post_init__(self) -> None:
        # A client's destructor may wait for threads that a forked child does not have, or crash.
        never_destroy_in_children(self)


class Adapter(Protocol):
    """The object named by an entry point of the group `splade_connectors.adapters`."""

    client_modules: ClassVar[tuple[str, ...]]
    """Top-level modules whose client objects this adapter accepts, e.g. ("qdrant_client",)."""

    @staticmethod
    def open(target: Target, keys: Keys, options: ConnectOptions, *, asynchronous: bool) -> Opened:
        """Create a client for the target; nothing is sent yet."""

    @staticmethod
    def wrap(
        client: Any, target: Target, keys: Keys, options: ConnectOptions, *, asynchronous: bool
    ) -> Opened:
        """Use the caller's client; `target` carries the name and the parameters."""


def does_nothing(asynchronous: bool) -> Callable[[], Any]:
    """A `close` that does nothing, for a client that belongs to the caller."""

    def nothing() -> None:
        return None

    async def anothing() -> None:
        return None

    return anothing if asynchronous else nothing
