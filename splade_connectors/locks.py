"""Advisory locks of open files: they end with the process that holds them, however it ends."""

from __future__ import annotations

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]

AVAILABLE = fcntl is not None


def lock(number: int, *, wait: bool = False) -> bool | None:
    """Lock an open file or folder until it is closed.

    Args:
        number: its descriptor.
        wait: until nobody else holds it.

    Returns:
        Whether it is ours now; False while others hold it, None where nothing can be locked.
    """
    if fcntl is None:
        return None
    try:
        fcntl.flock(number, fcntl.LOCK_EX if wait else fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:  # a file system without locks
        return None
    return True
