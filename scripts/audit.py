"""Looks up the pinned versions in the database of known vulnerabilities.

    python scripts/audit.py PIP_AUDIT [constraints.txt]

Exit code 0: none is known, or the service did not answer, which is printed; 1: some are known.
"""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

_WAIT_S = 300


def main(program: str, pinned: str) -> int:
    """Query the service and print the result."""
    command = [program, "--requirement", pinned, "--no-deps", "--disable-pip"]
    command += ["--progress-spinner", "off", "--format", "json"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=_WAIT_S)
    except subprocess.TimeoutExpired:
        return unasked(f"no answer within {_WAIT_S} s")
    try:
        packages = json.loads(done.stdout)["dependencies"]
    except (ValueError, KeyError, TypeError):
        return unasked((done.stderr.strip().splitlines() or ["no answer"])[-1])
    return verdict(packages)


def verdict(packages: list[dict[str, Any]]) -> int:
    """Print the known vulnerabilities of each package."""
    passed_over = [package["name"] for package in packages if "skip_reason" in package]
    if packages and len(passed_over) == len(packages):
        return unasked(f"it knows none of the {len(packages)} packages")
    known = [(package, entry) for package in packages for entry in package.get("vulns", [])]
    for package, entry in known:
        fixed = ", ".join(entry.get("fix_versions", [])) or "no version"
        print(f"{package['name']} {package['version']}: {entry['id']}, fixed in {fixed}")
    looked_up = len(packages) - len(passed_over)
    packages_ = "package" if looked_up == 1 else "packages"
    print(f"{looked_up} {packages_} looked up, known vulnerabilities: {len(known)}")
    if passed_over:
        print(f"not looked up: {', '.join(passed_over)}")
    return 1 if known else 0


def unasked(reason: str) -> int:
    """Print that nothing could be looked up, and why."""
    print(f"NOT AUDITED: the vulnerability database could not be queried ({reason})")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], sys.argv[2] if len(sys.argv) > 2 else "constraints.txt"))
