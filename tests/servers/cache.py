"""Where fetched servers are unpacked, once, and shared by all later runs."""

import os
import shutil
import tempfile
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.servers.errors import ServerUnavailable

_OWNER_MAY_EXECUTE = 0o100


def cache_folder() -> Path:
    """The folder that keeps unpacked servers, created when it is missing.

    `$SPLADE_TEST_CACHE` names another one. Root's default lies outside root's home: the servers
    run as another user then, who cannot read there.
    """
    if chosen := os.environ.get("SPLADE_TEST_CACHE"):
        folder = Path(chosen).expanduser().absolute()
    elif _is_root():
        folder = Path("/var/tmp/splade-connectors-tests")
    else:
        folder = Path.home() / ".cache" / "splade-connectors-tests"
    folder.mkdir(parents=True, exist_ok=True)
    return folder


@contextmanager
def locked(name: str) -> Iterator[None]:
    """Hold the lock `name` against other test runs on this machine; wait until it is free."""
    try:
        import fcntl
    except ImportError:
        raise ServerUnavailable("the test servers run on Linux and macOS only") from None
    with (cache_folder() / f"{name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def unpacked(archive: Path, name: str, finish: Callable[[Path], None]) -> Path:
    """The only folder inside the zip `archive`, kept as `name` in the cache.

    `finish` completes the folder before it takes its name, so whoever sees it sees all of it.
    """
    target = cache_folder() / name
    with locked(name):
        if not target.exists():
            scratch = Path(tempfile.mkdtemp(prefix=f"{name}.", dir=target.parent))
            try:
                _extract(archive, scratch)
                (folder,) = scratch.iterdir()
                finish(folder)
                _let_everyone_read(folder)
                folder.rename(target)
            finally:
                shutil.rmtree(scratch)
    return target


def _extract(archive: Path, folder: Path) -> None:
    """Unpack with the execute bits, which `ZipFile.extractall` drops."""
    with zipfile.ZipFile(archive) as content:
        for entry in content.infolist():
            path = Path(content.extract(entry, folder))
            if not entry.is_dir() and entry.external_attr >> 16 & _OWNER_MAY_EXECUTE:
                path.chmod(0o755)


def _let_everyone_read(folder: Path) -> None:
    """Whatever the umask is: the user that runs the server may not be the one that unpacked it."""
    for path in (folder, *folder.rglob("*")):
        executable = path.is_dir() or path.stat().st_mode & _OWNER_MAY_EXECUTE
        path.chmod(0o755 if executable else 0o644)


def _is_root() -> bool:
    return hasattr(os, "geteuid") and os.geteuid() == 0
