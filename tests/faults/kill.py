"""Jobs in processes that are killed (kill -9) at random moments while they write."""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.faults.child import counted
from tests.faults.jobs import Job
from tests.faults.worlds import World

ROOT = Path(__file__).parents[2]
_POLL_S = 0.002


@dataclass(frozen=True, kw_only=True)
class Run:
    """A run of the command.

    Attributes:
        encoded: texts that it encoded.
        writing_s: from its first encoding until its end.
        report: what it printed; None for a run that was killed.
    """

    encoded: int
    writing_s: float
    report: dict[str, Any] | None

    @property
    def killed(self) -> bool:
        return self.report is None


class Child:
    """A command that can be run again and again, and killed.

    Args:
        command: prints its report as JSON.
        counter: the file in which its encoder counts.
        deadline_s: until a run counts as hanging.
    """

    def __init__(self, command: Sequence[str], counter: Path, deadline_s: float) -> None:
        self._command = command
        self._counter = counter
        self._deadline_s = deadline_s

    @classmethod
    def of(
        cls,
        job: Job,
        world: World,
        count: int,
        counter: Path,
        *,
        pause_s: float,
        deadline_s: float,
        url: str | None = None,
    ) -> Child:
        """The process of a job over the first `count` rows.

        It talks straight to the server, or to what stands before it at `url`.
        """
        options = ["--rows", str(count), "--counter", str(counter), "--pause", str(pause_s)]
        options += ["--dense"] if world.has_dense else []
        module = [sys.executable, "-m", "tests.faults.child"]
        return cls([*module, job.name, world.target(url), *options], counter, deadline_s)

    def run(self, kill_after_s: float | None = None) -> Run:
        """Run to the end, or kill so many seconds after the first encoding."""
        before = counted(self._counter)
        process = self.start()
        try:
            self._wait_for_encoding(process, before)
            began = time.monotonic()
            killed = kill_after_s is not None and not _ends_within(process, kill_after_s)
            if killed:
                process.kill()
            output, errors = process.communicate(timeout=self._deadline_s)
        finally:
            process.kill()
            process.wait()
        writing_s = time.monotonic() - began
        assert killed or process.returncode == 0, errors
        report = None if killed else json.loads(output)
        return Run(encoded=counted(self._counter) - before, writing_s=writing_s, report=report)

    def start(self) -> subprocess.Popen[str]:
        """The process, left alone."""
        path = os.pathsep.join([str(ROOT), str(ROOT / "adapters")])
        return subprocess.Popen(
            self._command,
            cwd=ROOT,
            env={**os.environ, "PYTHONPATH": path},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def _wait_for_encoding(self, process: subprocess.Popen[str], before: int) -> None:
        """Until the first texts are encoded, or the process has ended without any."""
        give_up = time.monotonic() + self._deadline_s
        while counted(self._counter) == before and process.poll() is None:
            assert time.monotonic() < give_up, "nothing was encoded"
            time.sleep(_POLL_S)


@dataclass(frozen=True, kw_only=True)
class Kills:
    """Runs of a command that was killed many times, and the last one, which was not."""

    killed: Sequence[Run]
    last: Run

    @property
    def encoded(self) -> int:
        """Texts that all runs encoded together."""
        return sum(run.encoded for run in [*self.killed, self.last])


def kill_again_and_again(
    child: Child, *, kills: int, writing_s: float, seed: int, resumes: bool
) -> Kills:
    """Kill the command at random moments, then let it end.

    Args:
        child: the command.
        kills: how often.
        writing_s: how long a whole run writes; measured by one that was not killed.
        seed: of the moments.
        resumes: whether a run goes on where the one before was killed. Then the kills are spread
            over what is left to do; else each falls anywhere into a whole run.
    """
    moments = random.Random(seed)
    killed: list[Run] = []
    left_s = writing_s
    for _ in range(3 * kills):  # some runs end before their moment comes
        if len(killed) == kills:
            break
        share = 1 / (kills - len(killed) + 1) if resumes else 1.0
        run = child.run(kill_after_s=moments.uniform(0.0, share) * left_s)
        if run.killed:
            killed.append(run)
        if resumes:
            left_s = max(0.0, left_s - run.writing_s)
    return Kills(killed=killed, last=child.run())


def _ends_within(process: subprocess.Popen[str], seconds: float) -> bool:
    try:
        process.wait(seconds)
    except subprocess.TimeoutExpired:
        return False
    return True
