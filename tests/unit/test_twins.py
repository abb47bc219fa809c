"""`Store` and `AsyncStore` are twins: the same verbs, arguments, defaults, types and words."""

from __future__ import annotations

import ast
import inspect
import re
import textwrap
from collections.abc import AsyncIterable, AsyncIterator, Callable, Iterable, Iterator
from typing import Any, get_type_hints

import pytest

from splade_connectors import AsyncStore, Store, aconnect, connect
from splade_connectors.documents import Row, StoredDocument
from splade_connectors.verbs import Verbs

# How Python spells the same thing for the two of them.
AWAITED = {"__enter__": "__aenter__", "__exit__": "__aexit__"}
BLOCKING = set(AWAITED) | {name for name in vars(Store) if not name.startswith("_")}


def public(store: type) -> list[str]:
    return [name for name in vars(store) if not name.startswith("_") or name in AWAITED]


def twin(name: str) -> Callable[..., Any]:
    return getattr(AsyncStore, AWAITED.get(name, name))  # type: ignore[no-any-return]


def without_awaiting(annotation: Any) -> Any:
    """The same annotation of the blocking twin."""
    if annotation == Iterable[Row] | AsyncIterable[Row]:
        return Iterable[Row]
    if annotation == AsyncIterator[StoredDocument]:
        return Iterator[StoredDocument]
    return annotation


def test_they_have_the_same_verbs_in_the_same_order() -> None:
    awaited = {name: name for name in public(AsyncStore)}
    assert [AWAITED.get(name, name) for name in public(Store)] == [
        name for name in vars(AsyncStore) if name in awaited or name in AWAITED.values()
    ]
    assert len(public(Store)) > 15


@pytest.mark.parametrize("name", sorted(BLOCKING))
def test_a_verb_takes_the_same_arguments(name: str) -> None:
    blocking, awaited = inspect.signature(getattr(Store, name)), inspect.signature(twin(name))
    assert list(blocking.parameters) == list(awaited.parameters)
    for mine, other in zip(blocking.parameters.values(), awaited.parameters.values(), strict=True):
        assert (mine.kind, mine.default) == (other.kind, other.default), mine.name


@pytest.mark.parametrize("name", sorted(BLOCKING))
def test_a_verb_has_the_same_types(name: str) -> None:
    hints = get_type_hints(twin(name))
    assert hints, name
    assert get_type_hints(getattr(Store, name)) == {
        argument: without_awaiting(hint) for argument, hint in hints.items()
    }


def test_what_streams_is_iterated_over() -> None:
    assert inspect.isasyncgenfunction(AsyncStore.export)
    assert inspect.isgeneratorfunction(Store.export)


@pytest.mark.parametrize("name", sorted(BLOCKING - {"export"}))
def test_the_awaited_verb_is_a_coroutine_and_the_blocking_one_is_not(name: str) -> None:
    assert inspect.iscoroutinefunction(twin(name))
    assert not inspect.iscoroutinefunction(getattr(Store, name))


@pytest.mark.parametrize("name", sorted(BLOCKING - set(AWAITED)))
def test_the_words_of_the_awaited_verb_are_those_of_the_blocking_one(name: str) -> None:
    words, other = inspect.getdoc(getattr(Store, name)), inspect.getdoc(twin(name))
    assert words
    assert other
    assert other == words or re.match(rf"As `Store\.{name}`(\.|;)", other), other


def test_connecting_is_the_same_too() -> None:
    # As it is written: opening.py names some types for the type checker only.
    blocking, awaited = inspect.signature(connect), inspect.signature(aconnect)
    assert list(blocking.parameters.values()) == list(awaited.parameters.values())
    assert (blocking.return_annotation, awaited.return_annotation) == ("Store", "AsyncStore")
    assert (inspect.getdoc(aconnect) or "").startswith("As `connect`")


def statements(function: Callable[..., Any]) -> list[str]:
    """The lines of a body, without awaiting, signature and docstring."""
    (definition,) = ast.parse(textwrap.dedent(inspect.getsource(function))).body
    assert isinstance(definition, ast.FunctionDef | ast.AsyncFunctionDef)
    body = definition.body[1:] if ast.get_docstring(definition) else definition.body
    return [ast.unparse(each).replace("await ", "") for each in body]


@pytest.mark.parametrize(
    "name", sorted(BLOCKING - set(AWAITED) - {"index", "attach", "adopt", "close", "export"})
)
def test_what_a_verb_does_stands_once(name: str) -> None:
    """A body hands its arguments on: whatever is decided, is decided in what both of them call."""
    mine, other = statements(getattr(Store, name)), statements(twin(name))
    assert mine == other
    assert len(mine) <= 3, mine
    assert "self._run(" in mine[-1]
    assert not any(line.startswith(("if ", "for ", "try", "while ")) for line in mine)


def test_the_twins_add_nothing_to_what_they_share_but_how_it_is_executed() -> None:
    def own(store: type) -> set[str]:
        return {name for name in vars(store) if name.startswith("_") and not name.startswith("__")}

    assert own(AsyncStore) == {"_run"}
    assert own(Store) == {"_run", "_interrupted"}
    assert {"__init__", "__repr__"} <= set(vars(Verbs))
    assert not {"__init__", "__repr__"} & (set(vars(Store)) | set(vars(AsyncStore)))
