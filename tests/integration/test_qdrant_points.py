"""Points of all four kinds of Qdrant stores: without terms, half updated, of others."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from splade_connectors import AttachOptions, Document, SparseVector
from splade_connectors.errors import InvalidDocument, SpladeConnectorsError
from splade_connectors.runtime.effects import Request
from splade_connectors.testing.requests import counted
from tests.integration.qdrant_kinds import KINDS, Opened, foreign_points, kind

LAST = 2**32 - 1
UUID = "9e107d9d-372b-b682-6bd8-1d3542a419d6"


@pytest.fixture(params=KINDS)
def opened(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Opened]:
    with kind(request.param, tmp_path) as found:
        yield found


# Points without terms


def watched(store: Any) -> list[Request]:
    """The requests of a store from now on."""
    asked: list[Request] = []
    send = store._opened.send

    def noting(request: Request) -> Any:
        asked.append(request)
        return send(request)

    object.__setattr__(store._opened, "send", noting)
    return asked


def changed_vectors(requests: list[Request]) -> list[dict[str, Any]]:
    """The sparse vectors in requests that change vectors of points."""
    bodies: list[Any] = []
    for request in requests:
        operation, body = request.operation, request.body  # type: ignore[attr-defined]
        if operation == "update_vectors":
            bodies.append(body)
        if operation == "batch_update":
            bodies += [o["update_vectors"] for o in body["operations"] if "update_vectors" in o]
    return [point["vector"]["splade"] for body in bodies for point in body["points"]]


@pytest.mark.parametrize("mark", [False, True])
def test_points_without_text_are_attached_and_look_empty(opened: Opened, mark: bool) -> None:
    payloads: dict[Any, dict[str, Any]] = {
        1: {"text": "water and salt"},
        2: {"text": ""},
        3: {"year": 2024},
        4: {"text": [" ", None]},
        5: {"text": "bread"},
    }
    with opened() as store:
        foreign_points(store, payloads)
        asked = watched(store)
        report = store.attach(["text"], options=AttachOptions(mark=mark))
        assert (report.attached, report.empty, report.rejected_count) == (5, 3, 0)
        assert report.verification is not None
        assert report.verification.complete
        # A server refuses to change a vector into an empty one.
        vectors = changed_vectors(asked)
        assert len(vectors) == 5
        assert all(vector["indices"] for vector in vectors)
        again = store.attach()
        assert (again.attached, again.encoded) == (0, 0)
        assert store.count() == 5
        for found in store.get([2, 3, 4], with_vectors=True):
            assert found.vector == SparseVector.empty()
            assert found.payload == payloads[found.id]
        assert store.explain("water", 3).terms == ()
        assert store.explain("water", 3).document_terms == 0
        assert [hit.id for hit in store.search("water bread salt")] == [1, 5]
        looked = store.verify(everything=True, recheck=True)
        assert (looked.complete, looked.compared) == (True, 5)
        assert store.plan_attach().key_style == "id"
        assert store.detach().cleared == 5


def test_the_mark_is_never_found_before_a_document(opened: Opened) -> None:
    vector = SparseVector.from_pairs({1: 1.0, LAST: 2.0})[0]
    with opened() as store:
        foreign_points(store, {1: {"text": ""}})
        store.attach(["text"])
        store.index([Document(id=2, vector=vector), Document(id=3, vector=vector)])
        assert store.get([2], with_vectors=True)[0].vector == vector
        hits = store.search(SparseVector.from_pairs({LAST: 1.0})[0])
        assert [hit.id for hit in hits][:2] == [2, 3]
        assert hits[0].score == pytest.approx(2.0)


def test_an_update_takes_the_text_away_and_brings_it_back(opened: Opened) -> None:
    with opened() as store:
        store.index([Document(id="a", text="water"), Document(id="b", text="salt")])
        asked = watched(store)
        store.update("a", text="")
        assert all(vector["indices"] for vector in changed_vectors(asked))
        assert store.get(["a"], with_vectors=True)[0].vector == SparseVector.empty()
        assert list(store.search("water")) == []
        assert store.count() == 2
        store.update("a", text="salt")
        assert [hit.id for hit in store.search("salt")] == ["a", "b"]


# Updates are whole


REFUSED: list[dict[Any, Any]] = [
    {"_splade_id": "b"},
    {"_splade_marker_splade": "x"},
    {"_splade_marker_other": None},
    {"": 1},
    {5: "five"},
    {None: 1},
    {"n": float("inf")},
    {"n": object()},
    {"n": [{"m": 2**2000}]},
    {"n": "\ud800"},
]


def test_a_refused_payload_leaves_everything_as_it_was(opened: Opened) -> None:
    with opened() as store:
        store.index([Document(id="a", text="water", payload={"lang": "en"})])
        before = store.get(["a"], with_vectors=True)
        for payload in REFUSED:
            with counted(store) as sent, pytest.raises(InvalidDocument):
                store.update("a", text="bread", payload=payload)
            assert sent.writes == [], payload
            assert store.get(["a"], with_vectors=True) == before
        assert [hit.id for hit in store.search("water")] == ["a"]
        assert list(store.search("bread")) == []


@pytest.mark.parametrize("kind_of_front", ["rest", "grpc"])
def test_what_a_server_refuses_leaves_the_old_vector(kind_of_front: str, tmp_path: Path) -> None:
    with kind(kind_of_front, tmp_path) as opened, opened() as store:
        store.index([Document(id="a", text="water")])
        send: Any = store._opened.send
        client = send.__self__.client
        before = store.get(["a"], with_vectors=True)

        def refused(*args: Any, **more: Any) -> Any:
            first = more["update_operations"][0]
            assert type(first).__name__ == "SetPayloadOperation", "the vector would be first"
            raise ValueError("payload refused")

        client.batch_update_points, real = refused, client.batch_update_points
        with pytest.raises(SpladeConnectorsError):
            store.update("a", text="bread")
        client.batch_update_points = real
        assert store.get(["a"], with_vectors=True) == before


def test_an_update_is_one_write(opened: Opened) -> None:
    with opened() as store:
        store.index([Document(id="a", text="water", payload={"n": 1})])
        with counted(store) as sent:
            store.update("a", text="bread", payload={"n": 2})
        assert sent.writes == ["batch_update"]
        found = store.get(["a"])[0]
        assert found.payload == {"n": 2, "text": "bread"}


def test_the_marker_follows_an_update(opened: Opened) -> None:
    with opened() as store:
        foreign_points(store, {1: {"text": "water"}, 2: {"text": "salt"}})
        store.attach(["text"], options=AttachOptions(mark=True))
        store.update(1, text="bread")
        again = store.attach()
        assert (again.attached, again.unchanged, again.encoded) == (0, 2, 0)
        assert store.verify(everything=True, recheck=True).complete


# One UUID, however it is spelled


SPELLINGS = [
    UUID,
    UUID.upper(),
    UUID.replace("-", ""),
    UUID.replace("-", "").upper(),
    f"{{{UUID}}}",
    f"urn:uuid:{UUID}",
]


def test_spellings_of_a_uuid_are_one_point(opened: Opened) -> None:
    with opened() as store:
        for number, spelling in enumerate(SPELLINGS):
            store.index([Document(id=spelling, text=f"water {number}")])
            assert store.count() == 1
            (hit,) = store.search("water")
            assert hit.id == spelling
            for other in SPELLINGS:
                assert store.get([other])[0].payload == {"text": f"water {number}"}
        store.delete([UUID.upper()])
        assert store.count() == 0


def test_a_point_of_somebody_else_is_met_under_every_spelling(opened: Opened) -> None:
    with opened() as store:
        foreign_points(store, {UUID: {"text": "water"}, str(uuid.UUID(int=1)): {"text": "salt"}})
        store.attach(["text"])
        asked = watched(store)
        for number, spelling in enumerate(SPELLINGS):
            store.update(spelling, text=f"bread {number}")
            assert [hit.id for hit in store.search(f"bread {number}", limit=1)] == [UUID]
            # Nothing of ours comes into their payload.
            assert store.get([UUID])[0].payload == {"text": f"bread {number}"}
            store.get([spelling])
            assert asked[-1].body["ids"] == [UUID]  # type: ignore[attr-defined]
            assert store.count() == 2


# Who made the collection


def test_a_collection_of_somebody_else_is_never_called_ours(opened: Opened) -> None:
    with opened() as store:
        foreign_points(store, {1: {"text": "water"}})
        assert not store.inspect().capabilities.created_by_us
        store.attach(["text"], options=AttachOptions(mark=True))
        assert not store.inspect().capabilities.created_by_us
        store.index([Document(id=2, text="salt")])
        assert not store.inspect().capabilities.created_by_us


def test_a_collection_that_we_made_stays_ours(opened: Opened) -> None:
    with opened() as store:
        store.index([Document(id=1, text="water")])
        assert store.inspect().capabilities.created_by_us
        store.attach(["text"], options=AttachOptions(mark=True))
        store.detach()
        found = store.inspect()
        assert (found.capabilities.created_by_us, found.manifest) == (True, None)
