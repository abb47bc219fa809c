"""Which characters a file's bytes are: found out where that is certain, named where it is not."""

from __future__ import annotations

import codecs
import io
from typing import IO, Any, cast

from splade_connectors.errors import ConfigurationError

# UTF-32's mark begins like that of UTF-16.
_MARKS = {
    codecs.BOM_UTF8: "utf-8",
    codecs.BOM_UTF32_LE: "utf-32",
    codecs.BOM_UTF32_BE: "utf-32",
    codecs.BOM_UTF16_LE: "utf-16",
    codecs.BOM_UTF16_BE: "utf-16",
}
_CHUNK = 1 << 16


def check_encoding(name: str) -> None:
    """Refuse what is not an encoding of text.

    Raises:
        ConfigurationError: naming some.
    """
    try:
        "".encode(name)
    except (LookupError, ValueError) as error:
        raise ConfigurationError(
            f"the encoding {name!r} (--encoding) is not known; utf-8, utf-16, windows-1252 and "
            "shift_jis are, for example"
        ) from error


def as_utf8(data: Any, encoding: str | None, name: str) -> IO[bytes]:
    """The same text in UTF-8, without a byte order mark.

    Args:
        data: of which something can be peeked at.
        encoding: None finds it out: a byte order mark says it, zeros in ASCII text say UTF-16,
            and everything else is read as UTF-8.
        name: of the file.
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


def not_this_encoding(name: str, error: UnicodeDecodeError, where: str = "") -> ConfigurationError:
    """What to say of bytes that are no text."""
    encoding = "UTF-8" if error.encoding == "utf-8" else error.encoding
    return ConfigurationError(
        f"{name} is not {encoding}{where} ({error.reason}): save it as UTF-8, or name its "
        "encoding, such as --encoding windows-1252"
    )


class _Recoded(io.RawIOBase):
    """UTF-8 of a stream in another encoding.

    Args:
        data: the stream.
        encoding: its encoding.
        name: of the file.
    """

    def __init__(self, data: IO[bytes], encoding: str, name: str) -> None:
        self._data = data
        self._decoder = codecs.getincrementaldecoder(encoding)()
        self._name = name
        self._left = b""
        self._ended = False

    def readable(self) -> bool:
        """It is."""
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
            raise not_this_encoding(self._name, error) from error
