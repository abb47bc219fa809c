"""The folder of an embedded shard: what lies in it, and who may make it.

A shard is made and used under a lock. While it is made, a file that says so lies in the folder:
whoever is killed then leaves parts of a shard in which nothing has been acknowledged. They are
removed by the next one that makes it, but only where nothing else lies beside them.
"""

from __future__ import annotations

import logging
import os
import re
import shutil
import sys
from pathlib import Path

from splade_connectors.errors import SchemaConflict, StorageFull
from splade_qdrant.errors import locked

if sys.platform != "win32":
    import fcntl

log = logging.getLogger(__name__)

CONFIG_FILE = "edge_config.json"
METADATA_FILE = "splade_connectors.json"
UNFINISHED_FILE = ".splade_connectors.unfinished"

# The engine writes through memory maps of sparse files: on a full disk the process is killed by
# SIGBUS [0.9.0]. A request takes a fraction of this, and none is begun with less at hand.
_ROOM_MB = 64

# What the engine [0.9.0] and this package make in the folder of a shard, by path.
_TEMPORARY = r"\.atomicwrite[^/]*"
_SEGMENT = r"segments/[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}"
_OUR_FILES = re.compile(
    rf"{CONFIG_FILE}|{METADATA_FILE}|\.{METADATA_FILE}(?:\.[0-9a-f]+)?\.unfinished|{UNFINISHED_FILE}"
    rf"|(?:.+/)?{_TEMPORARY}(?:/tmpfile\.tmp)?"
    r"|wal/(?:tmp-)?(?:open-|closed-|first-index)[^/]*"
    rf"|{_SEGMENT}/(?:.+/)?(?:version\.info|(?:segment|config)\.json)"
    rf"|{_SEGMENT}/(?:.+/)?[a-z_]+\d*\.(?:dat|mmap|mappings|versions)"
)
_OUR_FOLDERS = re.compile(rf"wal|segments(?:/.+)?|{_TEMPORARY}")


class ShardFolder:
    """A folder that holds a shard, or may hold one.

    Args:
        path: of the folder.
        location: the target, for messages.
    """

    def __init__(self, path: Path, location: str) -> None:
        self.path = path
        self._location = location
        self._held: int | None = None

    @property
    def has_configuration(self) -> bool:
        """Whether a shard is there, or most of one."""
        return (self.path / CONFIG_FILE).is_file()

    @property
    def is_unfinished(self) -> bool:
        """Whether a shard is being made; under the lock, whether its maker was killed."""
        return (self.path / UNFINISHED_FILE).is_file()

    def check_free(self) -> None:
        """Refuse a folder of somebody else.

        Raises:
            SchemaConflict: when there is anything that is neither ours nor the engine's.
        """
        if self.is_unfinished:
            self._parts()
        elif self.has_configuration:
            return
        elif self.path.exists() and (not self.path.is_dir() or any(self.path.iterdir())):
            raise SchemaConflict(
                f"{self.path} exists and is not a Qdrant shard (it has no {CONFIG_FILE}); nothing "
                "was changed there: choose a new or an empty folder"
            )

    def lock(self) -> None:
        """Keep other processes, and other stores of this one, from making or opening the shard.

        The engine looks whether a shard is open when it has loaded all of it, and removes
        segments that another process has not finished writing by then [0.9.0].

        Raises:
            StoreLocked: when somebody else has it.
        """
        if self._held is not None or sys.platform == "win32":
            return
        held = os.open(self.path, os.O_RDONLY)
        try:
            fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(held)
            raise locked(self._location) from None
        except OSError as error:  # network file systems may lock no folder
            log.info("%s cannot be locked: %s", self.path, error)
        self._held = held

    def unlock(self) -> None:
        """Let others have it."""
        if self._held is not None and sys.platform != "win32":
            # For a process that was forked meanwhile, too, which closing it would not.
            fcntl.flock(self._held, fcntl.LOCK_UN)
            os.close(self._held)
        self._held = None

    def begin(self) -> None:
        """Mark it as unfinished."""
        (self.path / UNFINISHED_FILE).touch()

    def finish(self) -> None:
        """The shard is complete."""
        (self.path / UNFINISHED_FILE).unlink(missing_ok=True)

    def clear(self) -> None:
        """Remove what a creation that was killed has left.

        Raises:
            SchemaConflict: when there is anything else; nothing is removed then.
        """
        files, folders = self._parts()
        for file in files:
            if file.name != UNFINISHED_FILE:
                file.unlink()
        for folder in folders:
            folder.rmdir()

    def check_room(self) -> None:
        """Refuse to begin what a full disk would end with a signal.

        Raises:
            StorageFull: when too little is left.
        """
        left = shutil.disk_usage(self.path).free // 2**20
        if left < _ROOM_MB:
            raise StorageFull(
                f"the disk of {self._location} is full: {left} MB are left, and the embedded "
                f"engine needs {_ROOM_MB} MB at hand. What was acknowledged is kept; make room and "
                "run the same command again"
            )

    def _parts(self) -> tuple[list[Path], list[Path]]:
        """Files, and folders from the inside out."""
        files: list[Path] = []
        folders: list[Path] = []
        for here, below, names in os.walk(self.path):
            files += [self._ours(Path(here, name), _OUR_FILES) for name in names]
            folders += [self._ours(Path(here, name), _OUR_FOLDERS) for name in below]
        return files, folders[::-1]

    def _ours(self, path: Path, made: re.Pattern[str]) -> Path:
        inside = path.relative_to(self.path).as_posix()
        if path.is_symlink() or not made.fullmatch(inside):
            raise SchemaConflict(
                f"{self.path} holds {inside!r} beside a shard that was never finished; nothing "
                "was changed there: choose a new or an empty folder, or move it elsewhere"
            )
        return path
