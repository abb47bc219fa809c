"""The two drivers of verbs: the same trace, blocking and awaited."""

from __future__ import annotations

import asyncio
import signal
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import pytest
import tenacity

from splade_connectors.errors import AccessDenied, NotFound, RequestRejected, Unavailable
from splade_connectors.options import NO_RETRY, RetryOptions
from splade_connectors.runtime.drive import arun, run
from splade_connectors.runtime.effects import Compute, Request, Sleep, Spawn, Steps, concurrently
from splade_connectors.runtime.retry import backoff_s

ALWAYS = 10_000


@dataclass(frozen=True, slots=True)
class Ask(Request):
    """A request with a name."""

    name: str


@dataclass
class Script:
    """Answers requests as told, and keeps a trace. Its clock goes on while it sleeps."""

    answers: list[Any]
    trace: list[Any] = field(default_factory=list)
    now: float = 0.0
    seconds_per_request: float = 0.0

    def send(self, request: Ask) -> Any:
        self.now += self.seconds_per_request
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        self.trace.append(request.name)
        if isinstance(answer, BaseException):
            raise answer
        return answer

    async def asend(self, request: Ask) -> Any:
        await asyncio.sleep(0)
        return self.send(request)

    def sleep(self, seconds: float) -> None:
        self.now += seconds
        self.trace.append(round(seconds, 6))

    async def asleep(self, seconds: float) -> None:
        self.sleep(seconds)

    @property
    def pauses(self) -> list[float]:
        return [entry for entry in self.trace if isinstance(entry, float)]

    @property
    def sent(self) -> int:
        return sum(isinstance(entry, str) for entry in self.trace)


Drive = Callable[[Steps[Any], Script, RetryOptions], Any]


def blocking(steps: Steps[Any], script: Script, retry: RetryOptions) -> Any:
    return run(steps, script.send, retry, script.sleep)


def awaited(steps: Steps[Any], script: Script, retry: RetryOptions) -> Any:
    return asyncio.run(arun(steps, script.asend, retry, script.asleep))


@pytest.fixture(params=[blocking, awaited], ids=["run", "arun"])
def drive(request: pytest.FixtureRequest) -> Drive:
    found: Drive = request.param
    return found


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Callable[[Script], None]:
    """Puts tenacity on the script's clock."""

    def put(script: Script) -> None:
        monkeypatch.setattr(tenacity, "time", SimpleNamespace(monotonic=lambda: script.now))

    return put


def ask(*names: str) -> Steps[list[Any]]:
    answers = []
    for name in names:
        answers.append((yield Ask(name)))
    return answers


def test_answers_come_back_in_order(drive: Drive) -> None:
    script = Script(["one", "two", "three"])
    assert drive(ask("a", "b", "c"), script, RetryOptions()) == ["one", "two", "three"]
    assert script.trace == ["a", "b", "c"]


def test_a_verb_without_steps_returns(drive: Drive) -> None:
    assert drive(ask(), Script([None]), RetryOptions()) == []


def test_an_unavailable_server_is_asked_again(drive: Drive) -> None:
    script = Script([Unavailable("busy"), Unavailable("busy"), "fine"])
    assert drive(ask("a"), script, RetryOptions()) == ["fine"]
    assert script.sent == 3
    assert len(script.pauses) == 2


def test_the_last_error_is_the_one_that_is_raised(drive: Drive) -> None:
    script = Script([Unavailable("first"), Unavailable("second"), Unavailable("third")])
    with pytest.raises(Unavailable, match="third"):
        drive(ask("a"), script, RetryOptions(attempts=3))
    assert script.sent == 3
    assert len(script.pauses) == 2


def test_no_retry_asks_once(drive: Drive) -> None:
    script = Script([Unavailable("busy")])
    with pytest.raises(Unavailable):
        drive(ask("a"), script, NO_RETRY)
    assert script.trace == ["a"]


def test_pauses_are_random_under_a_bound_that_doubles(drive: Drive) -> None:
    options = RetryOptions(attempts=9, initial_wait_s=1.0, max_wait_s=20.0, total_s=ALWAYS)
    bounds = [1.0, 2.0, 4.0, 8.0, 16.0, 20.0, 20.0, 20.0]
    runs = []
    for _ in range(30):
        script = Script([Unavailable("busy")])
        with pytest.raises(Unavailable):
            drive(ask("a"), script, options)
        assert len(script.pauses) == len(bounds)
        assert all(0 <= pause <= bound for pause, bound in zip(script.pauses, bounds, strict=True))
        runs.append(script.pauses)
    for pauses, bound in zip(zip(*runs, strict=True), bounds, strict=True):
        # Full jitter: 30 draws from [0, bound] all in one half has a chance of 1 to a billion.
        assert min(pauses) < bound / 2 < max(pauses)


