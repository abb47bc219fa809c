"""An adapter of your own: SQLite as an inverted index, with exact scores, in 400 lines.

docs/writing-an-adapter.md explains it; `tests/docs/test_adapter.py` runs the contract suite on it.
Each file holds one collection.
"""

from __future__ import annotations

import asyncio
import json
import sqlite3
import sys
import tempfile
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from splade_connectors import (
    ConfigurationError,
    Document,
    SparseEncoder,
    SparseVector,
    Store,
    Unavailable,
    load_encoder,
)
from splade_connectors.backends.feature_names import Keys
from splade_connectors.backends.grouping import Best, best_of_each, value_in
from splade_connectors.backends.protocol import Capabilities, Description, Opened, Plan
from splade_connectors.backends.targets import Target
from splade_connectors.documents import (
    DocumentId,
    EncodedDocument,
    Hit,
    Outcome,
    StoredDocument,
    Total,
    Written,
)
from splade_connectors.filters import Condition, matches
from splade_connectors.manifest import IndexManifest, parse_manifest
from splade_connectors.operations.session import Session
from splade_connectors.options import ConnectOptions, SearchOptions
from splade_connectors.runtime.effects import Request, Steps

TABLES = """
    create table if not exists documents (id text primary key, payload text not null);
    create table if not exists postings (term integer, id text, weight real,
        primary key (term, id)) without rowid;
    create index if not exists by_document on postings (id);
    create table if not exists manifests (name text primary key, content text not null);
"""
SEARCH = """
    with query as (select cast(key as integer) as term, value from json_each(?))
    select documents.id, sum(weight * value) as score, payload
    from query join postings using (term) join documents using (id)
    where fits(payload) group by documents.id order by score desc, documents.id limit ? offset ?
"""


@dataclass(frozen=True, slots=True)
class Statements(Request):
    """Statements to execute in one transaction; the response is the rows of the last.

    Attributes:
        statements: SQL with its parameters.
        written: whether it contains documents.
        filter: the condition behind `fits` in the SQL.
    """

    statements: tuple[tuple[str, tuple[Any, ...]], ...]
    written: bool = False
    filter: Condition | None = None

    @property
    def has_documents(self) -> bool:
        """Whether it contains documents, which no error may quote."""
        return self.written


def ask(sql: str, *values: Any) -> Steps[list[tuple[Any, ...]]]:
    """Execute one statement, as a step."""
    rows: list[tuple[Any, ...]] = yield Statements(((sql, values),))
    return rows


