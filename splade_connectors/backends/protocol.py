"""What an adapter implements.

Its verbs are steps (see `runtime.effects`), so one backend serves both the blocking and the
awaiting store; beside it stands a thin sender for each.
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
    """What the store is and can do, read once and kept.

    Attributes:
        backend: "qdrant", "elasticsearch", …
        version: of the server, e.g. (9, 3, 2); empty if there is none to speak of.
        exists: whether the collection or index is there.
        has_field: whether its sparse field is there.
        created_by_us: whether this package made the collection or index, or found nothing in it,
            as it was recorded then: what is in it was written by us.
        key_style: how terms are named in it; where no manifest says so, by `term_names`.
        term_names: of some terms that are stored, where nothing says which model wrote them; ()
            where terms are numbers, or none was found.
        rounding: what becomes of a weight in it.
        max_query_terms: most terms of one query, None for no limit.
        max_vocabulary: most terms that it tells apart, None if any 32-bit number is one.
        empty_vectors: whether a document without terms can be stored.
        max_write_documents: most documents of one write request, None for no limit.
        details: further facts for `inspect`, in the order to show them.
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


def _needs_nothing(path: str) -> bool:
    return True


@dataclass(frozen=True, kw_only=True, slots=True)
class Description:
    """What one look at the server told.

    A verb looks once and hands this value on. It looks again only where somebody else may have
    changed what it saw, and says there who that would be.

    Attributes:
        capabilities: what the store is and can do.
        manifest: the one kept with the index, None without one.
        vector: the vector or field that our name stands for; another one than was asked for after
            the model was replaced.
        schema: the adapter's own view of the collection or index, None when it does not exist.
        knows: whether the look has what a condition on a path needs to know of the field; where it
            has not, the field may have come since.
    """

    capabilities: Capabilities
    manifest: IndexManifest | None
    vector: str
    schema: Any = None
    knows: Callable[[str], bool] = field(default=_needs_nothing, repr=False, compare=False)


class Backend(Protocol):
    """The verbs of one collection or index, as steps.

    What it learns of the server it returns; it keeps nothing of it. Its parts are further verbs
    that not every store has.
    """

    location: str
    """Where it is, for messages; never with a secret."""

    @property
    def hybrid(self) -> HybridBackend | None:
        """The verbs of a search by several legs, None when the store cannot combine them."""

    @property
    def attaching(self) -> AttachBackend | None:
        """The verbs of attaching to what others have written, None when the store cannot."""

    @property
    def copying(self) -> CopyBackend | None:
        """The verbs of copying a collection, None when the store cannot."""

    @property
    def text_indexing(self) -> TextIndexBackend | None:
        """The verbs of text indexes for BM25, None when the store has none."""

    def describe(self) -> Steps[Description]:
        """Read version, schema and manifest.

        Raises:
            SchemaConflict: when the sparse field is there, but of a kind that cannot hold or
                score SPLADE vectors exactly.
        """

    def prepare(
        self,
        seen: Description,
        manifest: IndexManifest,
        dense_sizes: Mapping[str, int],
        *,
        write_manifest: bool,
    ) -> Steps[Description]:
        """Create what is absent (collection, field, manifest); never drop or recreate anything.

        Args:
            seen: of `describe`.
            manifest: to be stored.
            dense_sizes: name -> dimensions of dense vectors, for a collection made now.
            write_manifest: whether `manifest` is to be stored; off where it already is.

        Returns:
            What is there now: `seen` itself when nothing had to be done, else another look.
        """

    def write_manifest(self, manifest: IndexManifest) -> Steps[Description]:
        """Store another manifest in place of the present one; nothing else is touched."""

    def check(self, seen: Description, document: EncodedDocument) -> str | None:
        """Why the store would refuse this document, None when nothing is known against it.

        Asked before the document is encoded, with an empty vector, and again with its own.
        """

    def key_of(self, id: DocumentId) -> DocumentId:
        """What the store tells documents apart by: equal for ids that are one document."""

    def size(self, document: EncodedDocument) -> int:
        """About how many bytes the document takes in a request."""

    def write(
        self, seen: Description, documents: Sequence[EncodedDocument]
    ) -> Steps[list[Outcome]]:
        """Store the documents whole, replacing those with the same ids; one outcome for each."""

    def update(
        self,
        seen: Description,
        id: DocumentId,
        payload: Mapping[str, Any],
        vector: SparseVector | None,
        marker: str,
    ) -> Steps[None]:
        """Change these fields and, where given, sparse vector and marker of a stored document."""

    def refresh(self) -> Steps[None]:
        """Make what was written visible and durable."""

    def plan(self, seen: Description, query: SparseVector, options: SearchOptions) -> Plan:
        """The request for a query of at least one term. Pure."""

    def search(self, plan: Plan) -> Steps[list[Hit]]:
        """Send the request of a plan."""

    def total(self, plan: Plan) -> Steps[Total]:
        """How many documents the query of a plan of this backend matches, whatever its page."""

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
            seen: of `describe`.
            ids: of the documents.
            with_vectors: with their sparse vectors.
            fields: paths that are needed of the payload, if not all of it; there may be more.
        """

    def present(self, seen: Description, ids: Sequence[DocumentId]) -> Steps[set[DocumentId]]:
        """Those of the ids that a document has; nothing else of it is read."""

    def delete(self, seen: Description, ids: Sequence[DocumentId]) -> Steps[None]:
        """Remove the documents with these ids; absent ones are no error."""

    def documents(self, seen: Description) -> Steps[int]:
        """Number of documents, with a sparse vector or without."""

    def count(self, seen: Description) -> Steps[int]:
        """Number of documents that have a sparse vector, empty ones included."""


class HybridBackend(Protocol):
    """The part of a backend that combines several legs."""

    def dense_field(self, seen: Description, asked: str | None) -> str:
        """The dense field of a leg: the one asked for, the target's, or the only one there is.

        Raises:
            ConfigurationError: when there is none, or several to choose from.
        """

    def beside(self, vector: str | None, keys: Keys) -> Backend:
        """The same collection by another of its sparse vectors or fields, which others wrote.

        Args:
            vector: its name; None for the target's.
            keys: name its terms.
        """

    def sparse_place(self, seen: Description) -> Any:
        """What `plan` has to know of the sparse vector in a look of `beside`.

        It is handed on as `ResolvedLeg.place`.
        """

    def plan(self, seen: Description, query: HybridQuery, path: FusionPath) -> Steps[Plan]:
        """The best request for this fusion that does not change its meaning.

        Raises:
            NotSupported: when `path` is "server" and the server cannot, or when nothing can.
        """

    def search_fused(self, seen: Description, plan: Plan, query: HybridQuery) -> Steps[list[Hit]]:
        """Send the request of a plan that the server fuses; the query's page of it."""

    def refused(self, plan: Plan) -> bool:
        """Remember that the server refused the path of a plan; whether there is another one."""

    def search_legs(self, seen: Description, query: HybridQuery) -> Steps[list[LegRanking]]:
        """The window of every leg, in one request."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Opened:
    """A backend with the sender that executes its requests.

    Attributes:
        backend: the verbs.
        send: executes one request: a function, or a coroutine function when opened for async.
        close: releases what was opened; does nothing for a client that the user handed in.
        one_process: whether it belongs to the process that opened it: the child of a fork gets no
            other one, and what the child may do with it is the adapter's to say.
    """

    backend: Backend
    send: Send | AsyncSend
    close: Any
    one_process: bool = False


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
