"""The child of a fork: threads and connections of its parent are copies there that do not work.

What has threads is never destroyed in a child, because its destructor would wait for threads that
are not there, forever. What can be made again is made again when the child first uses it.
"""

from __future__ import annotations

import ctypes
import os
import weakref
from typing import Any, Protocol, TypeVar

T = TypeVar("T")
# Whether the tokenizers use threads, as their library reads it.
_TOKENIZERS = "TOKENIZERS_PARALLELISM"


class Renewed(Protocol):
    """What a child has to set right before anything else is done with it."""

    def after_fork(self) -> None:
        """Called in the child."""


_threaded: weakref.WeakSet[Any] = weakref.WeakSet()
_renewed: weakref.WeakSet[Any] = weakref.WeakSet()
_before: list[str | None] = []


def not_destroyed_in_children(threaded: T) -> T:
    """What has threads of its own; it is returned as it is."""
    _threaded.add(threaded)
    return threaded


def renewed_in_children(thing: Renewed) -> None:
    """Call its `after_fork` in the child of a fork."""
    _renewed.add(thing)


def kept_for_ever(thing: object) -> None:
    """Never destroy this object, not when Python ends either."""
    ctypes.pythonapi.Py_IncRef(ctypes.py_object(thing))


def _before_fork() -> None:
    # Read by the tokenizers inside fork(): a child whose parent has used threads says so on
    # stderr, and hangs where the user has asked for threads.
    _before.append(os.environ.get(_TOKENIZERS))
    os.environ[_TOKENIZERS] = "false"


def _in_parent() -> None:
    value = _before.pop()
    if value is None:
        del os.environ[_TOKENIZERS]
    else:
        os.environ[_TOKENIZERS] = value


def _in_child() -> None:
    _before.clear()
    for threaded in list(_threaded):
        kept_for_ever(threaded)
    for thing in list(_renewed):
        thing.after_fork()


if hasattr(os, "register_at_fork"):  # Windows has no fork
    os.register_at_fork(before=_before_fork, after_in_parent=_in_parent, after_in_child=_in_child)
