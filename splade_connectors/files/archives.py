"""Packed files, unpacked as they are read: gzip, bzip2, xz and Zstandard.

What is unpacked is never held, but for what the reader asks for; and the window that an archive
wants to be looked back into is bounded.
"""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import sys
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import IO, Any, cast

from splade_connectors.extras import require

# xz -9 takes 65 MiB; what wants more was made to.
_LARGEST_WINDOW = 128 << 20
_WINDOW_BITS = 27  # 128 MiB, what zstd itself unpacks unless told otherwise
_CHUNK = 1 << 16

# By the end of a file's name, and by how the file begins.
_ENDINGS = {".gz": "gzip", ".bz2": "bzip2", ".xz": "xz", ".zst": "zstd"}
_BEGINNINGS = {
    b"\x1f\x8b": "gzip",
    b"BZh": "bzip2",
    b"\xfd7zXZ\x00": "xz",
    b"\x28\xb5\x2f\xfd": "zstd",
}
LONGEST_BEGINNING = max(map(len, _BEGINNINGS))
# What unpacking raises, beside OSError: the reader makes a sentence of it.
DAMAGED = (OSError, EOFError, zlib.error, lzma.LZMAError)


def packing_of(path: Path) -> str | None:
    """How a file is packed, by the end of its name; None if it is not."""
    return _ENDINGS.get(path.suffix.lower())


def packing_in(beginning: bytes) -> str | None:
    """How data is packed, by its first bytes; None if it is not."""
    return next((name for mark, name in _BEGINNINGS.items() if beginning.startswith(mark)), None)


def without_packing(path: Path) -> Path:
    """The name of what is in an archive."""
    return path.with_suffix("") if packing_of(path) else path


def unpacked(file: IO[bytes], packing: str) -> IO[bytes]:
    """What is in an archive, as it is read.

    Raises:
        MissingDependency: for Zstandard, before Python 3.14.
    """
    if packing == "gzip":
        return cast(IO[bytes], gzip.GzipFile(fileobj=file))
    return cast(IO[bytes], io.BufferedReader(_Unpacked(file, _UNPACKERS[packing]()), _CHUNK))


def _xz() -> Callable[[], Any]:
    return lambda: lzma.LZMADecompressor(memlimit=_LARGEST_WINDOW)


def _bzip2() -> Callable[[], Any]:
    return bz2.BZ2Decompressor


def _zstd() -> Callable[[], Any]:
    name = "compression.zstd" if sys.version_info >= (3, 14) else "backports.zstd"
    module: Any = require(name, "zstd", "reading .zst")
    window = {module.DecompressionParameter.window_log_max: _WINDOW_BITS}

    class Decompressor:
        """As those of the standard library; its error is one that the reader knows."""

        def __init__(self) -> None:
            self._inner = module.ZstdDecompressor(options=window)

        def __getattr__(self, name: str) -> Any:
            return getattr(self._inner, name)

        def decompress(self, data: bytes, max_length: int) -> bytes:
            try:
                return cast(bytes, self._inner.decompress(data, max_length))
            except module.ZstdError as error:
                raise OSError(str(error)) from error

    return Decompressor


_UNPACKERS: dict[str, Callable[[], Callable[[], Any]]] = {
    "xz": _xz,
    "bzip2": _bzip2,
    "zstd": _zstd,
}


class _Unpacked(io.RawIOBase):
    """The streams in an archive, one after the other.

    Args:
        file: the archive.
        decompressor: makes one, as `lzma` and `bz2` have them.
    """

    def __init__(self, file: IO[bytes], decompressor: Callable[[], Any]) -> None:
        self._file = file
        self._decompressor = decompressor
        self._stream = decompressor()
        self._began = False

    def readable(self) -> bool:
        """It is."""
        return True

    def readinto(self, buffer: Any) -> int:
        """As `io.RawIOBase.readinto`."""
        while True:
            if self._stream.eof and not self._next_stream():
                return 0
            data = b""
            if self._stream.needs_input:
                data = self._file.read(_CHUNK)
                if not data and not self._began:
                    return 0
                if not data:
                    raise EOFError("the archive is truncated")
                self._began = True
            made = self._stream.decompress(data, len(buffer))
            if made:
                buffer[: len(made)] = made
                return len(made)

    def _next_stream(self) -> bool:
        """Whether the archive has another stream; zeros at its end are padding."""
        rest = self._stream.unused_data.lstrip(b"\x00") or self._file.read(_CHUNK)
        while rest and not rest.strip(b"\x00"):
            rest = self._file.read(_CHUNK)
        if not rest:
            return False
        self._stream = self._decompressor()
        self._file = cast(IO[bytes], _Rejoined(rest.lstrip(b"\x00"), self._file))
        return True


class _Rejoined:
    """Bytes that were read already, and the rest of their file."""

    def __init__(self, beginning: bytes, file: Any) -> None:
        self._beginning = beginning
        self._file = file

    def read(self, size: int) -> bytes:
        """The next bytes, at most so many."""
        beginning, self._beginning = self._beginning, b""
        return beginning or cast(bytes, self._file.read(size))


class Beginning(io.RawIOBase):
    """A stream whose first bytes have been looked at. Closing it leaves the stream open.

    Args:
        beginning: those bytes.
        rest: what follows.
    """

    def __init__(self, beginning: bytes, rest: IO[bytes]) -> None:
        self._beginning = beginning
        self._rest = rest

    def readable(self) -> bool:
        """It is."""
        return True

    def readinto(self, buffer: Any) -> int:
        """As `io.RawIOBase.readinto`."""
        made = self._beginning[: len(buffer)] or _some(self._rest, len(buffer))
        self._beginning = self._beginning[len(made) :] if self._beginning else b""
        buffer[: len(made)] = made
        return len(made)


def _some(stream: Any, size: int) -> bytes:
    """What is there of a stream already: who types lines waits for no block to be full."""
    return cast(bytes, stream.read1(size) if hasattr(stream, "read1") else stream.read(size))
