"""Artifacts from Maven Central, brought by the `mvn` on this machine."""

import shutil
import subprocess
from pathlib import Path

from tests.servers.cache import locked
from tests.servers.errors import ServerUnavailable

_DOWNLOAD_TIMEOUT_S = 900


def fetch(coordinate: str) -> Path:
    """The file of `group:artifact:version[:packaging]` in the local Maven repository.

    Downloads it when it is not there. Raises `ServerUnavailable` when that cannot be done.
    """
    path = _local_path(coordinate)
    # Maven gives a download its name when it is complete: a file that is there can be used.
    if not path.exists():
        with locked("maven"):
            if not path.exists():
                _download(coordinate)
        if not path.exists():
            raise ServerUnavailable(f"Maven fetched {coordinate}, but not to {path}")
    return path


def _repository() -> Path:
    return Path.home() / ".m2" / "repository"


def _local_path(coordinate: str) -> Path:
    group, artifact, version, *packaging = coordinate.split(":")
    file = f"{artifact}-{version}.{packaging[0] if packaging else 'jar'}"
    return _repository().joinpath(*group.split("."), artifact, version, file)


def _download(coordinate: str) -> None:
    if shutil.which("mvn") is None:
        raise ServerUnavailable(
            f"Maven is needed to fetch {coordinate}: install it, e.g. apt-get install maven"
        )
    command = ["mvn", "-q", "-B", "dependency:get", f"-Dartifact={coordinate}"]
    # Naming the repository keeps a user's Maven settings from putting the file elsewhere.
    command += ["-Dtransitive=false", f"-Dmaven.repo.local={_repository()}"]
    try:
        subprocess.run(
            command, check=True, capture_output=True, text=True, timeout=_DOWNLOAD_TIMEOUT_S
        )
    except subprocess.CalledProcessError as error:
        reason = f"{error.stdout}{error.stderr}".strip()
        raise ServerUnavailable(f"Maven cannot fetch {coordinate}: {reason}") from error
    except subprocess.TimeoutExpired as error:
        raise ServerUnavailable(
            f"Maven did not fetch {coordinate} within {_DOWNLOAD_TIMEOUT_S} s"
        ) from error
