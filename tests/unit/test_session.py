"""One look at the server serves many verbs, in many threads, and is given up as a whole."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from splade_connectors import Document
from splade_connectors.backends.protocol import Description
from splade_connectors.errors import NotFound
from splade_connectors.operations.session import Session
from splade_connectors.options import NO_RETRY
from splade_connectors.runtime.drive import run
from splade_connectors.runtime.effects import Steps
from splade_connectors.testing import HashEncoder, MemoryStore
from splade_connectors.testing.memory import Collection, MemoryBackend

DOCUMENTS = [Document(id=id, text=f"water and salt {id}") for id in range(40)]


class Looking(MemoryBackend):
    """Counts the looks at it."""

    looks = 0

    def describe(self) -> Steps[Description]:
        self.looks += 1
        return (yield from super().describe())


def looked(session: Session) -> Description:
    return run(session.look(), lambda request: None, NO_RETRY)


@pytest.fixture
def backend() -> Looking:
    collection = Collection()
    MemoryStore(HashEncoder(), collection=collection).index(DOCUMENTS)
    return Looking(collection)


@pytest.fixture
def session(backend: Looking) -> Session:
    return Session(backend, HashEncoder, None, override_manifest=False)


def test_verbs_share_one_look(session: Session, backend: Looking) -> None:
    assert looked(session) is looked(session)
    assert backend.looks == 1


def test_what_was_forgotten_is_looked_at_again(session: Session, backend: Looking) -> None:
    before = looked(session)
    session.forget()
    assert looked(session) == before
    assert backend.looks == 2


def test_an_index_that_was_not_there_is_looked_at_until_it_is() -> None:
    backend = Looking()
    session = Session(backend, HashEncoder, None, override_manifest=False)
    assert not looked(session).capabilities.exists
    MemoryStore(HashEncoder(), collection=backend.collection).index(DOCUMENTS)
    assert looked(session).capabilities.exists
    assert looked(session) is looked(session)
    assert backend.looks == 2


def forgetting(store: MemoryStore) -> Iterator[None]:
    """Another thread's attaching: again and again it forgets what was seen."""
    while True:
        store._session.forget()
        yield


def test_a_store_that_forgets_meanwhile_marks_every_document_with_its_settings() -> None:
    collection = Collection()
    store = MemoryStore(HashEncoder(), collection=collection)
    store.index(DOCUMENTS[:1])
    done = threading.Event()

    def disturb() -> int:
        turns = 0
        for turns, _ in enumerate(forgetting(store), start=1):
            if done.is_set():
                return turns
        return turns

    def write(part: int) -> None:
        for document in DOCUMENTS[part::4]:
            store.index([document])
            store.update(document.id, text=f"bread and {document.id}")

    with ThreadPoolExecutor(5) as threads:
        disturbing = threads.submit(disturb)
        list(threads.map(write, range(4)))
        done.set()
        assert disturbing.result() > 0
    manifest = store.inspect().manifest
    assert manifest is not None
    settings = {made.marker.partition("-")[0] for made in collection.vectors["splade"].values()}
    assert settings == {manifest.fingerprint()}


def test_a_store_that_forgets_meanwhile_still_searches() -> None:
    store = MemoryStore(HashEncoder())
    store.index(DOCUMENTS)
    expected = store.search("water")
    with ThreadPoolExecutor(4) as threads:
        for _ in range(50):
            found = threads.submit(store.search, "water")
            store._session.forget()
            assert found.result() == expected


def test_nothing_is_there_to_search_before_indexing() -> None:
    with pytest.raises(NotFound, match="does not exist"):
        MemoryStore(HashEncoder()).search("water")
