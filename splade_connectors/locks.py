"""Advisory file locks: the OS releases them when the process ends, however it ends."""

from __future__ import annotations

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]

AVAILABLE = fcntl is not None


def lock(number: int, *, wait: bool = False) -> bool | None:
    """Lock an open file or directory until it is closed.

    Args:
        number: file descriptor.
        wait: block until the lock is free.

    Returns:
        True if acquired, False if another process holds it, None if locking is unsupported.
    """
    if fcntl is None:
        return None
    try:
        fcntl.flock(number, fcntl.LOCK_EX if wait else fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:  # the file system does not support locks
        return None
    return True
