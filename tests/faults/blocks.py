"""Indices of Elasticsearch that take no writes, as their owner or a full disk makes them."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from tests.faults.worlds import ElasticsearchWorld

# What the server sets on every index when its disk is full, and removes when there is room.
DISK_BLOCK = "read_only_allow_delete"
# The shortest interval in which a server looks at its disk is 10 s.
_WAIT_S = 90.0
_THRESHOLDS = {
    "cluster.info.update.interval": "10s",
    "cluster.routing.allocation.disk.threshold_enabled": True,
    # Free space that no disk has.
    "cluster.routing.allocation.disk.watermark.low": "100000tb",
    "cluster.routing.allocation.disk.watermark.high": "100000tb",
    "cluster.routing.allocation.disk.watermark.flood_stage": "100000tb",
}
# Room again: the disk is looked at, and is large enough.
_ROOM = {name: "1b" if "watermark" in name else value for name, value in _THRESHOLDS.items()}


@contextmanager
def blocked(world: ElasticsearchWorld, block: str) -> Iterator[None]:
    """The index has this block inside; see `ElasticsearchWorld.block`."""
    world.block(block, True)
    try:
        yield
    finally:
        world.block(block, None)


@contextmanager
def full_disk(world: ElasticsearchWorld) -> Iterator[None]:
    """The server believes that its disk is full, and blocks the index itself; then there is room.

    Only for a server of one's own: it blocks all of its indices.
    """
    _settings(world, _THRESHOLDS)
    try:
        _wait_for(world, DISK_BLOCK, True)
        yield
        _settings(world, _ROOM)
        _wait_for(world, DISK_BLOCK, False)
    finally:
        _settings(world, dict.fromkeys(_THRESHOLDS))


def _settings(world: ElasticsearchWorld, values: dict[str, Any]) -> None:
    world.call("PUT", "/_cluster/settings", {"transient": values})


def _wait_for(world: ElasticsearchWorld, block: str, wanted: bool) -> None:
    give_up = time.monotonic() + _WAIT_S
    while world.has_block(block) != wanted:
        assert time.monotonic() < give_up, f"the server did not change the block {block} by itself"
        time.sleep(0.5)