@pytest.mark.parametrize("asked", [0.0, 7.5, 100.0])
def test_retry_after_is_honoured(drive: Drive, asked: float) -> None:
    script = Script([Unavailable("slow down", retry_after_s=asked), "fine"])
    assert drive(ask("a"), script, RetryOptions(max_wait_s=1.0)) == ["fine"]
    assert script.pauses == [asked]


def test_a_retry_after_beyond_the_total_is_not_waited_for(drive: Drive) -> None:
    script = Script([Unavailable("tomorrow", retry_after_s=86_400.0), "fine"])
    with pytest.raises(Unavailable, match="tomorrow"):
        drive(ask("a"), script, RetryOptions(total_s=180.0))
    assert script.trace == ["a"]


def test_no_try_begins_after_the_total(drive: Drive, clock: Callable[[Script], None]) -> None:
    script = Script([Unavailable("busy", retry_after_s=30.0)], seconds_per_request=5.0)
    clock(script)
    with pytest.raises(Unavailable):
        drive(ask("a"), script, RetryOptions(attempts=ALWAYS, total_s=100.0))
    # Tries begin at 0, 35 and 70; the next one would begin at 105.
    assert script.trace == ["a", 30.0, "a", 30.0, "a"]


def test_each_request_has_tries_of_its_own(drive: Drive) -> None:
    script = Script([Unavailable("busy"), "one", Unavailable("busy"), "two"])
    assert drive(ask("a", "b"), script, RetryOptions(attempts=2)) == ["one", "two"]
    assert [entry for entry in script.trace if isinstance(entry, str)] == ["a", "a", "b", "b"]


@pytest.mark.parametrize(
    "error", [RequestRejected("no", status=400), AccessDenied("no"), NotFound("no"), KeyError("no")]
)
def test_other_errors_are_not_tried_again(drive: Drive, error: Exception) -> None:
    script = Script([error])
    with pytest.raises(type(error)) as caught:
        drive(ask("a"), script, RetryOptions())
    assert caught.value is error
    assert script.trace == ["a"]


def test_an_error_is_thrown_into_the_verb_which_may_go_on(drive: Drive) -> None:
    def careful() -> Steps[str]:
        try:
            yield Ask("a")
        except RequestRejected as error:
            answer = yield Ask("b")
            return f"{error}, then {answer}"
        return "no error"

    script = Script([RequestRejected("refused"), "fine"])
    assert drive(careful(), script, RetryOptions()) == "refused, then fine"
    assert script.trace == ["a", "b"]


def test_an_error_after_all_tries_is_thrown_in_too(drive: Drive) -> None:
    def careful() -> Steps[str]:
        try:
            yield Ask("a")
        except Unavailable:
            return "gave up"
        return "no error"

    script = Script([Unavailable("busy")])
    assert drive(careful(), script, RetryOptions(attempts=2)) == "gave up"
    assert script.sent == 2


def test_a_verb_that_fails_by_itself_fails_with_its_own_error(drive: Drive) -> None:
    def broken() -> Steps[None]:
        yield Ask("a")
        raise KeyError("mine")

    with pytest.raises(KeyError, match="mine"):
        drive(broken(), Script(["fine"]), RetryOptions())


