"""Converted models in the user's cache: only the user's own entries, complete or not at all."""

from __future__ import annotations

import os
import shutil
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from platformdirs import user_cache_path

from splade_connectors import locks
from splade_connectors.encoders.model_files import RECORD_FILE
from splade_connectors.errors import ModelError

GRAPH_FILE = "model.onnx"
_UNFINISHED = ".unfinished"
_LOCK_FILE = "lock"
_PRIVATE = 0o700


def cache_folder() -> Path:
    """The folder of converted models; created if missing, accessible only to this user.

    Raises:
        ModelError: if it cannot be created.
    """
    folder = user_cache_path("splade-connectors") / "models"
    try:
        folder.parent.parent.mkdir(parents=True, exist_ok=True)
        for part in (folder.parent, folder):
            part.mkdir(mode=_PRIVATE, exist_ok=True)
    except OSError as error:
        raise _unusable(folder, error) from error
    return folder


def make(folder: Path) -> None:
    """Create an empty entry, before the long work that fills it.

    Raises:
        ModelError: if it cannot be created.
    """
    try:
        folder.mkdir(mode=_PRIVATE, parents=True, exist_ok=True)
    except OSError as error:
        raise _unusable(folder, error) from error


def _unusable(folder: Path, error: OSError) -> ModelError:
    return ModelError(
        f"the cache folder {folder} cannot be created ({error.strerror or error}); set "
        "XDG_CACHE_HOME to a folder that you own"
    )


def entry(name: str) -> Path:
    """The folder for a converted model, which may not exist yet; never another user's.

    Raises:
        ModelError: if other users own folders under every possible name.
    """
    root = cache_folder()
    remove_leftovers(root)
    for candidate in (root / name, root / f"{name}-{_user()}"):
        if not os.path.lexists(candidate) or _is_own(candidate):
            return candidate
    raise ModelError(
        f"the cache entry {root / name} belongs to another user; set XDG_CACHE_HOME to a folder "
        "that you own"
    )


def is_usable(folder: Path) -> bool:
    """Whether the folder holds a converted model that only this user can have written."""
    parts = (folder, folder / GRAPH_FILE, folder / RECORD_FILE)
    return all(os.path.lexists(part) and _is_own(part) and not _is_open(part) for part in parts)


@contextmanager
def whole_or_not_at_all(out: Path) -> Iterator[Path]:
    """A folder to fill, which replaces `out` if the block ends without an error."""
    # A name per process: another one may be converting the same model.
    unfinished = out.with_name(f"{out.name}.{os.getpid()}{_UNFINISHED}")
    shutil.rmtree(unfinished, ignore_errors=True)
    make(unfinished)
    lock = _lock(unfinished)
    try:
        yield unfinished
        (unfinished / _LOCK_FILE).unlink(missing_ok=True)
        _replace(unfinished, out)
    finally:
        if lock:
            lock.close()
        shutil.rmtree(unfinished, ignore_errors=True)


def remove_leftovers(root: Path) -> None:
    """Remove the unfinished folders of processes that were killed."""
    for folder in root.glob(f"*{_UNFINISHED}"):
        if _is_own(folder) and not _is_in_progress(folder):
            shutil.rmtree(folder, ignore_errors=True)


def _replace(unfinished: Path, out: Path) -> None:
    shutil.rmtree(out, ignore_errors=True)
    try:
        unfinished.rename(out)
    except OSError:
        if not is_usable(out):
            raise
        # Another process has just finished the same entry, which is just as good.


def _lock(folder: Path) -> IO[bytes] | None:
    """A lock that ends with the process and is seen by other containers on the same disk."""
    file = (folder / _LOCK_FILE).open("wb")
    if locks.lock(file.fileno()):
        return file
    file.close()
    (folder / _LOCK_FILE).unlink(missing_ok=True)
    return None


def _is_in_progress(folder: Path) -> bool:
    lock = folder / _LOCK_FILE
    if lock.is_file():
        try:
            with lock.open("rb") as file:
                # Its process held the lock: if it is free, the process has ended.
                return locks.lock(file.fileno()) is not True
        except OSError:
            return True
    process = folder.name.removesuffix(_UNFINISHED).rpartition(".")[2]
    return _lives(int(process)) if process.isdigit() else True


def _lives(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except (OSError, OverflowError):
        return True
    return True


def _user() -> int:
    return os.getuid() if hasattr(os, "getuid") else 0


def _is_own(path: Path) -> bool:
    """Whether this user owns a file or folder; links count as foreign."""
    try:
        found = path.lstat()
    except OSError:
        return False
    if stat.S_ISLNK(found.st_mode):
        return False
    return not hasattr(os, "getuid") or found.st_uid == _user()


def _is_open(path: Path) -> bool:
    """Whether other users may write to it."""
    return hasattr(os, "getuid") and bool(path.lstat().st_mode & (stat.S_IWGRP | stat.S_IWOTH))
