"""One event loop for the life of the process: pooled connections outlive an invocation, which `asyncio.run` breaks."""

from __future__ import annotations

import asyncio
import atexit
import logging
import time
from collections.abc import Callable, Coroutine, Iterable
from functools import cache
from typing import TypeVar

logger = logging.getLogger(__name__)

T = TypeVar("T")
CANCEL_AGAIN_SECONDS = 0.5
STOP_SECONDS = 10.0


def run(coroutine: Coroutine[object, object, T]) -> T:
    """The coroutine's result, from this process's own loop; for synchronous callers (Lambda handlers) only.

    Tasks that it leaves behind are suspended until the next call, as a frozen Lambda environment is.
    """
    return loop().run_until_complete(coroutine)


async def stop(tasks: Iterable[asyncio.Task[object]], within_seconds: float = STOP_SECONDS) -> None:
    """Cancels the tasks and returns when all of them have ended; their errors are ignored.

    A task that does not end within `within_seconds` is logged and abandoned, so that the caller keeps its deadline.
    A cancellation can get lost: `asyncio.wait_for`, through which redis sends, drops one that comes in the moment its
    work is done (until Python 3.12, https://github.com/python/cpython/issues/86296). So it is repeated.
    """
    left, ends_at = set(tasks), time.monotonic() + within_seconds
    while left:
        for task in left:
            task.cancel()
        ended, left = await asyncio.wait(left, timeout=min(CANCEL_AGAIN_SECONDS, within_seconds))
        for task in ended:
            if not task.cancelled():
                task.exception()  # else asyncio logs that it was never retrieved
        if left and time.monotonic() >= ends_at:
            logger.error("tasks_not_stopped", extra={"tasks": [task.get_name() for task in left]})
            return


@cache
def loop() -> asyncio.AbstractEventLoop:
    """The process's event loop, made on first use."""
    event_loop = _new_loop()
    atexit.register(event_loop.close)
    return event_loop


_new_loop: Callable[[], asyncio.AbstractEventLoop] = asyncio.new_event_loop


def use_uvloop() -> None:
    """Makes the loop one of uvloop's, where that is installed; to be called before the first `run`.

    uvloop halves the CPU of each socket operation where many are under way at once. It is not worth it in a function
    that handles one request at a time: it takes 5 ms and 14 MB to start, and each `run` makes a pair of sockets, which
    costs more than a request's few socket operations save.
    """
    global _new_loop  # one per process, by design
    try:
        import uvloop
    except ImportError:
        return
    _new_loop = uvloop.new_event_loop