class SqliteBackend:
    """The verbs, as steps: they know what to ask, but not how it is sent or who waits."""

    hybrid = attaching = copying = text_indexing = None

    def __init__(self, location: str) -> None:
        self.location = location

    def describe(self) -> Steps[Description]:
        """Read the state of the collection, once."""
        tables = yield from ask("select 1 from sqlite_master where name = 'manifests'")
        rows = (yield from ask("select content from manifests")) if tables else []
        manifest = parse_manifest(json.loads(rows[0][0]), self.location) if rows else None
        return Description(
            capabilities=Capabilities(
                backend="sqlite", exists=bool(tables), has_field=bool(rows), created_by_us=True
            ),
            manifest=manifest,
            vector="splade",
        )

    def prepare(
        self,
        seen: Description,
        manifest: IndexManifest,
        dense_sizes: Mapping[str, int],
        *,
        write_manifest: bool,
    ) -> Steps[Description]:
        """Create what is absent."""
        if seen.capabilities.exists and not write_manifest:
            return seen
        create = (line for line in TABLES.split(";") if line.strip())
        yield Statements(tuple((line, ()) for line in create))
        return (yield from self.write_manifest(manifest))

    def write_manifest(self, manifest: IndexManifest) -> Steps[Description]:
        """Store the manifest beside the vectors, so that models are never mixed."""
        content = json.dumps(manifest.to_json())
        yield from ask("insert or replace into manifests values ('splade', ?)", content)
        return (yield from self.describe())

    def check(self, seen: Description, document: EncodedDocument) -> str | None:
        """Accept every document: SQLite has no limits that matter here."""
        return None

    def key_of(self, id: DocumentId) -> DocumentId:
        """The stored form of an id: a number and its digits name the same document."""
        return str(id)

    def size(self, document: EncodedDocument) -> int:
        """Estimate the size: sixteen bytes per term, and the text."""
        return 16 * len(document.vector.indices) + len(document.document.text)

    def write(
        self, seen: Description, documents: Sequence[EncodedDocument]
    ) -> Steps[list[Outcome]]:
        """Write documents; each replaces its stored version as a whole."""
        statements = [
            statement
            for document in documents
            for statement in (
                *_removal(document.id),
                _row(document.id, document.payload),
                *_postings(document.id, document.vector),
            )
        ]
        yield Statements(tuple(statements), written=True)
        return [Written(id=document.id) for document in documents]

    def update(
        self,
        seen: Description,
        id: DocumentId,
        payload: Mapping[str, Any],
        vector: SparseVector | None,
        marker: str,
    ) -> Steps[None]:
        """Merge fields; a new vector replaces the stored one."""
        (stored,) = yield from self.fetch(seen, [id], with_vectors=False)
        statements = [_row(id, {**stored.payload, **payload})]
        if vector is not None:
            statements = [_removal(id)[1], *statements, *_postings(id, vector)]
        yield Statements(tuple(statements), written=True)

    def refresh(self) -> Steps[None]:
        """Do nothing: a transaction is visible as soon as it ends."""
        yield from ()

    def plan(self, seen: Description, query: SparseVector, options: SearchOptions) -> Plan:
        """Compile the request of a search. Pure: nothing is sent."""
        if not isinstance(options.filter, Condition | None):
            raise ConfigurationError(
                "a filter of SQLite is a condition of splade_connectors.filters"
            )
        return Plan(
            path="sql",
            reason="a dot product is a sum over postings",
            method="SELECT",
            url_path="",
            body={"query": query, "options": options},
        )

    def search(self, plan: Plan) -> Steps[list[Hit]]:
        """Search: the database multiplies and adds."""
        query, options = plan.body["query"], plan.body["options"]
        weights = dict(zip(query.indices.tolist(), query.values.tolist(), strict=True))
        page = (-1, 0) if options.group_by else (options.limit, options.offset)
        values = (json.dumps(weights), *page)
        rows = yield Statements(((SEARCH, values),), filter=options.filter)
        payloads = {id: json.loads(payload) for id, _, payload in rows}
        best = [Best(id, score, None) for id, score, _ in rows]
        if path := options.group_by:  # the best hit of each value, of all that match
            groups = {id: value_in(payload, path, id) for id, payload in payloads.items()}
            best = best_of_each([(hit.id, hit.score) for hit in best], groups)
            best = best[options.offset : options.offset + options.limit]
        return [
            Hit(
                id=hit.id,
                score=hit.score,
                payload=payloads[hit.id] if options.with_payload else {},
                group=hit.value,
                more=hit.more,
            )
            for hit in best
        ]

    def total(self, plan: Plan) -> Steps[Total]:
        """Count the matching documents, on all pages."""
        options = replace(plan.body["options"], offset=0, limit=2**31 - 1)
        hits = yield from self.search(replace(plan, body={**plan.body, "options": options}))
        return Total(value=sum(hit.more + 1 for hit in hits))

    def fetch(
        self,
        seen: Description,
        ids: Sequence[DocumentId],
        *,
        with_vectors: bool,
        fields: Sequence[str] | None = None,
    ) -> Steps[list[StoredDocument]]:
        """Documents in the requested order; a server could fetch only `fields`."""
        names = json.dumps([str(id) for id in ids])
        rows = yield from ask(
            """select id, payload, (select json_group_array(json_array(term, weight))
               from postings where postings.id = documents.id)
               from documents where id in (select value from json_each(?))""",
            names,
        )
        found = {id: (json.loads(payload), json.loads(terms)) for id, payload, terms in rows}
        return [
            StoredDocument(
                id=str(id),
                payload=found[str(id)][0],
                vector=SparseVector.from_pairs(found[str(id)][1])[0] if with_vectors else None,
            )
            for id in ids
            if str(id) in found
        ]

    def present(self, seen: Description, ids: Sequence[DocumentId]) -> Steps[set[DocumentId]]:
        """The ids that exist."""
        found = yield from self.fetch(seen, ids, with_vectors=False)
        there = {document.id for document in found}
        return {id for id in ids if str(id) in there}

    def delete(self, seen: Description, ids: Sequence[DocumentId]) -> Steps[None]:
        """Remove documents; absent ones are not an error."""
        yield Statements(tuple(statement for id in ids for statement in _removal(id)))

    def documents(self, seen: Description) -> Steps[int]:
        """Count the documents."""
        return int((yield from ask("select count(*) from documents"))[0][0])

    def count(self, seen: Description) -> Steps[int]:
        """Count the documents with a vector: here all of them, if only an empty one."""
        return (yield from self.documents(seen))


