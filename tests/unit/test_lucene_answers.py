"""Answers that are not as a server of the Elasticsearch family gives them: a sentence for each."""

from __future__ import annotations

import copy
import random
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from splade_connectors import Document, RetryOptions, Rrf, Store
from splade_connectors.backends.feature_names import Keys
from splade_connectors.backends.protocol import Opened
from splade_connectors.backends.targets import parse_target
from splade_connectors.errors import ConfigurationError, NotFound, SpladeConnectorsError
from splade_connectors.fusion import TextLeg
from splade_connectors.fusion.legs import SparseLeg
from splade_connectors.operations.session import Session
from splade_connectors.options import AttachOptions, ConnectOptions, WriteOptions
from splade_connectors.testing import HashEncoder
from splade_elasticsearch.dialect import ELASTICSEARCH
from splade_lucene.backend import LuceneBackend
from splade_lucene.dialect import Dialect
from splade_lucene.requests import HttpRequest
from splade_lucene.target import index_address
from splade_opensearch.dialect import OPENSEARCH

ONCE = RetryOptions(attempts=1)
DIALECTS = {"elasticsearch": ELASTICSEARCH, "opensearch": OPENSEARCH}
VERSIONS = {
    "elasticsearch": {"number": "9.3.2"},
    "opensearch": {"number": "3.6.0", "distribution": "opensearch"},
}
DOCUMENTS = [Document(id=str(number), text=f"salt {number}") for number in range(3)]
SEEDS = 50


class Server:
    """One index, and right answers to whatever is asked; a test may change one of them."""

    def __init__(self, dialect: Dialect) -> None:
        self.dialect = dialect
        self.mapping: Any = None
        self.sources: dict[str, Any] = {}
        self.change: Callable[[int, Any], Any] = lambda number, answer: answer
        self.asked: list[HttpRequest] = []

    def send(self, request: HttpRequest) -> Any:
        self.asked.append(request)
        answer = copy.deepcopy(self.answer(request))
        return self.change(len(self.asked), answer)

    def answer(self, request: HttpRequest) -> Any:
        body: Any = request.body
        match request.path.strip("/").split("/"):
            case [""]:
                return {"version": VERSIONS[self.dialect.scheme]}
            case ["_license"]:
                return {"license": {"type": "basic"}}
            case ["_nodes", "plugins"]:
                return {"nodes": {"n": {"plugins": [{"name": "opensearch-neural-search"}]}}}
            case ["_security", *_]:
                return {"cluster": {"monitor": True}, "index": {"articles": {"read": True}}}
            case ["_alias"]:
                return {"articles": {"aliases": {"all": {}}}}
            case ["articles"] | ["articles", "_mapping"]:
                return self.of_index(request.method, body)
            case ["articles", "_settings", _]:
                return {"articles": {"settings": {"index": {"uuid": "u"}}}}
            case ["articles", "_count"]:
                return {"count": len(self.sources)}
            case ["articles", "_pit"]:
                return {"id": "p"}
            case ["articles", "_field_caps"]:
                return {"fields": {"text": {"text": {"type": "text"}}}}
            case ["articles", "_mget"]:
                return {"docs": list(map(self.document, _wanted(body)))}
            case ["articles", "_bulk"]:
                return {"errors": False, "items": list(self.written(body))}
            case ["articles", "_msearch"]:
                return {"responses": [self.hits() for _ in body[1::2]]}
            case [*_, "_search"] | ["_search", "scroll"]:
                return self.hits()
        return {"result": "updated"}

    def of_index(self, method: str, body: Any) -> Any:
        if method == "PUT":
            added = body.get("mappings") or body
            before = self.mapping or {}
            properties = {**before.get("properties", {}), **added.get("properties", {})}
            self.mapping = {**before, **added, "properties": properties}
            return {"acknowledged": True}
        if self.mapping is None:
            raise NotFound("no such index")
        settings = {"index": {"number_of_shards": "1", "uuid": "u"}}
        return {"articles": {"aliases": {}, "mappings": self.mapping, "settings": settings}}

    def written(self, lines: Any) -> Iterator[Any]:
        for action, source in zip(lines[::2], lines[1::2], strict=False):
            ((kind, about),) = action.items()
            if kind == "index":
                self.sources[about["_id"]] = source
            yield {kind: {"_id": about["_id"], "status": 200, "result": "updated"}}

    def document(self, id: str) -> Any:
        source = self.sources.get(id)
        place = {"_id": id, "_seq_no": 1, "_primary_term": 1, "found": source is not None}
        return {**place, "_score": 1.5, "sort": [3], "_source": source}

    def hits(self) -> Any:
        total = {"value": len(self.sources), "relation": "eq"}
        hits = {"total": total, "hits": list(map(self.document, self.sources))}
        counts = {"missing": {"doc_count": 0}}
        shards = {"total": 1, "successful": 1, "failed": 0}
        ids = {"_scroll_id": "s", "pit_id": "p"}
        return {"hits": hits, "aggregations": counts, "_shards": shards, **ids, "status": 200}


def _wanted(body: Any) -> list[str]:
    return body.get("ids") or [doc["_id"] for doc in body["docs"]]


