"""Ctrl-C, SIGTERM and SIGHUP all end a run, but never within the bookkeeping of a verb.

A handler that raises at an arbitrary point loses whatever the program was about to record. So code
that must not be interrupted holds signals back (`held`), and code that takes time receives them
(`heard`). The program's own handlers are left alone; Python's default for Ctrl-C is held back too.
"""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from types import FrameType
from typing import Any, TypeVar

T = TypeVar("T")

# Windows has no SIGHUP.
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
    """The state of the main thread, in which Python runs signal handlers."""

    held = False
    # A signal that arrived while signals were held back.
    noted: int | None = None
    # Raised but not yet acted upon: an import lock or a destructor may have swallowed it.
    raised: int | None = None
    # The first signal ever received, which determines the exit code.
    first: int | None = None


def stop(number: int, frame: FrameType | None) -> None:
    """A signal handler: note the signal if signals are held back, else raise `Stopped`."""
    _State.first = _State.first or number
    if _State.held:
        _State.noted = _State.noted or number
        return
    _State.raised = number
    raise Stopped(number)


def end_by_signals(handler: Callable[[int, FrameType | None], None] = stop) -> None:
    """Make every signal that ends a run raise `Stopped`; ignored signals stay ignored."""
    usual = (signal.SIG_DFL, signal.default_int_handler, stop)
    for number in ENDING:
        if signal.getsignal(number) in usual:
            signal.signal(number, handler)


def exit_code(error: BaseException | None = None) -> int:
    """128 plus the number of the signal that ends this process, or of Ctrl-C if there was none."""
    while error is not None and not isinstance(error, Stopped):
        error = error.__cause__
    number = error.number if isinstance(error, Stopped) else _State.first
    return 128 + (number or signal.SIGINT)


def arrived() -> bool:
    """Whether a signal that ends this process has arrived."""
    return _State.first is not None


def acted_upon() -> None:
    """Record that the raised signal is ending the run, so that the next one counts as a second."""
    _State.raised = None


@contextmanager
def held() -> Iterator[None]:
    """Hold signals back: they are noted, and raised at the end or on entering `heard`."""
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
        # In this order, so that the next signal is raised whenever it arrives.
        _State.held = before
        if pythons:
            signal.signal(signal.SIGINT, signal.default_int_handler)
        if not before:
            _raise(_State.noted)


def heard() -> AbstractContextManager[None]:
    """Within `held`, raise signals immediately, including those already noted."""
    # Every step of every verb comes here, and signals are hardly ever held back.
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
    """Iterate over items, raising signals immediately while waiting for the next one."""
    iterator, end = iter(items), object()
    while True:
        with heard():
            item: Any = next(iterator, end)
        if item is end:
            return
        yield item


@contextmanager
def holding() -> Iterator[Callable[[], None]]:
    """Yield a function; from its call until the end of the block, signals are held back."""

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
