"""Text encodings of files: detected where certain, otherwise given by the user."""

from __future__ import annotations

import codecs
import io
from typing import IO, Any, cast

from splade_connectors.errors import ConfigurationError

# UTF-32 before UTF-16, whose byte order mark is a prefix of UTF-32's.
_MARKS = {
    codecs.BOM_UTF8: "utf-8",
    codecs.BOM_UTF32_LE: "utf-32",
    codecs.BOM_UTF32_BE: "utf-32",
    codecs.BOM_UTF16_LE: "utf-16",
    codecs.BOM_UTF16_BE: "utf-16",
}
_CHUNK = 1 << 16


def check_encoding(name: str) -> None:
    """Validate the name of a text encoding.

    Raises:
        ConfigurationError: naming a few valid ones.
    """
    try:
        "".encode(name)
    except (LookupError, ValueError) as error:
        raise ConfigurationError(
            f"unknown encoding {name!r} (--encoding); use, for example, utf-8, utf-16, "
            "windows-1252 or shift_jis"
        ) from error


def as_utf8(data: Any, encoding: str | None, name: str) -> IO[bytes]:
    """Return the text in UTF-8, without a byte order mark.

    Args:
        data: a stream that supports `peek`.
        encoding: None detects it: by the byte order mark, or UTF-16 by zero bytes in ASCII text;
            otherwise UTF-8.
        name: file name, for messages.
    """
    beginning = data.peek(4)[:4]
    found = encoding or _encoding_of(beginning)
    if codecs.lookup(found).name != "utf-8":
        return cast(IO[bytes], io.BufferedReader(_Recoded(data, found, name), _CHUNK))
    if beginning.startswith(codecs.BOM_UTF8):
        data.read(len(codecs.BOM_UTF8))
    return cast(IO[bytes], data)


def _encoding_of(beginning: bytes) -> str:
    for mark, name in _MARKS.items():
        if beginning.startswith(mark):
            return name
    zeros = [byte == 0 for byte in beginning]
    if zeros == [False, True, False, True]:
        return "utf-16-le"
    if zeros == [True, False, True, False]:
        return "utf-16-be"
    return "utf-8"


def encoding_error(name: str, error: UnicodeDecodeError, where: str = "") -> ConfigurationError:
    """Return the error for bytes that are invalid in an encoding."""
    encoding = "UTF-8" if error.encoding == "utf-8" else error.encoding
    return ConfigurationError(
        f"{name} is not valid {encoding}{where} ({error.reason}); save it as UTF-8, or pass its "
        "encoding, such as --encoding windows-1252"
    )


class _Recoded(io.RawIOBase):
    """A UTF-8 view of a stream in another encoding.

    Args:
        data: the stream.
        encoding: its encoding.
        name: file name, for messages.
    """

    def __init__(self, data: IO[bytes], encoding: str, name: str) -> None:
        self._data = data
        self._decoder = codecs.getincrementaldecoder(encoding)()
        self._name = name
        self._left = b""
        self._ended = False

    def readable(self) -> bool:
        """Return True."""
        return True

    def readinto(self, buffer: Any) -> int:
        """As `io.RawIOBase.readinto`."""
        while not self._left and not self._ended:
            self._left = self._next().encode("utf-8", "surrogatepass")
        made = self._left[: len(buffer)]
        self._left = self._left[len(made) :]
        buffer[: len(made)] = made
        return len(made)

    def _next(self) -> str:
        read = self._data.read(_CHUNK)
        self._ended = not read
        try:
            return self._decoder.decode(read, final=self._ended)
        except UnicodeDecodeError as error:
            raise encoding_error(self._name, error) from error
