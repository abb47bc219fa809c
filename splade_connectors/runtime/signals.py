"""Ctrl-C, SIGTERM and SIGHUP end a run alike, and never amid the bookkeeping of a verb.

A handler that raises wherever the program happens to be loses what it was about to note. So what
must not be torn apart holds the signals back (`held`), and what takes time hears them (`heard`).
Handlers of the program's own are left alone; Python's own one for Ctrl-C is held back like ours.
"""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from types import FrameType
from typing import Any, TypeVar

T = TypeVar("T")

# SIGHUP and its like are not everywhere (Windows).
ENDING = tuple(
    getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)
)


_NOTHING_HELD = nullcontext()


class Stopped(KeyboardInterrupt):
    """A signal ends the run.

    Attributes:
        number: of the signal.
    """

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.number = number


class _State:
    """Of the main thread, where Python runs handlers."""

    held = False
    # Arrived while they were held back.
    noted: int | None = None
    # Raised, and not acted upon yet: an import lock or a destructor may have swallowed it.
    raised: int | None = None
    # Of the first one ever: what the process ends with.
    first: int | None = None


def stop(number: int, frame: FrameType | None) -> None:
    """A handler: note the signal where it is held back, else raise `Stopped`."""
    _State.first = _State.first or number
    if _State.held:
        _State.noted = _State.noted or number
        return
    _State.raised = number
    raise Stopped(number)


def end_by_signals(handler: Callable[[int, FrameType | None], None] = stop) -> None:
    """From now on, every signal that ends a run raises `Stopped`; ignored ones stay ignored."""
    usual = (signal.SIG_DFL, signal.default_int_handler, stop)
    for number in ENDING:
        if signal.getsignal(number) in usual:
            signal.signal(number, handler)


def exit_code(error: BaseException | None = None) -> int:
    """128 and the number of the signal that ends this process; Ctrl-C where there was none."""
    while error is not None and not isinstance(error, Stopped):
        error = error.__cause__
    number = error.number if isinstance(error, Stopped) else _State.first
    return 128 + (number or signal.SIGINT)


def arrived() -> bool:
    """Whether a signal has come that ends this process."""
    return _State.first is not None


def acted_upon() -> None:
    """What was raised ends the run already: the next signal is a second one."""
    _State.raised = None


@contextmanager
def held() -> Iterator[None]:
    """Signals are noted, and raised at the end, or where `heard` is entered."""
    if not _is_main():
        yield
        return
    before, pythons = _State.held, signal.getsignal(signal.SIGINT) is signal.default_int_handler
    if not before:
        _State.raised = None  # of an earlier run in the same program
    _State.held = True
    try:
        if pythons:
            signal.signal(signal.SIGINT, stop)
        yield
    finally:
        # In this order: whenever the next one comes, it is raised.
        _State.held = before
        if pythons:
            signal.signal(signal.SIGINT, signal.default_int_handler)
        if not before:
            _raise(_State.noted)


def heard() -> AbstractContextManager[None]:
    """Within `held`: signals are raised at once, those that were noted too."""
    # Every step of every verb comes here, and hardly ever is anything held back.
    return _heard() if _State.held and _is_main() else _NOTHING_HELD


@contextmanager
def _heard() -> Iterator[None]:
    try:
        _State.held = False
        _raise(_State.noted or _State.raised)
        yield
    finally:
        _State.held = True


def each_heard(items: Iterable[T]) -> Iterator[T]:
    """The items; signals are raised at once while the next one is waited for."""
    iterator, end = iter(items), object()
    while True:
        with heard():
            item: Any = next(iterator, end)
        if item is end:
            return
        yield item


@contextmanager
def holding() -> Iterator[Callable[[], None]]:
    """Gives a function: from its call until the end of the block, signals are held back."""

    def hold() -> None:
        _State.held = _is_main()

    before = _State.held
    try:
        yield hold
    finally:
        _State.held = before
    if not before:
        _raise(_State.noted)


def _raise(number: int | None) -> None:
    _State.noted = None
    if number is not None:
        _State.raised = number
        raise Stopped(number)


def _is_main() -> bool:
    return threading.current_thread() is threading.main_thread()
