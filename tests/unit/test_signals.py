"""Signals that end a run: held back amid bookkeeping, heard in what takes time."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import pytest

from splade_connectors import Document, IndexingInterrupted
from splade_connectors.runtime import signals
from splade_connectors.testing import HashEncoder, MemoryStore


@pytest.fixture(autouse=True)
def _restored() -> Iterator[None]:
    before = {number: signal.getsignal(number) for number in signals.ENDING}
    state = dict(vars(signals._State))
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        for name in ("held", "noted", "raised", "first"):
            setattr(signals._State, name, state[name])


@pytest.mark.parametrize("number", signals.ENDING)
def test_every_signal_raises_with_its_own_exit_code(number: int) -> None:
    signals.end_by_signals()
    with pytest.raises(signals.Stopped) as caught:
        signal.raise_signal(number)
    assert signals.exit_code(caught.value) == 128 + number
    assert signals.arrived()


def test_what_the_caller_ignores_stays_ignored() -> None:
    signal.signal(signal.SIGHUP, signal.SIG_IGN)  # nohup
    signals.end_by_signals()
    signal.raise_signal(signal.SIGHUP)
    assert signal.getsignal(signal.SIGHUP) is signal.SIG_IGN


@pytest.mark.parametrize("number", signals.ENDING)
def test_what_is_held_back_is_raised_at_the_end(number: int) -> None:
    signals.end_by_signals()
    done: list[str] = []
    with pytest.raises(signals.Stopped):
        _held_while(number, done)
    assert done == ["bookkeeping"]


def _held_while(number: int, done: list[str]) -> None:
    with signals.held():
        signal.raise_signal(number)
        done.append("bookkeeping")


def test_what_was_noted_is_heard_at_the_next_step_that_takes_time() -> None:
    signals.end_by_signals()
    reached: list[str] = []
    with signals.held():
        signal.raise_signal(signal.SIGTERM)
        reached.append("bookkeeping")
        with pytest.raises(signals.Stopped), signals.heard():
            reached.append("never")
        signals.acted_upon()
        with signals.heard():
            reached.append("the rest")
    assert reached == ["bookkeeping", "the rest"]


def test_what_somebody_swallowed_is_raised_again() -> None:
    signals.end_by_signals()
    with signals.holding() as hold:
        with suppress(KeyboardInterrupt):  # as an import lock or a destructor would
            signal.raise_signal(signal.SIGTERM)
        hold()
        with pytest.raises(signals.Stopped), signals.heard():
            pass
        signals.acted_upon()


def test_nothing_is_raised_between_the_end_of_a_run_and_its_report() -> None:
    signals.end_by_signals()
    done: list[str] = []
    with pytest.raises(signals.Stopped):
        _reported_while(signal.SIGTERM, done)
    assert done == ["reported"]


def _reported_while(number: int, done: list[str]) -> None:
    with signals.holding() as hold:
        hold()
        signal.raise_signal(number)
        done.append("reported")


@pytest.mark.parametrize("number", signals.ENDING)
@pytest.mark.parametrize("at", [0, 5, 100, 399])
def test_a_signal_at_any_row_ends_indexing_with_a_report(number: int, at: int) -> None:
    signals.end_by_signals()

    def rows() -> Iterator[Document]:
        for id in range(400):
            if id == at:
                signal.raise_signal(number)
            yield Document(id=id, text=f"row {id}")

    with MemoryStore(HashEncoder()) as store:
        with pytest.raises(IndexingInterrupted) as caught:
            _index_held(store, rows())
        report: Any = caught.value.report
        assert report.interrupted
        found = store.count() if report.written else 0
        assert report.written == found
        assert signals.exit_code(caught.value) == 128 + number


def _index_held(store: MemoryStore, rows: Iterator[Document]) -> None:
    with signals.holding() as hold:
        hold()
        store.index(rows)
