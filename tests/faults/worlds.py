"""The servers of these tests: filled by hand, read back by hand, checked against exact scores.

Nothing here goes through the proxy, and nothing but the search of `assert_complete` through the
code that is tested.
"""

from __future__ import annotations

import json
import uuid
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, ClassVar

import httpx

from splade_connectors import RetryOptions, Store, connect
from splade_connectors.backends.feature_names import encode_key
from splade_connectors.backends.rounding import Rounding, as_stored
from splade_connectors.testing import HashEncoder, assert_same_ranking, exact_scores
from splade_connectors.vectors import SparseVector
from tests.faults.documents import DENSE, DIMENSIONS, QUERIES, YEAR, Row, raw_json
from tests.faults.snapshot import Snapshot, differences

SPARSE = "splade"
_PAGE = 500
_TIMEOUT_S = 120.0


class World(ABC):
    """A server with a collection or an index of its own in it, which the owner makes.

    Args:
        url: of the server.

    Attributes:
        name: of the collection.
        ours: fields of a snapshot that are not the owner's.
        tolerances: field of a snapshot -> how far writing the document again may move it.
        refusal: body of an answer with 400, in the words of this server.
    """

    refusal: ClassVar[str]
    rounding: ClassVar[Rounding]
    ours: ClassVar[frozenset[str]]

    def __init__(self, url: str) -> None:
        self.url = url.rstrip("/")
        self.tolerances: dict[str, float] = {}
        self.encoder = HashEncoder()
        self._http = httpx.Client(base_url=self.url, timeout=_TIMEOUT_S, trust_env=False)
        self._made: list[str] = []
        self.renew()

    def renew(self) -> None:
        """Another collection, which is not there yet."""
        self.name = f"splade-faults-{uuid.uuid4().hex}"
        self._made.append(self.name)

    def target(self, url: str | None = None) -> str:
        """What to connect to: the server itself, or what stands before it."""
        return f"{(url or self.url).replace('http', self._scheme, 1)}/{self.name}"

    def open(self, url: str | None = None, *, retry: RetryOptions | None = None) -> Store:
        """A store with the encoder of these tests."""
        return connect(self.target(url), encoder=self.encoder, retry=retry)

    def assert_complete(self, rows: Sequence[Row], found: Snapshot | None = None) -> None:
        """Each row has the vector of its text, and searches give exact scores of just these rows.

        Args:
            rows: all that have a vector.
            found: a snapshot that was taken just now, to save taking another.
        """
        found = self.snapshot() if found is None else found
        encoded = self.encoder.encode_documents([row.text for row in rows])
        wrong = [
            f"{row.id}: {difference}"
            for row, vector in zip(rows, encoded, strict=True)
            for difference in self._vector_differences(found[row.id], vector)
        ]
        assert not wrong, f"{len(wrong)} vectors differ, such as {wrong[:3]}"
        with self.open() as store:
            assert store.count() == len(rows)
            for query in QUERIES:
                vector = self.encoder.encode_queries([query])[0]
                exact = exact_scores(vector, encoded, self.rounding).tolist()
                scores: dict[str | int, float] = dict(
                    zip([row.id for row in rows], exact, strict=True)
                )
                limit = len(rows) + 1
                hits = store.search(vector, limit=limit, with_payload=False)
                # Documents that are the owner's have the ids that the owner gave them.
                names = {self.point_of(row): row.id for row in rows}
                ranking = [(names.get(str(hit.id), str(hit.id)), hit.score) for hit in hits]
                assert_same_ranking(ranking, scores, limit)

    def point_of(self, row: Row) -> str:
        """What the server calls a row that the owner put there."""
        return row.id

    def close(self) -> None:
        """Remove all that was made."""
        for name in self._made:
            self._drop(name)
        self._http.close()

    @property
    @abstractmethod
    def has_dense(self) -> bool:
        """Whether dense vectors can be kept there."""

    @abstractmethod
    def create(self, rows: Sequence[Row]) -> None:
        """The owner makes the collection, without anything of ours, and puts these rows into it."""

    @abstractmethod
    def snapshot(self) -> Snapshot:
        """Everything that the server holds; a document that is there twice is an error."""

    @abstractmethod
    def expected(self, rows: Sequence[Row]) -> Snapshot:
        """What a snapshot shows of rows that were indexed, without what is ours."""

    @property
    @abstractmethod
    def _scheme(self) -> str:
        """Of targets, without "s" where that of the URL has one."""

    @abstractmethod
    def _vector_differences(self, fields: Mapping[str, Any], vector: SparseVector) -> Iterator[str]:
        """Between a document of a snapshot and the vector that it should have."""

    @abstractmethod
    def _drop(self, name: str) -> None:
        """Remove a collection, if it is there."""

    def call(self, method: str, path: str, body: Any = None) -> Any:
        """A request as one sends it by hand."""
        answer = self._http.request(method, path, json=body)
        assert answer.is_success, f"{method} {path}: {answer.status_code} {answer.text[:500]}"
        return answer.json()


