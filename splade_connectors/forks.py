"""Fork safety: in a forked child, the parent's threads and connections are unusable copies.

Objects with threads are never destroyed in a child, because their destructors would wait forever
for threads that do not exist. Objects that can be rebuilt are rebuilt on first use in the child.
"""

from __future__ import annotations

import ctypes
import os
import weakref
from typing import Any, Protocol, TypeVar

T = TypeVar("T")
# Read by the tokenizers library: whether it may use threads.
_TOKENIZERS = "TOKENIZERS_PARALLELISM"


class Renewed(Protocol):
    """An object that must be repaired in a child before it is used."""

    def after_fork(self) -> None:
        """Repair the object; called in the child."""


_threaded: weakref.WeakSet[Any] = weakref.WeakSet()
_renewed: weakref.WeakSet[Any] = weakref.WeakSet()
_before: list[str | None] = []


def never_destroy_in_children(threaded: T) -> T:
    """Register an object with its own threads, and return it."""
    _threaded.add(threaded)
    return threaded


def repair_in_children(thing: Renewed) -> None:
    """Register an object whose `after_fork` is called in every forked child."""
    _renewed.add(thing)


def _before_fork() -> None:
    # The tokenizers library reads this inside fork(): otherwise, a child whose parent used threads
    # warns on stderr, or hangs if the user asked for threads.
    _before.append(os.environ.get(_TOKENIZERS))
    os.environ[_TOKENIZERS] = "false"


def _in_parent() -> None:
    value = _before.pop()
    if value is None:
        del os.environ[_TOKENIZERS]
    else:
        os.environ[_TOKENIZERS] = value


def _keep_forever(thing: object) -> None:
    """Never destroy this object, not even on interpreter exit."""
    ctypes.pythonapi.Py_IncRef(ctypes.py_object(thing))


def _in_child() -> None:
    _before.clear()
    for threaded in list(_threaded):
        _keep_forever(threaded)
    for thing in list(_renewed):
        thing.after_fork()


if hasattr(os, "register_at_fork"):  # Windows has no fork
    os.register_at_fork(before=_before_fork, after_in_parent=_in_parent, after_in_child=_in_child)
