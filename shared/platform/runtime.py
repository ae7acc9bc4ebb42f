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

    Tasks that it leaves behind stand still until the next call, as a frozen Lambda environment does.
    """
    return loop().run_until_complete(coroutine)


async def stop(tasks: Iterable[asyncio.Task[object]], within_seconds: float = STOP_SECONDS) -> None:
    """Returns when all of the tasks have ended, cancelled if need be. Their errors are looked at by nobody else.

    A task that does not end within `within_seconds` is logged and left to itself: whoever waits for it has his own end.
    A cancellation can get lost: `asyncio.wait_for`, through which redis sends, drops one that comes in the moment its
    work is done (until Python 3.12, https://github.com/python/cpython/issues/86296). So it is said again until heard.
    """
    left, ends_at = set(tasks), time.monotonic() + within_seconds
    while left:
        for task in left:
            task.cancel()
        ended, left = await asyncio.wait(left, timeout=min(CANCEL_AGAIN_SECONDS, within_seconds))
        for task in ended:
            if not task.cancelled():
                task.exception()  # else asyncio complains that nobody has asked
        if left and time.monotonic() >= ends_at:
            logger.error("tasks_not_stopped", extra={"tasks": [task.get_name() for task in left]})
            return


@cache
def loop() -> asyncio.AbstractEventLoop:
    """The loop itself."""
    made = _new_loop()
    atexit.register(made.close)
    return made


_new_loop: Callable[[], asyncio.AbstractEventLoop] = asyncio.new_event_loop


def use_uvloop() -> None:
    """Makes the loop one of uvloop's, where that is installed; to be said before the first `run`.

    It halves the CPU of each socket operation where many are under way at once. It is not for a function that takes
    one request at a time: it takes 5 ms and 14 MB to start, and each `run` makes a pair of sockets, which costs more
    than a request's few socket operations save.
    """
    global _new_loop  # one per process, by design
    try:
        import uvloop
    except ImportError:
        return
    _new_loop = uvloop.new_event_loop
