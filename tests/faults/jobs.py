"""What runs against a server that fails: a job has documents to do and says what became of them."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass

from splade_connectors import AttachOptions, RetryOptions, Store, WriteOptions
from splade_connectors.documents import Rejected
from splade_connectors.options import Progress
from tests.faults.documents import TEXT, Row, rows
from tests.faults.snapshot import Snapshot, assert_untouched
from tests.faults.worlds import World

# As patient as the defaults, in smaller steps, for tests' sake.
QUICK = RetryOptions(attempts=10_000, initial_wait_s=0.01, max_wait_s=0.2, total_s=900.0)
# Small requests, so that there are many to hit.
# Portions begin with 16 documents: so all requests are of one size.
CHUNK = 16
BYSTANDERS = 25

OnProgress = Callable[[Progress], None]


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What a job reports.

    Attributes:
        done: documents that were written.
        rejected: those that were not, with reasons.
        retries: requests that were sent again.
    """

    done: int
    rejected: Sequence[Rejected]
    retries: int


@dataclass(frozen=True, kw_only=True)
class Expected:
    """What must be there after a job, without what is ours.

    Attributes:
        untouched: documents that it has nothing to do with.
        written: those that it writes; their dense vectors may move as the server makes them.
    """

    untouched: Snapshot
    written: Snapshot

    def check(self, world: World, found: Snapshot, refused: Collection[str] = ()) -> None:
        """Compare with a snapshot; documents that were `refused` are not there."""
        of_others = {id: fields for id, fields in found.items() if id in self.untouched}
        of_ours = {id: fields for id, fields in found.items() if id not in self.untouched}
        written = {id: fields for id, fields in self.written.items() if id not in refused}
        assert_untouched(self.untouched, of_others)
        assert_untouched(written, of_ours, world.ours, world.tolerances)


class Job(ABC):
    """A verb under test.

    Attributes:
        name: of the verb.
        resumes: whether a second run leaves out what the first one has done.
    """

    name: str
    resumes: bool

    @abstractmethod
    def prepare(self, world: World, rows: Sequence[Row]) -> Expected:
        """Make the collection as it is before the job."""

    @abstractmethod
    def run(
        self,
        store: Store,
        rows: Sequence[Row],
        options: WriteOptions,
        on_progress: OnProgress | None = None,
        *,
        with_dense: bool = True,
    ) -> Outcome:
        """Do it, once; `with_dense` where the server takes dense vectors."""


class IndexJob(Job):
    """`index` into a collection that holds documents of its owner, which it must not touch."""

    name = "index"
    resumes = False

    def prepare(self, world: World, rows: Sequence[Row]) -> Expected:
        world.create(_bystanders())
        return Expected(untouched=world.snapshot(), written=world.expected(rows))

    def run(
        self,
        store: Store,
        rows: Sequence[Row],
        options: WriteOptions,
        on_progress: OnProgress | None = None,
        *,
        with_dense: bool = True,
    ) -> Outcome:
        documents = [row.document(with_dense=with_dense) for row in rows]
        report = store.index(documents, options=options, on_progress=on_progress)
        return Outcome(done=report.written, rejected=report.rejected, retries=report.retries)


class AttachJob(Job):
    """`attach` to a collection that is all its owner's, who made it before."""

    name = "attach"
    resumes = True

    def prepare(self, world: World, rows: Sequence[Row]) -> Expected:
        world.create(rows)
        return Expected(untouched={}, written=world.snapshot())

    def run(
        self,
        store: Store,
        rows: Sequence[Row],
        options: WriteOptions,
        on_progress: OnProgress | None = None,
        *,
        with_dense: bool = True,
    ) -> Outcome:
        # What it wrote is compared by the test itself, and encoded once for that.
        chosen = AttachOptions(write=options, verify=0)
        report = store.attach([TEXT], options=chosen, on_progress=on_progress)
        assert report.verification is not None
        assert report.verification.missing == len(report.rejected)
        done = report.attached + report.unchanged
        return Outcome(done=done, rejected=report.rejected, retries=report.retries)


JOBS: dict[str, Job] = {job.name: job for job in (IndexJob(), AttachJob())}


def write_options(retry: RetryOptions | None = QUICK, chunk: int = CHUNK) -> WriteOptions:
    """Small windows and chunks."""
    return WriteOptions(
        portion_documents=4 * chunk,
        chunk_documents=chunk,
        text_fields=(TEXT,),
        retry=retry,
        replace=True,  # what a run before has written: the collection is its owner's
    )


def check_all(
    world: World, expected: Expected, rows: Sequence[Row], refused: Collection[str] = ()
) -> None:
    """The whole collection: all documents once, nothing else changed, scores right."""
    found = world.snapshot()
    expected.check(world, found, refused)
    world.assert_complete([row for row in rows if row.id not in refused], found)


def _bystanders() -> list[Row]:
    return rows(BYSTANDERS, prefix="bystander")
