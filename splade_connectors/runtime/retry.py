"""Retries of requests."""

from __future__ import annotations

import logging
import time
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any

from splade_connectors.errors import Unavailable
from splade_connectors.options import RetryOptions
from splade_connectors.runtime.effects import AsyncSend, Send

if TYPE_CHECKING:
    from tenacity import RetryCallState, wait_random_exponential

# tenacity is imported only after a request has failed: its import takes a fifth of numpy's.
log = logging.getLogger(__name__)


def backoff_s(attempt: int, retry: RetryOptions) -> float:
    """Seconds to wait after attempt number `attempt` (counted from 1), with full jitter."""
    from tenacity import RetryCallState

    state = RetryCallState(retry_object=None, fn=None, args=(), kwargs={})  # type: ignore[arg-type]
    state.attempt_number = attempt
    return _exponential(retry)(state)


def sent(step: Any, send: Send, retry: RetryOptions, sleep: Callable[[float], None]) -> Any:
    """Send a request, retrying within the retry budget, and return the response.

    Most requests succeed immediately, so the retrier is created only after a failure.
    """
    began = time.monotonic()
    try:
        return send(step)
    except Unavailable as error:
        failed = [error]

    def again() -> Any:
        if failed:
            raise failed.pop()
        return send(step)

    from tenacity import Retrying

    return Retrying(sleep=sleep, **_policy(retry, began))(again)


async def asent(
    step: Any, send: AsyncSend, retry: RetryOptions, sleep: Callable[[float], Awaitable[None]]
) -> Any:
    """As `sent`, awaiting."""
    began = time.monotonic()
    try:
        return await send(step)
    except Unavailable as error:
        failed = [error]

    async def again() -> Any:
        if failed:
            raise failed.pop()
        return await send(step)

    from tenacity import AsyncRetrying

    return await AsyncRetrying(sleep=sleep, **_policy(retry, began))(again)


def _policy(retry: RetryOptions, began: float) -> dict[str, Any]:
    """The retry policy of a request whose first attempt, which counts, began at this time."""
    from tenacity import retry_if_exception_type, stop_after_attempt, stop_before_delay

    exponential = _exponential(retry)
    left_s = max(0.0, retry.total_s - (time.monotonic() - began))

    def wait(state: RetryCallState) -> float:
        error = state.outcome.exception() if state.outcome else None
        asked = error.retry_after_s if isinstance(error, Unavailable) else None
        return exponential(state) if asked is None else asked

    def warn(state: RetryCallState) -> None:
        error = state.outcome.exception() if state.outcome else None
        pause = state.next_action.sleep if state.next_action else 0.0
        log.warning(
            "attempt %d failed (%s); retrying in %.1f s", state.attempt_number, error, pause
        )

    return {
        "retry": retry_if_exception_type(Unavailable),
        "stop": stop_after_attempt(retry.attempts) | stop_before_delay(left_s),
        "wait": wait,
        "before_sleep": warn,
        "reraise": True,
    }


def _exponential(retry: RetryOptions) -> wait_random_exponential:
    from tenacity import wait_random_exponential

    return wait_random_exponential(multiplier=retry.initial_wait_s, max=retry.max_wait_s)
