"""A server process that is stopped as a whole, and does not outlive the tests."""

import os
import signal
import socket
import subprocess
import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.servers.errors import ServerUnavailable

_GRACE_S = 30.0
_KILL_S = 10.0

# Reads until the tests let go of its standard input, which also happens when they are killed.
_GUARD_SCRIPT = 'read -r _; kill -s KILL -- "-$1"; sleep 1; rm -rf -- "$2"'


@dataclass(frozen=True)
class Account:
    """A user and group to run a server as."""

    uid: int
    gid: int

    def take_over(self, folder: Path) -> None:
        """Make this account the owner of `folder` and of everything in it."""
        for path in (folder, *folder.rglob("*")):
            os.chown(path, self.uid, self.gid)


def server_account() -> Account | None:
    """The account for servers, which refuse to run as root; None: our own will do.

    `$SPLADE_TEST_USER` names another user than `nobody`.
    """
    if os.name != "posix":
        raise ServerUnavailable("the test servers run on Linux and macOS only")
    if os.geteuid() != 0:
        return None
    import pwd

    name = os.environ.get("SPLADE_TEST_USER", "nobody")
    try:
        entry = pwd.getpwnam(name)
    except KeyError:
        raise ServerUnavailable(
            f"servers do not run as root, and there is no user {name!r}: "
            "set SPLADE_TEST_USER to a user that exists"
        ) from None
    return Account(entry.pw_uid, entry.pw_gid)


def run_as(account: Account | None) -> dict[str, Any]:
    """The arguments that make `subprocess` run a command as `account`; None: as ourselves."""
    if account is None:
        return {}
    return {"user": account.uid, "group": account.gid, "extra_groups": []}


def free_ports(count: int) -> list[int]:
    """TCP ports of 127.0.0.1 that nothing listens on at the moment, all different."""
    with ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for probe in sockets:
            probe.bind(("127.0.0.1", 0))
        return [int(probe.getsockname()[1]) for probe in sockets]


class ServerProcess:
    """A running command with all its children, writing to a log file.

    `folder` is its working folder. Should the tests be killed, and so have no chance to stop the
    server, a guard kills it and removes `folder`.
    """

    def __init__(
        self,
        command: Sequence[str],
        *,
        folder: Path,
        env: Mapping[str, str],
        log: Path,
        account: Account | None,
    ) -> None:
        self.log = log
        with log.open("ab") as output:
            self._process = subprocess.Popen(
                command,
                cwd=folder,
                env=env,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,  # its own process group, which signals reach as one
                **run_as(account),
            )
        self._guard = subprocess.Popen(
            ["sh", "-c", _GUARD_SCRIPT, "guard", str(self._process.pid), str(folder)],
            stdin=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            start_new_session=True,  # Ctrl-C in the terminal is for the tests alone
        )

    @property
    def exit_status(self) -> int | None:
        """The status the command ended with; None while it runs."""
        return self._process.poll()

    def terminate(self) -> None:
        """Ask the server to end, and kill what is left of it after a grace time."""
        self._dismiss_guard()
        self._process.terminate()  # it is for this one to end its children
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(_GRACE_S)
        self.kill()

    def kill(self) -> None:
        """End the server at once (kill -9), so that it can neither flush nor say goodbye."""
        self._dismiss_guard()
        self._kill_group()
        self._process.wait()
        self._wait_for_children()

    def log_tail(self, lines: int = 40) -> str:
        """The last lines of what the server wrote."""
        text = self.log.read_text(encoding="utf-8", errors="replace")
        return "\n".join(text.splitlines()[-lines:])

    def _kill_group(self) -> bool:
        """Kill all processes of the group; False when there is none left."""
        try:
            os.killpg(self._process.pid, signal.SIGKILL)
        except (ProcessLookupError, PermissionError):  # the latter for the dead, on macOS
            return False
        return True

    def _wait_for_children(self) -> None:
        """Killed children hold the ports and the data a moment longer than their parent.

        The wait is bounded: where no init process collects the dead, they stay in the group.
        """
        give_up = time.monotonic() + _KILL_S
        while self._kill_group() and time.monotonic() < give_up:
            time.sleep(0.05)

    def _dismiss_guard(self) -> None:
        self._guard.kill()
        self._guard.communicate()
