"""Finds a Java that a server can run on."""

import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

from tests.servers.errors import ServerUnavailable

_VERSION_TIMEOUT_S = 30


def java_home(minimum: int, maximum: int | None = None) -> Path:
    """The home of the smallest installed Java from `minimum` to `maximum`, both included.

    `SPLADE_TEST_JAVA_HOME_<minimum>` decides where it is set. Otherwise `JAVA_HOME`, the `java`
    on the path and the folders beside those two are looked at.
    """
    variable = f"SPLADE_TEST_JAVA_HOME_{minimum}"
    chosen = os.environ.get(variable)
    homes = [Path(chosen)] if chosen else list(_installed_homes())
    found = [(version, home) for home in homes if (version := _version(home)) is not None]
    suitable = [
        (version, home)
        for version, home in found
        if version >= minimum and (maximum is None or version <= maximum)
    ]
    if not suitable:
        seen = ", ".join(f"{version} at {home}" for version, home in found) or "none"
        raise ServerUnavailable(
            f"Java {_wanted(minimum, maximum)} is needed (found: {seen}): "
            f"install it, e.g. apt-get install openjdk-{minimum}-jre-headless, "
            f"or set {variable} to its folder"
        )
    return min(suitable)[1]


def _wanted(minimum: int, maximum: int | None) -> str:
    if maximum is None:
        return f"{minimum} or newer"
    return str(minimum) if minimum == maximum else f"{minimum} to {maximum}"


def _installed_homes() -> Iterator[Path]:
    """Homes of Java, the likeliest first; a home may come more than once."""
    known = []
    if named := os.environ.get("JAVA_HOME"):
        known.append(Path(named).resolve())
    if launcher := shutil.which("java"):
        known.append(Path(launcher).resolve().parents[1])  # <home>/bin/java
    yield from known
    for home in known:
        # Packages put the versions of Java side by side.
        yield from sorted({path.resolve() for path in home.parent.glob("*")})


def _version(home: Path) -> int | None:
    """The major version of the Java in `home`; None if there is none."""
    if not os.access(home / "bin" / "java", os.X_OK):
        return None
    release = home / "release"
    text = release.read_text(encoding="utf-8", errors="replace") if release.exists() else ""
    stated = re.search(r'^JAVA_VERSION="([^"]+)"', text, re.MULTILINE)
    stated = stated or re.search(r'version "([^"]+)"', _java_version_output(home))
    return _major(stated.group(1)) if stated else None


def _java_version_output(home: Path) -> str:
    command = [str(home / "bin" / "java"), "-version"]
    try:
        result = subprocess.run(
            command, check=False, capture_output=True, text=True, timeout=_VERSION_TIMEOUT_S
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return result.stdout + result.stderr


def _major(version: str) -> int | None:
    """17 for "17.0.15", and 8 for "1.8.0_402": Java 8 and older put a "1." first."""
    number = re.match(r"(?:1\.)?(\d+)", version)
    return int(number.group(1)) if number else None
