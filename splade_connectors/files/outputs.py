"""Writing files without losing existing ones.

A regular file is replaced once the new one is complete, keeping mode and owner; a device, a pipe,
or a stream that the shell opened is written to directly.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from itertools import count
from pathlib import Path
from secrets import token_hex
from typing import IO

from splade_connectors import locks
from splade_connectors.errors import ConfigurationError
from splade_connectors.shown import reason_of

# Disk full, quota exceeded, or maximum file size reached.
FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
_NEW = os.O_WRONLY | os.O_CREAT | os.O_EXCL
_OWN_STREAMS = (1, 2)
_OPEN_FILES = {Path("/dev/fd"), Path("/proc/self/fd")}


@contextmanager
def replacing(path: Path) -> Iterator[IO[str]]:
    """Yield a text file that replaces `path` if the block succeeds.

    Raises:
        OSError: if it cannot be written; also from the block.
    """
    if _is_written_to(path):
        with _written_to(path) as file:
            yield file
        return
    place = _place(path)
    unfinished, file = _unfinished(place, 0o666)
    try:
        with file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        unfinished.replace(place)
    finally:
        unfinished.unlink(missing_ok=True)


def write_text(path: Path, text: str) -> None:
    """Write a text file atomically.

    Raises:
        ConfigurationError: if it cannot be written.
    """
    try:
        with replacing(path) as file:
            file.write(text)
    except OSError as error:
        raise ConfigurationError(f"cannot write {path}: {reason_of(error)}") from error


def opened_in_place(path: Path, *, mode: int) -> IO[str]:
    """Open a text file that replaces `path` immediately.

    It is line-buffered, so everything written before a crash is in it.

    Args:
        path: path of the file; links are followed.
        mode: mode of a new file.

    Raises:
        BlockingIOError: if another process has the file open in this way.
        OSError: if it cannot be written.
    """
    if _is_written_to(path):
        return _written_to(path, by_line=True)
    place = _place(path)
    unfinished, file = _unfinished(place, mode, by_line=True)
    try:
        with _alone_in(place.parent):
            if _is_held(place):
                raise BlockingIOError(errno.EWOULDBLOCK, "another process is writing to it")
            locks.lock(file.fileno())
            unfinished.replace(place)
    except BaseException:
        file.close()
        unfinished.unlink(missing_ok=True)
        raise
    return file


def opened_as_new(path: Path, mode: int = 0o600) -> tuple[Path, IO[str]]:
    """Create a new text file: this one, or one with a number appended to its name.

    It is line-buffered.

    Raises:
        OSError: if it cannot be written.
    """
    for number in count(1):
        name = path if number == 1 else path.with_name(f"{path.stem}-{number}{path.suffix}")
        with suppress(FileExistsError):
            return name, _text(os.open(name, _NEW, mode), by_line=True)
    raise AssertionError  # pragma: no cover  # there is always a next number


@contextmanager
def _alone_in(folder: Path) -> Iterator[None]:
    """Lock the folder, so that other processes wait before checking whether a file is held."""
    if not locks.AVAILABLE:  # Windows, where an open file cannot be replaced
        yield
        return
    number = os.open(folder, os.O_RDONLY)
    try:
        locks.lock(number, wait=True)
        yield
    finally:
        os.close(number)


def _is_held(place: Path) -> bool:
    """Whether another process, or another part of this one, is writing the file."""
    try:
        number = os.open(place, os.O_RDONLY)
    except OSError:  # does not exist, or is not readable
        return False
    try:
        return locks.lock(number) is False
    finally:
        os.close(number)


def write_whole_line(file: IO[str], line: str) -> None:
    """Write a line to a line-buffered file, leaving no partial line on failure.

    Raises:
        OSError: if it cannot be written.
    """
    before = os.fstat(file.fileno()).st_size
    try:
        file.write(line)
        file.flush()
    except OSError:
        with suppress(OSError):  # a pipe cannot be truncated
            os.ftruncate(file.fileno(), before)
        raise


def temporary_folder() -> Path | None:
    """Return the temporary folder; None if there is no writable one."""
    import tempfile

    try:
        return Path(tempfile.gettempdir())
    except OSError:
        return None


def is_special_file(path: Path) -> bool:
    """Return whether a path is a device, a pipe or one of our streams rather than a file."""
    return _is_written_to(path)


def same_file(path: Path, other: Path) -> bool:
    """Return whether two paths refer to the same file, also through links.

    Regular files only: writing to a device or a pipe does not harm its reader.
    """
    if str(other) == "-":
        return _is_stream(path, 0)
    try:
        return path.is_file() and os.path.samefile(path, other)
    except OSError:
        return False


def check_outputs(*paths: Path | None, inputs: Iterable[Path | None] = ()) -> None:
    """Before long work, refuse outputs that cannot be written or would overwrite an input.

    Args:
        *paths: output files; None entries are ignored.
        inputs: files that the same command reads; "-" is stdin.

    Raises:
        ConfigurationError: if a folder is missing, a path is a folder, or a file is also read or
            written twice.
    """
    given = [path for path in paths if path is not None]
    read = [path for path in inputs if path is not None]
    for number, path in enumerate(given):
        if any(same_file(path, other) for other in read):
            raise ConfigurationError(
                f"{path} is an input, so it cannot be written; name another file"
            )
        if any(_same_place(path, other) for other in given[:number]):
            raise ConfigurationError(f"{path} would be written twice; name another file")
        _check_writable(path)


def _check_writable(path: Path) -> None:
    if path.is_dir():
        raise ConfigurationError(f"cannot write {path}: it is a folder")
    if _is_written_to(path):
        if not os.access(path, os.W_OK):
            raise ConfigurationError(f"cannot write {path}: permission denied")
        return
    place = _place(path)
    if not place.parent.is_dir():
        folder = place.parent if path.is_symlink() else path.parent
        raise ConfigurationError(f"cannot write {path}: the folder {folder} does not exist")
    # The file is replaced, so its folder must be writable too.
    for needed in (place, place.parent) if place.exists() else (place.parent,):
        if not os.access(needed, os.W_OK):
            raise ConfigurationError(f"cannot write {path}: permission denied")


def _same_place(path: Path, other: Path) -> bool:
    return not _is_written_to(path) and (_place(path) == _place(other) or same_file(path, other))


def _place(path: Path) -> Path:
    """The real path of the file, with links resolved."""
    return Path(os.path.realpath(path))


def _is_written_to(path: Path) -> bool:
    """Whether to write to the file directly: it is not regular, or the shell has opened it."""
    if path.parent in _OPEN_FILES or any(_is_stream(path, number) for number in _OWN_STREAMS):
        return True
    return path.exists() and not path.is_file()


def _is_stream(path: Path, number: int) -> bool:
    try:
        found, stream = os.stat(path), os.fstat(number)
    except OSError:
        return False
    return stat.S_ISREG(found.st_mode) and os.path.samestat(found, stream)


def _written_to(path: Path, by_line: bool = False) -> IO[str]:
    # Append without truncating: the shell may have been told to append (`>> log`).
    return _text(os.open(path, os.O_WRONLY | os.O_APPEND), by_line)


def _unfinished(place: Path, mode: int, by_line: bool = False) -> tuple[Path, IO[str]]:
    """Create a file next to the one it will replace, with the same mode and owner."""
    path = place.with_name(f".{place.name}.{token_hex(4)}.unfinished")
    number = os.open(path, _NEW, mode)
    try:
        with suppress(FileNotFoundError):
            former = place.stat()
            with suppress(PermissionError):  # only root can change the owner
                os.fchown(number, former.st_uid, former.st_gid)
            os.fchmod(number, stat.S_IMODE(former.st_mode))
    except BaseException:
        os.close(number)
        path.unlink()
        raise
    return path, _text(number, by_line)


def _text(number: int, by_line: bool = False) -> IO[str]:
    return os.fdopen(number, "w", encoding="utf-8", buffering=1 if by_line else -1)
