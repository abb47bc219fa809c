"""A network that fails while documents are written: all of them are there once, and nothing else
has changed.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

import pytest

from splade_connectors import RetryOptions
from tests.faults.documents import YEAR, Row, rows
from tests.faults.faults import (
    Always,
    Burst,
    CutInHalf,
    Delay,
    ItemFailures,
    Randomly,
    ResetAfter,
    ResetBefore,
    Rule,
    Script,
    Status,
    TooLarge,
    containing,
    writes,
)
from tests.faults.jobs import CHUNK, JOBS, QUICK, Job, Outcome, check_all, write_options
from tests.faults.proxy import Exchange, Proxy
from tests.faults.scale import SCALE
from tests.faults.worlds import ElasticsearchWorld, World

SHARE = 0.2
LIMIT_BYTES = 100_000


def run_through(
    world: World,
    job: Job,
    *rules: Rule,
    found: Sequence[Row] | None = None,
    refused: Sequence[str] = (),
    chunk: int = CHUNK,
    retry: RetryOptions | None = QUICK,
) -> tuple[Outcome, Proxy]:
    """Run a job through a proxy with these rules, then check the whole collection.

    Args:
        world: the server.
        job: what runs.
        rules: of the proxy.
        found: the documents; those of the scale by default.
        refused: ids of those that are to be reported instead of written.
        chunk: documents in a request.
        retry: of the store and of its writes; None for the defaults.
    """
    found = rows(SCALE.documents) if found is None else found
    expected = job.prepare(world, found)
    with Proxy(world.url, *rules) as proxy, world.open(proxy.url, retry=retry) as store:
        options = write_options(retry, chunk)
        outcome = job.run(store, found, options, with_dense=world.has_dense)
    assert sorted(str(item.id) for item in outcome.rejected) == sorted(refused)
    assert outcome.done == len(found) - len(refused)
    check_all(world, expected, found, refused)
    return outcome, proxy


def test_without_faults(world: World, job: Job) -> None:
    outcome, proxy = run_through(world, job)
    assert outcome.retries == 0
    assert all(exchange.fault is None for exchange in proxy.exchanges)


@pytest.mark.parametrize("seed", [0, 7])
def test_connections_that_are_reset(seed: int, world: World, job: Job) -> None:
    """Before or after the server acted: a fifth of all requests, whatever they ask for."""
    _, proxy = run_through(world, job, Randomly([ResetBefore(), ResetAfter()], SHARE, seed))
    assert proxy.done(ResetBefore)
    assert proxy.done(ResetAfter)


def test_answers_cut_in_half(world: World, job: Job) -> None:
    _, proxy = run_through(world, job, Randomly([CutInHalf()], SHARE, seed=4))
    assert proxy.done(CutInHalf)


def test_a_server_that_is_too_busy(world: World, job: Job) -> None:
    _, proxy = run_through(world, job, Randomly([Status(429)], SHARE, seed=1))
    assert proxy.done(Status) > 1


@pytest.mark.parametrize("as_date", [False, True], ids=["seconds", "date"])
def test_the_time_that_a_busy_server_asks_for(as_date: bool, world: World, job: Job) -> None:
    busy = Status(429, retry_after_s=1, as_date=as_date)
    _, proxy = run_through(world, job, Script([None, busy, None, busy], writes))
    assert proxy.done(Status) == 2
    # A date has whole seconds, and was rounded up: it is at least so far away.
    assert min(pauses(proxy, proxy.of(Status))) >= 1.0


def test_a_server_that_is_away_for_a_while(world: World, job: Job) -> None:
    """With the default patience, which tests have no say in."""
    burst = Burst(Status(503), SCALE.burst_s, spared=2, only=writes)
    outcome, proxy = run_through(world, job, burst, retry=None)
    assert proxy.done(Status)
    assert outcome.retries


def test_slow_answers(world: World, job: Job) -> None:
    _, proxy = run_through(world, job, Always(Delay(SCALE.latency_s)), found=rows(100))
    assert proxy.done(Delay) == len(proxy.exchanges)


def test_a_limit_of_100_kb(world: World, job: Job) -> None:
    """Chunks of megabytes are halved until they fit, and the size that fits is kept."""
    _, proxy = run_through(world, job, Always(TooLarge(LIMIT_BYTES), writes), chunk=250)
    refused = [exchange for exchange in proxy.of(TooLarge) if exchange.size > LIMIT_BYTES]
    accepted = [exchange for exchange in proxy.of(TooLarge) if exchange.size <= LIMIT_BYTES]
    assert proxy.done(TooLarge) == len(refused)
    assert refused
    # Halving wastes less than what it finds.
    assert len(refused) <= len(accepted)


def test_a_document_that_is_refused_with_its_whole_chunk(world: World) -> None:
    """Of `index`, whose requests hold the text by which the proxy knows the document."""
    job = JOBS["index"]
    found = rows(SCALE.documents)
    guilty = found[len(found) // 3]
    rule = Always(Status(400, body=world.refusal), containing(f'"{guilty.text}"'.encode()))
    outcome, proxy = run_through(world, job, rule, found=found, refused=[guilty.id])
    assert proxy.done(Status) > 1
    assert "(400)" in outcome.rejected[0].reason


def test_items_that_fail_inside_an_answer_of_200(
    elasticsearch: ElasticsearchWorld, job: Job
) -> None:
    rule = Randomly([ItemFailures(0.3)], 0.5, seed=1, only=writes)
    outcome, proxy = run_through(elasticsearch, job, rule)
    assert proxy.done(ItemFailures)
    assert outcome.retries
    # What was written is not sent again: exactly the failures are in the requests that follow.
    sent = sum(exchange.items for exchange in proxy.exchanges)
    assert sent == outcome.done + proxy.done(ItemFailures)


def test_a_value_that_does_not_fit_its_field(elasticsearch: ElasticsearchWorld) -> None:
    """One document in a thousand: it is reported with the server's reason, the rest is in.

    Of `index`: what is there to be attached to fits its fields.
    """
    job = JOBS["index"]
    found = rows(max(SCALE.documents, 1000), conflict_every=SCALE.conflict_every)
    guilty = [row.id for row in found if isinstance(row.payload[YEAR], str)]
    outcome, _ = run_through(elasticsearch, job, found=found, refused=guilty, chunk=100)
    assert guilty
    assert all("[year]" in item.reason for item in outcome.rejected)


def pauses(proxy: Proxy, refused: Sequence[Exchange]) -> list[float]:
    """Seconds until each of these requests was sent again."""
    times = defaultdict(list)
    for exchange in proxy.exchanges:
        times[exchange.digest].append(exchange.began)
    again = [
        [began for began in times[exchange.digest] if began > exchange.began]
        for exchange in refused
    ]
    return [min(later) - exchange.began for later, exchange in zip(again, refused, strict=True)]