def opened(server: Server) -> Store:
    encoder = HashEncoder()
    target = parse_target(f"{server.dialect.scheme}://h/articles")
    address = index_address(target, Keys(lambda: encoder), ConnectOptions(), server.dialect)
    backend = LuceneBackend(address)
    session = Session(backend, lambda: encoder, None, False)
    return Store(session, Opened(backend=backend, send=server.send, close=lambda: None), ONCE)


def filled(dialect: Dialect) -> Server:
    """An index that this package has written."""
    server = Server(dialect)
    opened(server).index(DOCUMENTS)
    server.asked.clear()
    return server


TWO = [SparseLeg(), TextLeg(fields=("text",))]
QUICK = WriteOptions(retry=ONCE)
VERBS: dict[str, Callable[[Store], Any]] = {
    "inspect": lambda store: store.inspect(),
    "index": lambda store: store.index(DOCUMENTS, options=QUICK),
    "search": lambda store: store.search("salt"),
    "hybrid": lambda store: store.search("salt", legs=TWO, fusion=Rrf()),
    "legs": lambda store: store.windows("salt", legs=TWO),
    "explain": lambda store: store.explain("salt", "1"),
    "get": lambda store: store.get(["1", "2"], with_vectors=True),
    "update": lambda store: store.update("1", text="tide"),
    "delete": lambda store: store.delete(["1", "nobody"]),
    "count": lambda store: store.count(),
    "plan_attach": lambda store: store.plan_attach(["text"]),
    "attach": lambda store: store.attach(["text"], options=AttachOptions(write=QUICK)),
    "verify": lambda store: store.verify(everything=True),
    "detach": lambda store: store.detach(),
}


@pytest.mark.parametrize("dialect", DIALECTS)
@pytest.mark.parametrize("verb", VERBS)
def test_right_answers_are_understood(verb: str, dialect: str) -> None:
    server = filled(DIALECTS[dialect])
    VERBS[verb](opened(server))
    assert server.asked


@pytest.mark.parametrize("dialect", DIALECTS)
@pytest.mark.parametrize("verb", VERBS)
def test_answers_of_another_shape_end_in_a_sentence(verb: str, dialect: str) -> None:
    plain = filled(DIALECTS[dialect])
    VERBS[verb](opened(plain))
    for seed in range(SEEDS):
        chance = random.Random(f"{verb} {dialect} {seed}")
        server = filled(DIALECTS[dialect])
        number = chance.randint(1, len(plain.asked))
        server.change = _changing(number, chance)
        try:
            VERBS[verb](opened(server))
        except SpladeConnectorsError as error:
            assert "\n" not in str(error)  # noqa: PT017 - what is raised may be of many kinds


@pytest.mark.parametrize("dialect", DIALECTS)
@pytest.mark.parametrize("answer", ["<html></html>", [], None, 5, {"ok": True}, {"hits": None}])
def test_what_is_no_answer_to_a_search_is_said(answer: Any, dialect: str) -> None:
    server = filled(DIALECTS[dialect])
    store = opened(server)
    store.search("salt")
    server.change = lambda number, right: answer
    with pytest.raises(ConfigurationError, match=r"does not answer like (Elastic|Open)"):
        store.search("salt")


VALUES = [None, True, 0, -1, 2**70, 1.5, float("nan"), "", "x", "9", [], [None], {}, {"x": {}}]


def _changing(number: int, chance: random.Random) -> Callable[[int, Any], Any]:
    def change(asked: int, answer: Any) -> Any:
        return _mutated(answer, chance) if asked == number else answer

    return change


def _mutated(answer: Any, chance: random.Random) -> Any:
    """The answer with another value, or none, at one place of it; or another answer."""
    places = [place for place in _places(answer) if "splade_connectors" not in place]
    place = chance.choice([(), *places])
    if not place:
        return copy.deepcopy(chance.choice(VALUES))
    inside = answer
    for step in place[:-1]:
        inside = inside[step]
    if chance.random() < 0.3:
        del inside[place[-1]]
    else:
        inside[place[-1]] = copy.deepcopy(chance.choice(VALUES))
    return answer


def _places(value: Any, above: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    steps: Any = ()
    if isinstance(value, dict):
        steps = value.items()
    elif isinstance(value, list):
        steps = enumerate(value)
    for step, inner in steps:
        yield (*above, step)
        yield from _places(inner, (*above, step))


@pytest.mark.parametrize("dialect", DIALECTS)
def test_who_made_the_index_is_recorded(dialect: str) -> None:
    ours, theirs = filled(DIALECTS[dialect]), Server(DIALECTS[dialect])
    theirs.mapping = {"properties": {"text": {"type": "text"}}}
    theirs.sources = {"9": {"text": "of the owner"}}
    opened(theirs).attach(["text"])
    found = {
        name: opened(server).inspect().capabilities
        for name, server in {"ours": ours, "theirs": theirs}.items()
    }
    assert found["ours"].has_field
    assert found["theirs"].has_field
    assert (found["ours"].created_by_us, found["theirs"].created_by_us) == (True, False)
