"""An index that accepts no writes: a clear sentence, and the same command again after it."""

from __future__ import annotations

import re
from contextlib import ExitStack, closing

import pytest

from splade_connectors.errors import AttachRefused, SpladeConnectorsError, StorageFull, WriteBlocked
from splade_connectors.options import Progress
from tests.faults.blocks import DISK_BLOCK, blocked, full_disk
from tests.faults.documents import rows
from tests.faults.jobs import Job, check_all, write_options
from tests.faults.scale import SCALE
from tests.faults.worlds import ElasticsearchWorld
from tests.servers import ElasticsearchServer


@pytest.mark.parametrize(
    ("block", "error", "sentence"),
    [
        ("write", WriteBlocked, r"accepts no writes: .*index write \(api\)"),
        ("read_only", WriteBlocked, r"accepts no writes: .*index read-only"),
        (DISK_BLOCK, StorageFull, "the disk of .* is full: .*Free some space"),
    ],
)
def test_a_block_in_the_middle(
    block: str,
    error: type[SpladeConnectorsError],
    sentence: str,
    elasticsearch: ElasticsearchWorld,
    job: Job,
) -> None:
    world, found = elasticsearch, rows(SCALE.documents)
    expected = job.prepare(world, found)
    with world.open() as store, ExitStack() as until_removed:

        def block_in_the_middle(progress: Progress) -> None:
            if progress.done >= len(found) // 2 and not world.has_block(block):
                until_removed.enter_context(blocked(world, block))

        options = write_options(retry=None)
        with pytest.raises(error, match=sentence) as stop:
            job.run(store, found, options, block_in_the_middle, with_dense=world.has_dense)
        # What to do about it, and how far it got.
        assert "run the same command again" in str(stop.value)
        assert any(re.search(r"\b\d+ document", note) for note in stop.value.__notes__)
        until_removed.close()
        outcome = job.run(store, found, options, with_dense=world.has_dense)
    assert outcome.rejected == []
    check_all(world, expected, found)


@pytest.mark.servers
@pytest.mark.full("the disk that is full, by the server's own setting: half a minute each")
def test_a_disk_that_is_full(mortal: ElasticsearchServer, job: Job) -> None:
    """The server itself sets the block, and removes it when there is room."""
    found = rows(SCALE.documents)
    # What attaches looks for blocks first, and finds this one before anything is sent.
    full = pytest.raises((StorageFull, AttachRefused), match=r"disk (of .* is|was) full")
    with closing(ElasticsearchWorld(mortal.url)) as world:
        expected = job.prepare(world, found)
        with world.open() as store:
            with full_disk(world), full:
                job.run(store, found, write_options(retry=None))
            outcome = job.run(store, found, write_options(retry=None))
        assert outcome.rejected == []
        check_all(world, expected, found)
