"""The folder of an embedded shard: its files, its lock, and its creation.

A shard is created and used under a lock. A marker file in the folder says that creation is under
way: a process killed meanwhile leaves parts of a shard in which nothing was acknowledged. The next
creation removes them, but only if the folder holds nothing else.
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

# The engine writes through memory maps of sparse files: on a full disk SIGBUS kills the process
# [0.9.0]. A request needs a fraction of this, and none is started with less.
_ROOM_MB = 64

# The paths that the engine [0.9.0] and this package create in a shard's folder.
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
        """Whether the folder holds a shard, or most of one."""
        return (self.path / CONFIG_FILE).is_file()

    @property
    def is_unfinished(self) -> bool:
        """Whether a shard is being created; under the lock: whether its creator was killed."""
        return (self.path / UNFINISHED_FILE).is_file()

    def check_free(self) -> None:
        """Refuse a folder with foreign files.

        Raises:
            SchemaConflict: if it holds anything that is neither this package's nor the engine's.
        """
        if self.is_unfinished:
            self._parts()
        elif self.has_configuration:
            return
        elif self.path.exists() and (not self.path.is_dir() or any(self.path.iterdir())):
            raise SchemaConflict(
                f"{self.path} exists but is not a Qdrant shard (it has no {CONFIG_FILE}); nothing "
                "was changed there: choose a new or empty folder"
            )

    def lock(self) -> None:
        """Keep other processes, and other stores in this one, from creating or opening the shard.

        The engine checks whether a shard is open only after loading all of it, and by then has
        removed segments that another process was still writing [0.9.0].

        Raises:
            StoreLocked: if another process or store holds the lock.
        """
        if self._held is not None or sys.platform == "win32":
            return
        held = os.open(self.path, os.O_RDONLY)
        try:
            fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(held)
            raise locked(self._location) from None
        except OSError as error:  # some network file systems cannot lock a folder
            log.info("%s cannot be locked: %s", self.path, error)
        self._held = held

    def unlock(self) -> None:
        """Release the lock."""
        if self._held is not None and sys.platform != "win32":
            # Closing alone would keep the lock if the process was forked meanwhile.
            fcntl.flock(self._held, fcntl.LOCK_UN)
            os.close(self._held)
        self._held = None

    def begin(self) -> None:
        """Mark the shard as unfinished."""
        (self.path / UNFINISHED_FILE).touch()

    def finish(self) -> None:
        """Mark the shard as complete."""
        (self.path / UNFINISHED_FILE).unlink(missing_ok=True)

    def clear(self) -> None:
        """Remove the leftovers of a creation that was killed.

        Raises:
            SchemaConflict: if the folder holds anything else; then nothing is removed.
        """
        files, folders = self._parts()
        for file in files:
            if file.name != UNFINISHED_FILE:
                file.unlink()
        for folder in folders:
            folder.rmdir()

    def check_room(self) -> None:
        """Refuse a request that a full disk would end with a signal.

        Raises:
            StorageFull: if too little disk space is left.
        """
        left = shutil.disk_usage(self.path).free // 2**20
        if left < _ROOM_MB:
            raise StorageFull(
                f"the disk of {self._location} is full: {left} MB are free, but the embedded "
                f"engine needs {_ROOM_MB} MB. Acknowledged documents are safe; free some space and "
                "run the same command again"
            )

    def _parts(self) -> tuple[list[Path], list[Path]]:
        """The files, and the folders from the inside out."""
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
                f"{self.path} holds {inside!r} beside an unfinished shard; nothing was changed "
                "there: choose a new or empty folder, or move that file elsewhere"
            )
        return path