def test_the_error_of_a_computation_is_thrown_in(drive: Drive) -> None:
    def careful() -> Steps[str]:
        try:
            yield Compute(lambda: 1 // 0)
        except ZeroDivisionError:
            return "caught"
        return "no error"

    assert drive(careful(), Script([None]), RetryOptions()) == "caught"


def test_a_verb_is_closed_when_it_is_interrupted(drive: Drive) -> None:
    ended = []

    def careful() -> Steps[None]:
        try:
            yield Ask("a")
        except Exception:
            ended.append("as an error")
        finally:
            ended.append("finally")

    steps = careful()
    with pytest.raises(KeyboardInterrupt):
        drive(steps, Script([KeyboardInterrupt()]), RetryOptions())
    steps.close()
    assert ended == ["finally"]


def test_a_pause_is_slept(drive: Drive) -> None:
    def pausing() -> Steps[str]:
        yield Sleep(2.5)
        yield Ask("a")
        yield Sleep(0.5)
        return "done"

    script = Script(["fine"])
    assert drive(pausing(), script, RetryOptions()) == "done"
    assert script.trace == [2.5, "a", 0.5]


def thread_name() -> Steps[str]:
    name: str = yield Compute(lambda: threading.current_thread().name)
    return name


def test_the_blocking_driver_computes_in_place() -> None:
    here = threading.current_thread().name
    assert blocking(thread_name(), Script([None]), RetryOptions()) == here


async def test_the_awaiting_driver_computes_in_a_thread_and_leaves_the_loop_free() -> None:
    loop_went_on = threading.Event()
    asyncio.get_running_loop().call_later(0.01, loop_went_on.set)

    def waiting() -> Steps[tuple[bool, str]]:
        result: tuple[bool, str] = yield Compute(
            lambda: (loop_went_on.wait(10), threading.current_thread().name)
        )
        return result

    free, name = await arun(waiting(), Script([None]).asend, RetryOptions())
    assert free
    assert name != threading.current_thread().name


def test_steps_executed_concurrently_return_in_the_order_given(drive: Drive) -> None:
    script = Script([1])
    found = drive(concurrently(ask(name) for name in "abc"), script, NO_RETRY)
    assert (found, sorted(script.trace)) == ([[1], [1], [1]], ["a", "b", "c"])


def test_the_first_error_of_concurrent_steps_is_raised_after_all_have_ended(drive: Drive) -> None:
    ended: list[str] = []

    def ending(name: str, error: Exception | None) -> Steps[str]:
        yield Sleep(0)
        ended.append(name)
        if error:
            raise error
        return name

    several = [ending("a", NotFound("first")), ending("b", None), ending("c", NotFound("second"))]
    with pytest.raises(NotFound, match="first"):
        drive(concurrently(several), Script([0]), NO_RETRY)
    assert sorted(ended) == ["a", "b", "c"]


async def test_concurrent_steps_are_cancelled_together() -> None:
    ended: list[float] = []

    def ending(seconds: float) -> Steps[None]:
        yield Sleep(seconds)
        ended.append(seconds)
        raise NotFound("nobody asks for this any more")

    async def send(request: Request) -> None:
        raise AssertionError(request)

    steps = concurrently(ending(seconds) for seconds in (0.2, 0.1, 0.15))
    running = asyncio.create_task(arun(steps, send, NO_RETRY))
    await asyncio.sleep(0.02)
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    await asyncio.sleep(0)
    assert asyncio.all_tasks() == {asyncio.current_task()}
    await asyncio.sleep(0.3)
    assert ended == []


def test_both_drivers_leave_the_same_trace() -> None:
    def verb() -> Steps[list[Any]]:
        found = [(yield Ask("a")), (yield Compute(lambda: 42))]
        yield Sleep(1.0)
        try:
            yield Ask("b")
        except NotFound as error:
            found.append(str(error))
        found.append((yield Ask("c")))
        return found

    def script() -> Script:
        busy = Unavailable("busy", retry_after_s=3.0)
        return Script([busy, "one", NotFound("gone"), busy, busy, "three"])

    scripts = [script(), script()]
    results = [
        drive(verb(), one, RetryOptions())
        for drive, one in zip((blocking, awaited), scripts, strict=True)
    ]
    assert results[0] == results[1] == ["one", 42, "gone", "three"]
    assert scripts[0].trace == scripts[1].trace
    assert scripts[0].trace == ["a", 3.0, "a", 1.0, "b", "c", 3.0, "c", 3.0, "c"]


def test_backoff_lies_under_the_bound_of_its_try() -> None:
    options = RetryOptions(initial_wait_s=0.5, max_wait_s=3.0)
    for attempt, bound in [(1, 0.5), (2, 1.0), (3, 2.0), (4, 3.0), (50, 3.0)]:
        drawn = [backoff_s(attempt, options) for _ in range(40)]
        assert all(0 <= seconds <= bound for seconds in drawn)
        assert max(drawn) > bound / 2


def test_every_failed_try_is_logged(drive: Drive, caplog: pytest.LogCaptureFixture) -> None:
    script = Script([Unavailable("busy", retry_after_s=2.0), "fine"])
    drive(ask("a"), script, RetryOptions())
    assert [record.getMessage() for record in caplog.records] == [
        "attempt 1 failed (busy); retrying in 2.0 s"
    ]


def _interrupted_amid(known: list[Any], beside: Callable[[], Steps[None]]) -> Steps[None]:
    task = yield Spawn(beside())
    signal.raise_signal(signal.SIGINT)
    known.append(task)
    yield Sleep(1.0)
    known.append("a step after it")


@pytest.mark.parametrize("guarded", [False, True])
def test_what_was_spawned_is_known_when_ctrl_c_comes(guarded: bool) -> None:
    def beside() -> Steps[None]:
        yield Sleep(0.0)

    known: list[Any] = []
    with pytest.raises(KeyboardInterrupt):
        run(
            _interrupted_amid(known, beside),
            lambda request: None,
            RetryOptions(),
            lambda seconds: None,
            guarded=guarded,
        )
    assert len(known) == guarded
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_handlers_of_the_program_are_left_alone() -> None:
    heard: list[int] = []

    def verb() -> Steps[str]:
        signal.raise_signal(signal.SIGINT)
        assert heard
        yield Sleep(0.0)
        return "to its end"

    def note(number: int, frame: Any) -> None:
        heard.append(number)

    before = signal.signal(signal.SIGINT, note)
    try:
        ended = run(
            verb(), lambda request: None, RetryOptions(), lambda seconds: None, guarded=True
        )
        assert ended == "to its end"
        assert signal.getsignal(signal.SIGINT) is note
    finally:
        signal.signal(signal.SIGINT, before)
