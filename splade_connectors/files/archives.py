"""Streaming decompression of gzip, bzip2, xz and Zstandard files.

Only the data that the reader asks for is held in memory, and the decompression window that an
archive may require is bounded.
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

# xz -9 needs 65 MiB; anything that needs more was crafted to.
_LARGEST_WINDOW = 128 << 20
_WINDOW_BITS = 27  # 128 MiB, zstd's own default limit
_CHUNK = 1 << 16

# By file extension, and by magic bytes.
_ENDINGS = {".gz": "gzip", ".bz2": "bzip2", ".xz": "xz", ".zst": "zstd"}
_BEGINNINGS = {
    b"\x1f\x8b": "gzip",
    b"BZh": "bzip2",
    b"\xfd7zXZ\x00": "xz",
    b"\x28\xb5\x2f\xfd": "zstd",
}
LONGEST_BEGINNING = max(map(len, _BEGINNINGS))
# Exceptions that decompression raises, besides OSError; the reader turns them into a message.
DAMAGED = (OSError, EOFError, zlib.error, lzma.LZMAError)


def packing_of(path: Path) -> str | None:
    """Return the compression of a file, by its extension; None if it is not compressed."""
    return _ENDINGS.get(path.suffix.lower())


def packing_in(beginning: bytes) -> str | None:
    """Return the compression of data, by its magic bytes; None if it is not compressed."""
    return next((name for mark, name in _BEGINNINGS.items() if beginning.startswith(mark)), None)


def without_packing(path: Path) -> Path:
    """Return the file name without its compression extension."""
    return path.with_suffix("") if packing_of(path) else path


def unpacked(file: IO[bytes], packing: str) -> IO[bytes]:
    """Return a stream of the decompressed data.

    Raises:
        MissingDependency: for Zstandard before Python 3.14, if backports.zstd is not installed.
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
        """Like the decompressors of the standard library; raises OSError for damaged data."""

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
    """Decompresses the concatenated streams of an archive.

    Args:
        file: the archive.
        decompressor: creates a decompressor like those of `lzma` and `bz2`.
    """

    def __init__(self, file: IO[bytes], decompressor: Callable[[], Any]) -> None:
        self._file = file
        self._decompressor = decompressor
        self._stream = decompressor()
        self._began = False

    def readable(self) -> bool:
        """Return True."""
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
        """Advance to the next stream, if any; trailing zeros are padding."""
        rest = self._stream.unused_data.lstrip(b"\x00") or self._file.read(_CHUNK)
        while rest and not rest.strip(b"\x00"):
            rest = self._file.read(_CHUNK)
        if not rest:
            return False
        self._stream = self._decompressor()
        self._file = cast(IO[bytes], _Rejoined(rest.lstrip(b"\x00"), self._file))
        return True


class _Rejoined:
    """Bytes already read, followed by the rest of the file."""

    def __init__(self, beginning: bytes, file: Any) -> None:
        self._beginning = beginning
        self._file = file

    def read(self, size: int) -> bytes:
        """Read at most `size` bytes."""
        beginning, self._beginning = self._beginning, b""
        return beginning or cast(bytes, self._file.read(size))


class Beginning(io.RawIOBase):
    """A stream whose first bytes were already read. Closing it leaves the stream open.

    Args:
        beginning: the bytes already read.
        rest: the rest of the stream.
    """

    def __init__(self, beginning: bytes, rest: IO[bytes]) -> None:
        self._beginning = beginning
        self._rest = rest

    def readable(self) -> bool:
        """Return True."""
        return True

    def readinto(self, buffer: Any) -> int:
        """As `io.RawIOBase.readinto`."""
        made = self._beginning[: len(buffer)] or _some(self._rest, len(buffer))
        self._beginning = self._beginning[len(made) :] if self._beginning else b""
        buffer[: len(made)] = made
        return len(made)


def _some(stream: Any, size: int) -> bytes:
    """Read what is available without waiting for a full block, so that typed lines arrive."""
    return cast(bytes, stream.read1(size) if hasattr(stream, "read1") else stream.read(size))
