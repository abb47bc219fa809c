"""Files that are written: nothing that is there is lost by it.

A regular file is replaced when the new one is complete, and keeps its mode and owner; a device, a
pipe, or a stream that the shell opened is written to as it is.
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

# A disk, a quota or a file's largest size.
FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
_NEW = os.O_WRONLY | os.O_CREAT | os.O_EXCL
_OWN_STREAMS = (1, 2)
_OPEN_FILES = {Path("/dev/fd"), Path("/proc/self/fd")}


@contextmanager
def replacing(path: Path) -> Iterator[IO[str]]:
    """A text file to write into, which takes the place of `path` when the block has ended well.

    Raises:
        OSError: when it cannot be written; from the block as well.
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
    """Write a text file whole, or not at all.

    Raises:
        ConfigurationError: when it cannot be written.
    """
    try:
        with replacing(path) as file:
            file.write(text)
    except OSError as error:
        raise ConfigurationError(f"cannot write {path}: {reason_of(error)}") from error


def reason_of(error: OSError) -> str:
    """The system's words, without the path that our sentence names."""
    return error.strerror or type(error).__name__


def opened_in_place(path: Path, *, mode: int) -> IO[str]:
    """A text file that takes the place of `path` at once.

    It is written line by line: what was written before a crash is in it.

    Args:
        path: where; a link is followed.
        mode: of a file that was not there.

    Raises:
        BlockingIOError: when another process is writing the file in this way.
        OSError: when it cannot be written.
    """
    if _is_written_to(path):
        return _written_to(path, by_line=True)
    place = _place(path)
    unfinished, file = _unfinished(place, mode, by_line=True)
    try:
        with _alone_in(place.parent):
            if _is_held(place):
                raise BlockingIOError(errno.EWOULDBLOCK, "another process is writing it")
            locks.lock(file.fileno())
            unfinished.replace(place)
    except BaseException:
        file.close()
        unfinished.unlink(missing_ok=True)
        raise
    return file


def opened_as_new(path: Path, mode: int = 0o600) -> tuple[Path, IO[str]]:
    """A text file that was not there before: this one, or one with a number in its name.

    It is written line by line.

    Raises:
        OSError: when it cannot be written.
    """
    for number in count(1):
        name = path if number == 1 else path.with_name(f"{path.stem}-{number}{path.suffix}")
        with suppress(FileExistsError):
            return name, _text(os.open(name, _NEW, mode), by_line=True)
    raise AssertionError  # pragma: no cover  # there is always a next number


@contextmanager
def _alone_in(folder: Path) -> Iterator[None]:
    """Others who look whether a file of this folder is held wait until the block has ended."""
    if not locks.AVAILABLE:  # Windows: there, nobody can replace a file that is open
        yield
        return
    number = os.open(folder, os.O_RDONLY)
    try:
        locks.lock(number, wait=True)
        yield
    finally:
        os.close(number)


def _is_held(place: Path) -> bool:
    """Whether another process is writing the file, or another part of this one."""
    try:
        number = os.open(place, os.O_RDONLY)
    except OSError:  # not there, or not ours to read
        return False
    try:
        return locks.lock(number) is False
    finally:
        os.close(number)


def whole_or_not(file: IO[str], line: str) -> None:
    """Write a line to a file that is written line by line; what fails leaves no part of it.

    Raises:
        OSError: when it cannot be written.
    """
    before = os.fstat(file.fileno()).st_size
    try:
        file.write(line)
        file.flush()
    except OSError:
        with suppress(OSError):  # of a pipe there is nothing to take back
            os.ftruncate(file.fileno(), before)
        raise


def temporary_folder() -> Path | None:
    """The folder for temporary files, None if there is none that can be written to."""
    import tempfile

    try:
        return Path(tempfile.gettempdir())
    except OSError:
        return None


def is_no_file(path: Path) -> bool:
    """Whether this is a device or a pipe, or one of our streams: what its owner has chosen."""
    return _is_written_to(path)


def same_file(path: Path, other: Path) -> bool:
    """Whether two names are of one file, however they are spelled, and which others it has.

    Of regular files only: what is written to a device or a pipe takes nothing from its reader.
    """
    if str(other) == "-":
        return _is_stream(path, 0)
    try:
        return path.is_file() and os.path.samefile(path, other)
    except OSError:
        return False


def check_outputs(*paths: Path | None, inputs: Iterable[Path | None] = ()) -> None:
    """Refuse, before long work, files that cannot be written after it, or that it would destroy.

    Args:
        *paths: to be written; None for none.
        inputs: what the same command reads; "-" is the standard input.

    Raises:
        ConfigurationError: naming the folder that is missing, the one that is in a file's place,
            or the file that is read or written as well.
    """
    given = [path for path in paths if path is not None]
    read = [path for path in inputs if path is not None]
    for number, path in enumerate(given):
        if any(same_file(path, other) for other in read):
            raise ConfigurationError(f"{path} is read from, so it cannot be written: name another")
        if any(_same_place(path, other) for other in given[:number]):
            raise ConfigurationError(f"{path} would be written twice: name another file")
        _check_writable(path)


def _check_writable(path: Path) -> None:
    if path.is_dir():
        raise ConfigurationError(f"cannot write {path}: it is a folder")
    if _is_written_to(path):
        if not os.access(path, os.W_OK):
            raise ConfigurationError(f"cannot write {path}: this user may not")
        return
    place = _place(path)
    if not place.parent.is_dir():
        folder = place.parent if path.is_symlink() else path.parent
        raise ConfigurationError(f"cannot write {path}: there is no folder {folder}")
    # It is replaced, so the folder must be writable as well.
    for needed in (place, place.parent) if place.exists() else (place.parent,):
        if not os.access(needed, os.W_OK):
            raise ConfigurationError(f"cannot write {path}: this user may not")


def _same_place(path: Path, other: Path) -> bool:
    return not _is_written_to(path) and (_place(path) == _place(other) or same_file(path, other))


def _place(path: Path) -> Path:
    """Where the file itself is, or will be: behind any links."""
    return Path(os.path.realpath(path))


def _is_written_to(path: Path) -> bool:
    """Whether the file is written to as it is: no regular one, or one that the shell has opened."""
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
    # Never truncated, and after what is in it: the shell may have been told to append (`>> log`).
    return _text(os.open(path, os.O_WRONLY | os.O_APPEND), by_line)


def _unfinished(place: Path, mode: int, by_line: bool = False) -> tuple[Path, IO[str]]:
    """A new file beside the one that it will replace, as that is."""
    path = place.with_name(f".{place.name}.{token_hex(4)}.unfinished")
    number = os.open(path, _NEW, mode)
    try:
        with suppress(FileNotFoundError):
            former = place.stat()
            with suppress(PermissionError):  # only root gives files away
                os.fchown(number, former.st_uid, former.st_gid)
            os.fchmod(number, stat.S_IMODE(former.st_mode))
    except BaseException:
        os.close(number)
        path.unlink()
        raise
    return path, _text(number, by_line)


def _text(number: int, by_line: bool = False) -> IO[str]:
    return os.fdopen(number, "w", encoding="utf-8", buffering=1 if by_line else -1)
