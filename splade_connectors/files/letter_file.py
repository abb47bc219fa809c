"""The file that dead letters go to: where it is, and where they go on when it is full."""

from __future__ import annotations

import logging
import os
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from typing import IO

from splade_connectors.errors import ConfigurationError
from splade_connectors.files.outputs import (
    FULL,
    check_outputs,
    is_no_file,
    opened_as_new,
    opened_in_place,
    reason_of,
    temporary_folder,
    whole_or_not,
)

log = logging.getLogger(__name__)


class LetterFile:
    """Lines of a file that is made when there is a first one.

    Args:
        path: the file; None makes one with the time in its name: in the present folder or, where
            that cannot be written or is a root (of a container), in the folder for temporary files.

    Attributes:
        path: the file; the last one, where the first one's disk was full.
        named: whether the caller has named it.

    Raises:
        ConfigurationError: at once, when the file cannot be written.
    """

    def __init__(self, path: str | Path | None) -> None:
        self.named = path is not None
        # Why it is not where it should be; said when there is a line.
        self._elsewhere = ""
        self._file: IO[str] | None = None
        if path is None:
            self.path = self._default_path()
            return
        self.path = Path(path)
        if not self.path.parent.is_dir():
            raise ConfigurationError(
                f"dead letters cannot be written to {self.path}: there is no folder "
                f"{self.path.parent}"
            )
        check_outputs(self.path)

    def write(self, line: str) -> None:
        """Append a line, in another file where this one's disk is full.

        Raises:
            ConfigurationError: when it cannot be written anywhere.
        """
        try:
            self._file = self._file or self._opened()
            whole_or_not(self._file, line)
        except OSError as error:
            if error.errno not in FULL or is_no_file(self.path):
                raise self._unwritable(error) from error
            self._go_on_elsewhere(error)
            self.write(line)

    def close(self) -> None:
        """Write out what is buffered and close the file.

        Raises:
            ConfigurationError: when it cannot be written.
        """
        file, self._file = self._file, None
        if file is not None:
            try:
                file.close()
            except OSError as error:  # what is buffered is tried again: the disk is full
                raise self._unwritable(error) from error

    def _opened(self) -> IO[str]:
        if self.named:
            try:
                return opened_in_place(self.path, mode=0o600)
            except BlockingIOError:
                self._elsewhere = f"another run is writing to {self.path}"
        self.path, file = opened_as_new(self.path)
        if self._elsewhere:
            log.warning("dead letters go to %s: %s", self.path, self._elsewhere)
        return file

    def _go_on_elsewhere(self, error: OSError) -> None:
        """Into the folder for temporary files, once: if that is full as well, it is an error."""
        folder = temporary_folder()
        if folder is None or self.path.parent == folder:
            raise self._unwritable(error) from error
        file, self._file, self.named = self._file, None, False
        if file is not None:
            with suppress(OSError):  # what could not be written is written elsewhere
                file.close()
        self._elsewhere = f"no more fit into {self.path} ({reason_of(error)})"
        self.path = folder / _default_name()

    def _default_path(self) -> Path:
        here = _present_folder()
        if here is not None and here != Path(here.anchor) and os.access(here, os.W_OK):
            return Path(_default_name())
        folder, instead_of = temporary_folder(), here or "the present folder"
        if folder is None:
            raise ConfigurationError(
                f"dead letters can be written neither to {instead_of} nor to a folder for "
                "temporary files: name a file (--dead-letters FILE)"
            )
        self._elsewhere = f"{instead_of} is not a folder that this user can write to"
        return folder / _default_name()

    def _unwritable(self, error: OSError) -> ConfigurationError:
        return ConfigurationError(
            f"dead letters cannot be written to {self.path}: {reason_of(error)}"
        )


def _default_name() -> str:
    return f"dead-letters-{datetime.now():%Y%m%d-%H%M%S}.jsonl"


def _present_folder() -> Path | None:
    """None if others have removed it."""
    try:
        return Path.cwd()
    except OSError:
        return None
