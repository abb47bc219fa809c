"""Commands of pages that would install, build or start something: what they name must exist."""

from __future__ import annotations

import re
import tomllib

from tests.docs.blocks import ROOT

_EXTRAS = re.compile(r"^(?:splade-connectors|\.)\[([\w,-]+)\]$")


def check(words: list[str]) -> None:
    """Fail where a command names an extra, a target or a file that does not exist."""
    match words:
        case ["pip", "install", *rest]:
            _check_requirements(rest)
        case ["make", *targets]:
            _check_targets(targets)
        case ["docker", *rest]:
            _check_files(rest)
        case ["git", "clone", _] | ["cd", _] | [".ci/run"] | ["pre-commit", "install"]:
            pass
        case _:
            raise AssertionError(f"no page may ask for {words}, since no test can run it")


def _check_requirements(words: list[str]) -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    for word in words:
        if found := _EXTRAS.match(word):
            missing = set(found[1].split(",")) - set(project["optional-dependencies"])
            assert not missing, f"{word} names extras that do not exist: {missing}"


def _check_targets(targets: list[str]) -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    for target in targets:
        assert re.search(rf"^{re.escape(target)}:", makefile, re.MULTILINE), f"no target {target}"


def _check_files(words: list[str]) -> None:
    for word in words:
        if word.startswith("docker/"):
            assert (ROOT / word).exists(), f"{word} does not exist"