class ElasticsearchWorld(World):
    """An index of Elasticsearch."""

    refusal = json.dumps({"error": {"type": "illegal_argument_exception", "reason": "malformed"}})
    rounding = "lucene"
    ours = frozenset({SPARSE, f"{SPARSE}_marker"})

    def __init__(self, url: str) -> None:
        super().__init__(url)
        nodes = self.call("GET", "/_nodes/plugins?filter_path=nodes.*.version,nodes.*.modules.name")
        node = next(iter(nodes["nodes"].values()))
        self.version = tuple(int(part) for part in node["version"].split("-")[0].split("."))
        self._modules = {module["name"] for module in node["modules"]}
        if self.version >= (9, 2):
            # Read back from the index, where a vector is normalized and its length kept beside.
            self.tolerances = {DENSE: 3e-7}

    @property
    def has_dense(self) -> bool:
        # A module of its own up to 8.2, then part of the server.
        return self.version >= (8, 3) or "vectors" in self._modules

    def create(self, rows: Sequence[Row]) -> None:
        properties: dict[str, Any] = {
            YEAR: {"type": "integer"},
            "numbers": {"type": "double"},  # by itself it would become what comes first
            # Kept as it is: numbers of any size, arrays of mixed types.
            "odd": {"type": "object", "enabled": False},
        }
        if self.has_dense:
            similar = {"similarity": "cosine", "index": True} if self.version >= (8,) else {}
            properties[DENSE] = {"type": "dense_vector", "dims": DIMENSIONS, **similar}
        body = {
            "settings": {"number_of_shards": 2, "number_of_replicas": 0},
            "mappings": {"_meta": {"owner": "the library"}, "properties": properties},
        }
        self.call("PUT", f"/{self.name}", body)
        for start in range(0, len(rows), _PAGE):
            self._put(rows[start : start + _PAGE])

    def snapshot(self) -> Snapshot:
        """By scroll, which shows every copy of a document that there is."""
        self.call("POST", f"/{self.name}/_refresh")
        body: dict[str, Any] = {"size": _PAGE, "sort": ["_doc"]}
        if self.version >= (9, 2):
            body["_source"] = {"exclude_vectors": False}
        answer = self.call("POST", f"/{self.name}/_search?scroll=5m", body)
        found: dict[str, Any] = {}
        while hits := answer["hits"]["hits"]:
            for hit in hits:
                assert hit["_id"] not in found, f"{hit['_id']} is there twice"
                found[hit["_id"]] = hit["_source"]
            more = {"scroll": "5m", "scroll_id": answer["_scroll_id"]}
            answer = self.call("POST", "/_search/scroll", more)
        self.call("DELETE", "/_search/scroll", {"scroll_id": answer["_scroll_id"]})
        return found

    def expected(self, rows: Sequence[Row]) -> Snapshot:
        return {row.id: {**row.fields, **self._dense(row)} for row in rows}

    def block(self, block: str, value: bool | None) -> None:
        """Set a block of the index, or remove it with None."""
        self.call("PUT", f"/{self.name}/_settings", {f"index.blocks.{block}": value})

    def has_block(self, block: str) -> bool:
        """Whether the index has it."""
        answer = self.call("GET", f"/{self.name}/_settings?flat_settings=true")
        return bool(answer[self.name]["settings"].get(f"index.blocks.{block}") == "true")

    @property
    def _scheme(self) -> str:
        return "elasticsearch+http" if self.url.startswith("https") else "elasticsearch"

    def _dense(self, row: Row) -> dict[str, Any]:
        return {DENSE: list(row.dense)} if self.has_dense else {}

    def _put(self, rows: Sequence[Row]) -> None:
        lines = []
        for row in rows:
            source = {**row.payload, "body": row.text, **self._dense(row), "odd": _ODD}
            lines += [json.dumps({"index": {"_id": row.id}}), raw_json(source)]
        answer = self._http.post(
            f"/{self.name}/_bulk?refresh=true",
            content="".join(f"{line}\n" for line in lines),
            headers={"content-type": "application/x-ndjson"},
        )
        assert answer.is_success, answer.text[:500]
        assert not answer.json()["errors"], answer.text[:500]

    def _vector_differences(self, fields: Mapping[str, Any], vector: SparseVector) -> Iterator[str]:
        stored = fields.get(SPARSE)
        # A partial update leaves a one-element array behind.
        stored = stored[0] if isinstance(stored, list) and stored else stored
        rounded = as_stored(vector, "lucene")
        names = map(encode_key, self.encoder.tokens(rounded.indices.tolist()))
        wanted = dict(zip(names, rounded.values.tolist(), strict=True))
        # 9.x prints stored weights with the digits of a float, such as 1.0976562.
        yield from differences(wanted, stored, SPARSE, 1e-6)

    def _drop(self, name: str) -> None:
        self._http.delete(f"/{name}")


