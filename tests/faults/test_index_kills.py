"""kill -9 of our own process, and of the server: the same command again makes it complete."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from splade_connectors.options import Progress
from tests.faults.documents import rows
from tests.faults.jobs import QUICK, Job, check_all, write_options
from tests.faults.kill import Child, kill_again_and_again
from tests.faults.scale import FULL, SCALE
from tests.faults.worlds import ElasticsearchWorld, World
from tests.servers import ElasticsearchServer

# A whole run takes a second or more: the moments of the kills differ, whatever the machine.
PAUSE_S = 0.1


def test_a_process_that_is_killed(world: World, job: Job, tmp_path: Path) -> None:
    found = rows(SCALE.killed_documents)
    job.prepare(world, found)
    whole = _child(job, world, tmp_path / "whole").run()
    assert whole.encoded == len(found)
    world.renew()
    expected = job.prepare(world, found)
    killed = kill_again_and_again(
        _child(job, world, tmp_path / "killed"),
        kills=SCALE.kills,
        writing_s=whole.writing_s,
        seed=1,
        resumes=job.resumes,
    )
    assert len(killed.killed) == SCALE.kills
    # The runs were killed at work: some had encoded a part of the documents, and not all.
    assert any(0 < run.encoded < len(found) for run in killed.killed)
    report = killed.last.report
    assert report is not None
    assert (report["rejected"], report["retries"]) == ([], 0)
    if job.resumes:
        # A kill costs at most the portion that is being encoded and what is on its way.
        at_most = len(found) + SCALE.kills * 2 * write_options().portion_documents
        assert killed.encoded <= at_most
    else:
        assert report["done"] == killed.last.encoded == len(found)
    check_all(world, expected, found)


def _child(job: Job, world: World, counter: Path) -> Child:
    return Child.of(
        job,
        world,
        SCALE.killed_documents,
        counter,
        pause_s=PAUSE_S,
        deadline_s=SCALE.deadline_s,
    )


@pytest.mark.servers
def test_a_server_that_is_killed_and_comes_back(mortal: ElasticsearchServer, job: Job) -> None:
    """Nobody has to start the command again."""
    world = ElasticsearchWorld(mortal.url)
    found = rows(SCALE.documents)
    expected = job.prepare(world, found)
    restart = threading.Thread(target=mortal.restart)

    def kill_in_the_middle(progress: Progress) -> None:
        if restart.ident is None and progress.done >= len(found) // 2:
            mortal.kill()
            restart.start()

    # The default patience, but in CI with shorter waits: those of the defaults may take 30 s.
    retry = None if SCALE == FULL else QUICK
    with world.open(retry=retry) as store:
        outcome = job.run(store, found, write_options(retry), kill_in_the_middle)
    assert restart.ident is not None, "it was not killed"
    restart.join()
    assert (outcome.done, outcome.rejected) == (len(found), [])
    assert outcome.retries
    check_all(world, expected, found)
    world.close()
