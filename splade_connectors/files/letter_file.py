"""The dead-letter file: its location, and where writing continues when the disk is full."""

from __future__ import annotations

import os
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from typing import IO

from splade_connectors.errors import ConfigurationError
from splade_connectors.files.outputs import (
    FULL,
    check_outputs,
    is_special_file,
    opened_as_new,
    opened_in_place,
    temporary_folder,
    write_whole_line,
)
from splade_connectors.shown import ADVICE, reason_of


class LetterFile:
    """A file of lines that is created when the first line is written.

    Args:
        path: the file; None means one named after the current time, in the current folder or, if
            that is not writable or is the root (of a container), in the temporary folder.

    Attributes:
        path: the file; the last one if the first one's disk was full.
        named: whether the caller named it.

    Raises:
        ConfigurationError: immediately, if the file cannot be written.
    """

    def __init__(self, path: str | Path | None) -> None:
        self.named = path is not None
        # Why the file is elsewhere; logged when the first line is written.
        self._elsewhere = ""
        self._file: IO[str] | None = None
        if path is None:
            self.path = self._default_path()
            return
        self.path = Path(path)
        if not self.path.parent.is_dir():
            raise ConfigurationError(
                f"cannot write dead letters to {self.path}: the folder {self.path.parent} does not "
                "exist"
            )
        check_outputs(self.path)

    def write(self, line: str) -> None:
        """Append a line, to another file if this one's disk is full.

        Raises:
            ConfigurationError: if it cannot be written anywhere.
        """
        try:
            self._file = self._file or self._opened()
            write_whole_line(self._file, line)
        except OSError as error:
            if error.errno not in FULL or is_special_file(self.path):
                raise self._unwritable(error) from error
            self._go_on_elsewhere(error)
            self.write(line)

    def close(self) -> None:
        """Flush and close the file.

        Raises:
            ConfigurationError: if it cannot be written.
        """
        file, self._file = self._file, None
        if file is not None:
            try:
                file.close()
            except OSError as error:  # the disk is full, so flushing fails again
                raise self._unwritable(error) from error

    def _opened(self) -> IO[str]:
        if self.named:
            try:
                return opened_in_place(self.path, mode=0o600)
            except BlockingIOError:
                self._elsewhere = f"another run is writing to {self.path}"
        self.path, file = opened_as_new(self.path)
        if self._elsewhere:
            ADVICE.warning("writing dead letters to %s: %s", self.path, self._elsewhere)
        return file

    def _go_on_elsewhere(self, error: OSError) -> None:
        """Continue in the temporary folder, once; if that is full too, raise."""
        folder = temporary_folder()
        if folder is None or self.path.parent == folder:
            raise self._unwritable(error) from error
        file, self._file, self.named = self._file, None, False
        if file is not None:
            _remove_if_empty(self.path, file)
            with suppress(OSError):  # the line that failed is written elsewhere
                file.close()
        self._elsewhere = f"{self.path} is full ({reason_of(error)})"
        self.path = folder / _default_name()

    def _default_path(self) -> Path:
        here = _present_folder()
        if here is not None and here != Path(here.anchor) and os.access(here, os.W_OK):
            return Path(_default_name())
        folder, instead_of = temporary_folder(), here or "the current folder"
        if folder is None:
            raise ConfigurationError(
                f"cannot write dead letters to {instead_of} or a temporary folder; name a file "
                "with --dead-letters FILE"
            )
        self._elsewhere = f"this user cannot write to {instead_of}"
        return folder / _default_name()

    def _unwritable(self, error: OSError) -> ConfigurationError:
        return ConfigurationError(f"cannot write dead letters to {self.path}: {reason_of(error)}")


def _remove_if_empty(path: Path, file: IO[str]) -> None:
    """Remove a file that not even its first line fits into, unless another has replaced it."""
    with suppress(OSError):
        place, opened = Path(os.path.realpath(path)), os.fstat(file.fileno())
        if opened.st_size == 0 and os.path.samestat(place.stat(), opened):
            place.unlink()


def _default_name() -> str:
    return f"dead-letters-{datetime.now():%Y%m%d-%H%M%S}.jsonl"


def _present_folder() -> Path | None:
    """The current folder; None if it was removed."""
    try:
        return Path.cwd()
    except OSError:
        return None