_ODD = {"huge": 10**30, "mixed": [1, "one", None, {"one": [1.5]}], "@": "@short@"}


class QdrantWorld(World):
    """A collection of Qdrant, over REST."""

    refusal = json.dumps({"status": {"error": "Wrong input: malformed"}, "time": 0.0})
    rounding = "float32"
    ours = frozenset({f"vector {SPARSE}", "_splade_id"})

    @property
    def has_dense(self) -> bool:
        return True

    def create(self, rows: Sequence[Row]) -> None:
        dense = {DENSE: {"size": DIMENSIONS, "distance": "Dot"}}
        self.call("PUT", f"/collections/{self.name}", {"vectors": dense})
        for start in range(0, len(rows), _PAGE):
            self._put(rows[start : start + _PAGE])

    def snapshot(self) -> Snapshot:
        """By scroll, with all vectors."""
        body: dict[str, Any] = {"limit": _PAGE, "with_payload": True, "with_vector": True}
        found: dict[str, Any] = {}
        while True:
            page = self.call("POST", f"/collections/{self.name}/points/scroll", body)["result"]
            for point in page["points"]:
                payload = point["payload"] or {}
                id = str(payload.get("_splade_id", payload.get("owner_id", point["id"])))
                assert id not in found, f"{id} is there twice"
                vectors = {f"vector {name}": value for name, value in point["vector"].items()}
                found[id] = {**payload, **vectors}
            if page["next_page_offset"] is None:
                return found
            body["offset"] = page["next_page_offset"]

    def expected(self, rows: Sequence[Row]) -> Snapshot:
        return {row.id: {**row.fields, f"vector {DENSE}": list(row.dense)} for row in rows}

    def point_of(self, row: Row) -> str:
        return str(uuid.uuid5(uuid.NAMESPACE_OID, row.id))

    @property
    def _scheme(self) -> str:
        return "qdrant+http" if self.url.startswith("https") else "qdrant"

    def _put(self, rows: Sequence[Row]) -> None:
        points = [
            {
                "id": self.point_of(row),
                "payload": {**row.payload, "body": row.text, "owner_id": row.id},
                "vector": {DENSE: list(row.dense)},
            }
            for row in rows
        ]
        answer = self._http.put(
            f"/collections/{self.name}/points?wait=true",
            content=raw_json({"points": points}),
            headers={"content-type": "application/json"},
        )
        assert answer.is_success, answer.text[:500]

    def _vector_differences(self, fields: Mapping[str, Any], vector: SparseVector) -> Iterator[str]:
        wanted = {str(index): weight for index, weight in vector.to_dict().items()}
        stored = fields.get(f"vector {SPARSE}") or {"indices": [], "values": []}
        named = zip(map(str, stored["indices"]), stored["values"], strict=True)
        # A server prints a float32 with the fewest digits that tell it from its neighbours.
        yield from differences(wanted, dict(named), SPARSE, 1e-6)

    def _drop(self, name: str) -> None:
        self._http.delete(f"/collections/{name}")
