"""One event loop for the life of the process: pooled connections outlive an invocation, which `asyncio.run` breaks."""

from __future__ import annotations

import asyncio
import atexit
from collections.abc import Coroutine
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
    """The loop itself: uvloop's where it is installed (half the CPU per socket operation), else asyncio's."""
    try:
        import uvloop
    except ImportError:
        made = asyncio.new_event_loop()
    else:
        made = uvloop.new_event_loop()
    atexit.register(made.close)
    return made
