"""Sparse vectors of others, without a manifest: how their terms are named is read from them."""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import httpx
import pytest

from splade_connectors import SparseEncoder, Store, aconnect, connect
from splade_connectors.errors import ManifestMismatch
from splade_connectors.options import AttachOptions
from splade_connectors.testing import HashEncoder, exact_scores

pytestmark = pytest.mark.servers

FIXTURES = {
    "elasticsearch": ("elasticsearch_url", "sparse_vector"),
    "elasticsearch-7.17": ("rank_features_url", "rank_features"),
    "opensearch": ("opensearch_url", "rank_features"),
}
WORDS = ("water", "salt", "flour", "time", "mountain", "apple", "cat", "moon", "bread", "tide")
TEXTS = {str(n): f"{WORDS[n % 10]} and {WORDS[n * 7 % 9]} {n % 4}" for n in range(40)}
QUERIES = ("water and salt", "the moon", "apple bread 2")
ENCODER = HashEncoder()


@dataclass(frozen=True)
class Index:
    """An index whose vectors somebody else has written."""

    client: httpx.Client
    name: str
    target: str
    kind: str

    def fill(self, spelled: Callable[[int], str], texts: dict[str, str] = TEXTS) -> None:
        # As Haystack does it: no `index_options`, so that queries prune by default where they can.
        properties = {"splade": {"type": self.kind}, "content": {"type": "text"}}
        body = {"mappings": {"properties": properties}}
        self.client.put(f"/{self.name}", json=body).raise_for_status()
        lines: list[Any] = []
        for id, text in texts.items():
            vector = ENCODER.encode_documents([text])[0]
            pairs = zip(vector.indices.tolist(), vector.values.tolist(), strict=True)
            terms = {spelled(at): weight for at, weight in pairs}
            lines += [{"index": {"_id": id}}, {"content": text, "splade": terms}]
        content = "".join(f"{json.dumps(line)}\n" for line in lines)
        headers = {"content-type": "application/x-ndjson"}
        path = f"/{self.name}/_bulk?refresh=true"
        answer = self.client.post(path, content=content, headers=headers)
        assert answer.json()["errors"] is False, answer.text[:500]

    def open(self, encoder: SparseEncoder = ENCODER, **more: Any) -> Store:
        return connect(self.target, encoder=encoder, **more)


@pytest.fixture(params=list(FIXTURES))
def index(request: pytest.FixtureRequest) -> Iterator[Index]:
    fixture, kind = FIXTURES[request.param]
    url = request.getfixturevalue(fixture).rstrip("/")
    scheme = request.param.partition("-")[0]
    name = f"splade-test-{uuid.uuid4().hex}"
    with httpx.Client(base_url=url, trust_env=False, timeout=60) as client:
        yield Index(client, name, f"{url.replace('http', scheme, 1)}/{name}", kind)
        client.delete(f"/{name}")


def test_terms_that_are_numbers_are_searched(index: Index) -> None:
    index.fill(str)
    with index.open() as store:
        assert store.inspect().capabilities.key_style == "id"
        for query in QUERIES:
            hits = store.search(query, limit=50)
            vectors = ENCODER.encode_documents([TEXTS[str(hit.id)] for hit in hits])
            exact = exact_scores(ENCODER.encode_queries([query])[0], vectors)
            assert [hit.score for hit in hits] == pytest.approx(exact.tolist(), rel=4e-3)
            found = {str(hit.id) for hit in hits}
            assert found == {id for id, text in TEXTS.items() if shares_a_term(query, text)}
        assert store.explain("salt", "1").terms
        vector = store.get(["1"], with_vectors=True)[0].vector
        assert vector is not None
        fresh = ENCODER.encode_documents([TEXTS["1"]])[0]
        assert vector.indices.tolist() == fresh.indices.tolist()
        assert any("no manifest" in warning for warning in store.search("salt").plan.warnings)


def shares_a_term(query: str, text: str) -> bool:
    sides = ENCODER.encode_documents([query, text])
    return bool({*sides[0].indices.tolist()} & {*sides[1].indices.tolist()})


def test_what_is_added_is_named_alike(index: Index) -> None:
    index.fill(str)
    extra = {"title": "late", "content": "salt late"}
    index.client.put(f"/{index.name}/_doc/late?refresh=true", json=extra).raise_for_status()
    with index.open(override_manifest=True) as store:
        report = store.attach(["content"], options=AttachOptions(verify=50))
        assert report.attached == len(TEXTS) + 1
        assert store.verify(everything=True, recheck=True).complete
    with index.open() as store:
        manifest = store.inspect().manifest
        assert manifest is not None
        assert manifest.key_style == "id"
        assert store.search("late")[0].id == "late"
    params = {"_source_exclude_vectors": "false"} if index.kind == "sparse_vector" else {}
    found = index.client.get(f"/{index.name}/_doc/late", params=params)
    terms = found.json()["_source"]["splade"]
    # An update leaves a one-element array in `_source`, which 9.3.2 does not show.
    assert all(name.isdecimal() for name in (terms[0] if isinstance(terms, list) else terms))


@pytest.mark.parametrize(
    "spelled",
    [
        lambda at: f"token{at}",
        lambda at: str(at + 10_000_000),
        lambda at: f"%2E{at}" if at % 2 else f"x{at}",
    ],
    ids=["words", "numbers-beyond", "some"],
)
def test_terms_that_the_encoder_does_not_have_are_refused(
    index: Index, spelled: Callable[[int], str]
) -> None:
    index.fill(spelled)
    with index.open() as store:
        sentence = r"contains terms that 'hash' does not have \(for example '.*no manifest"
        with pytest.raises(ManifestMismatch, match=sentence):
            store.search("salt")
        with pytest.raises(ManifestMismatch, match=sentence):
            store.explain("salt", "1")
    with index.open(override_manifest=True) as store:
        store.search("salt")


def test_terms_that_are_tokens_are_searched(index: Index) -> None:
    index.fill(lambda at: f"%2E{at}")
    with index.open() as store:
        assert store.inspect().capabilities.key_style == "token"
        assert {hit.id for hit in store.search("moon", limit=50)} == {
            id for id, text in TEXTS.items() if shares_a_term("moon", text)
        }


def test_an_empty_index_has_our_style(index: Index) -> None:
    index.fill(str, {"only": ""})
    with index.open() as store:
        assert store.inspect().capabilities.key_style == "token"
        assert store.search("moon") == ()


async def test_awaited(index: Index) -> None:
    index.fill(str)
    async with await aconnect(index.target, encoder=ENCODER) as store:
        assert (await store.search("moon"))[0].score > 0
        hits = await store.search("moon", limit=50)
        assert {hit.id for hit in hits} == {
            id for id, text in TEXTS.items() if shares_a_term("moon", text)
        }
