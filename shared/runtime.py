"""One event loop for the life of the process: pooled connections outlive an invocation, which `asyncio.run` breaks."""

from __future__ import annotations

import asyncio
import atexit
from collections.abc import Callable, Coroutine
from functools import cache
from typing import Any, TypeVar

T = TypeVar("T")


def run(coroutine: Coroutine[Any, Any, T]) -> T:
    """The coroutine's result, from this process's own loop; for synchronous callers (Lambda handlers) only.

    Tasks that it leaves behind stand still until the next call, as a frozen Lambda environment does.
    """
    return loop().run_until_complete(coroutine)


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
