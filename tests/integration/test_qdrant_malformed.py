"""Answers that are not Qdrant's: every verb ends well, or with one sentence."""

from __future__ import annotations

import copy
import random
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from splade_connectors import AttachOptions, Document, RetryOptions, Store, connect
from splade_connectors.errors import SpladeConnectorsError
from splade_connectors.testing import HashEncoder
from tests.fronts import QdrantRestFront, qdrant_rest

WRONG: list[Any] = [None, 5, -1, 1.5, "x", True, [], {}, [[]], [None], {"a": 1}, "\ud7ff", 2**70]

VERBS: dict[str, Callable[[Store], Any]] = {
    "inspect": lambda store: store.inspect(),
    "index": lambda store: store.index([Document(id="c", text="water")]),
    "search": lambda store: store.search("water", limit=3),
    "deep": lambda store: store.search("water", limit=3, offset=1),
    "hybrid": lambda store: store.search("water", dense=[1.0, 0.0]),
    "get": lambda store: store.get(["a", 7], with_vectors=True),
    "known": lambda store: store.known(["a", 7]),
    "update": lambda store: store.update("a", text="salt"),
    "explain": lambda store: store.explain("water", "a"),
    "count": lambda store: store.count(),
    "plan_attach": lambda store: store.plan_attach(["text"]),
    "attach": lambda store: store.attach(["text"], options=AttachOptions(recheck=True)),
    "verify": lambda store: store.verify(everything=True),
}


def places(value: Any) -> list[tuple[Any, Any]]:
    """Every container with every key in it."""
    keys = (
        list(value)
        if isinstance(value, dict)
        else range(len(value) if isinstance(value, list) else 0)
    )
    found = [(value, key) for key in keys]
    for key in keys:
        found += places(value[key])
    return found


def spoiled(value: Any, chance: random.Random) -> Any:
    """The value with one part of it replaced, or left out."""
    value = copy.deepcopy(value)
    spots = [(None, None), *places(value)]
    where, key = spots[chance.randrange(len(spots))]
    if where is None:
        return chance.choice(WRONG)
    if isinstance(where, dict) and chance.random() < 0.3:
        del where[key]
    else:
        where[key] = copy.deepcopy(chance.choice(WRONG))
    return value


@pytest.fixture(scope="module")
def filled() -> Iterator[QdrantRestFront]:
    with QdrantRestFront() as front:
        with connect(f"qdrant://{front.host}/articles", encoder=HashEncoder()) as store:
            store.index(
                Document(id=id, text=f"water {id}", payload={"n": 1}, dense={"d": [1.0, 0.5]})
                for id in ["a", "b", 7, 2**64 + 1]
            )
        yield front


@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_ends_well_or_with_a_sentence(
    filled: QdrantRestFront, verb: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain, chance = qdrant_rest._plain, random.Random(verb)
    left = [0]

    def answer(value: Any) -> Any:
        left[0] -= 1
        return spoiled(plain(value), chance) if left[0] == 0 else plain(value)

    monkeypatch.setattr(qdrant_rest, "_plain", answer)
    for _ in range(25):
        left[0] = chance.randrange(1, 9)
        once = RetryOptions(attempts=1)
        with connect(
            f"qdrant://{filled.host}/articles", encoder=HashEncoder(), retry=once
        ) as store:
            try:
                VERBS[verb](store)
            except SpladeConnectorsError as error:
                sentence = str(error)
                assert len(sentence) > 20
                assert "Traceback" not in sentence