class SqliteClient:
    """The sender: one connection to one file, for one thread at a time.

    Args:
        path: path of the file, which is created if it does not exist.
    """

    def __init__(self, path: str) -> None:
        self._connection = sqlite3.connect(path, check_same_thread=False)
        self._turn = threading.Lock()

    def send(self, request: Statements) -> list[tuple[Any, ...]]:
        """Execute a request and wait for it."""

        def fits(payload: str) -> bool:
            return request.filter is None or matches(request.filter, json.loads(payload))

        rows: list[tuple[Any, ...]] = []
        try:
            with self._turn, self._connection:
                self._connection.create_function("fits", 1, fits)
                for sql, values in request.statements:
                    rows = self._connection.execute(sql, values).fetchall()
        except sqlite3.OperationalError as error:  # locked or busy: will be retried
            raise Unavailable(f"SQLite is not available: {error}") from error
        return rows

    async def asend(self, request: Statements) -> list[tuple[Any, ...]]:
        """The same, awaited."""
        return await asyncio.to_thread(self.send, request)

    def close(self) -> None:
        """Close the file."""
        self._connection.close()

    async def aclose(self) -> None:
        """The same, awaited."""
        self.close()


class SqliteAdapter:
    """The class that the entry point names: `sqlite = "sqlite_adapter:SqliteAdapter"`."""

    client_modules = ("sqlite3",)

    @staticmethod
    def open(target: Target, keys: Keys, options: ConnectOptions, *, asynchronous: bool) -> Opened:
        """Open "sqlite:PATH"."""
        client = SqliteClient(target.path)
        return Opened(
            backend=SqliteBackend(str(target)),
            send=client.asend if asynchronous else client.send,
            close=client.aclose if asynchronous else client.close,
        )

    @staticmethod
    def wrap(
        client: Any, target: Target, keys: Keys, options: ConnectOptions, *, asynchronous: bool
    ) -> Opened:
        """Refuse clients: a connection is a file, so open that instead."""
        raise ConfigurationError("name the file instead of passing a connection: 'sqlite:PATH'")


def open_store(path: str, encoder: SparseEncoder) -> Store:
    """Open a store, as `connect("sqlite:PATH")` does once the entry point is installed."""
    target = Target(scheme="sqlite", path=path)
    options = ConnectOptions()
    opened = SqliteAdapter.open(target, Keys(lambda: encoder), options, asynchronous=False)
    return Store(Session(opened.backend, lambda: encoder, None, False), opened, None)


def _removal(id: DocumentId) -> tuple[tuple[str, tuple[Any, ...]], ...]:
    return (
        ("delete from documents where id = ?", (str(id),)),
        ("delete from postings where id = ?", (str(id),)),
    )


def _row(id: DocumentId, payload: Mapping[str, Any]) -> tuple[str, tuple[Any, ...]]:
    return "insert or replace into documents values (?, ?)", (str(id), json.dumps(payload))


def _postings(id: DocumentId, vector: SparseVector) -> list[tuple[str, tuple[Any, ...]]]:
    terms = json.dumps(list(zip(vector.indices.tolist(), vector.values.tolist(), strict=True)))
    sql = """insert into postings
        select json_extract(value, '$[0]'), ?, json_extract(value, '$[1]') from json_each(?)"""
    return [(sql, (str(id), terms))]


def main(path: str) -> None:
    """Index, search and explain."""
    with open_store(path, load_encoder()) as store:
        store.index(
            [
                Document(id="moon", text="The Moon turns once while it goes round the Earth."),
                Document(id="bread", text="Yeast makes dough rise by giving off gas."),
            ]
        )
        for hit in store.search("lunar orbit"):
            print(f"{hit.score:.2f}", hit.id, hit.payload["text"])


if __name__ == "__main__":
    if len(sys.argv) > 1:
        main(sys.argv[1])
    else:
        with tempfile.TemporaryDirectory() as folder:
            main(f"{folder}/articles.db")
