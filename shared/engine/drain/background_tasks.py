"""What a drain does beside its runs, each in a task of its own until it is stopped: lock renewal, recovery, the sweep,
the autoscaler, the delivery log, metrics.

A turn that fails is logged and counted, and the next turn comes. A task that ends without being stopped makes the drain
leave: a drain that renews no locks, or that sweeps nothing, looks healthy and is not.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Coroutine
from functools import partial
from typing import NoReturn

from shared.errors import UnavailableError
from shared.observability import count
from shared.platform.runtime import stop

logger = logging.getLogger(__name__)

# After a turn that failed: long enough that an error in each turn does not use up the core.
FAILED_TURN_PAUSE_SECONDS = 1.0
# A turn that takes longer is cancelled: what it waits for will not come. Calls to Redis and Supabase have shorter
# deadlines of their own.
TURN_SECONDS = 60.0


async def run_periodically(
    name: str,
    turn: Callable[[], Awaitable[float]],
    deadline_seconds: float = TURN_SECONDS,
    failed_pause_seconds: float = FAILED_TURN_PAUSE_SECONDS,
) -> NoReturn:
    """Takes one turn after another until it is cancelled; a turn returns the seconds of pause after it.

    `name` stands in the log. A turn that raises, or that takes longer than `deadline_seconds`, is logged and followed
    by the next after `failed_pause_seconds`.
    """
    while True:
        pause = failed_pause_seconds
        try:
            async with asyncio.timeout(deadline_seconds):
                pause = await turn()
        except UnavailableError as error:
            logger.warning("keeper_waits", extra={"keeper": name, "error": error.code})
        except TimeoutError:
            logger.warning("keeper_waits", extra={"keeper": name, "error": "timeout"})
        except Exception:  # the edge: one turn's error is not the next one's, and is logged
            logger.exception("keeper_error", extra={"keeper": name})
            count("KeeperErrors")
        await asyncio.sleep(pause)


class BackgroundTasks:
    """Tasks that run until `stop`."""

    def __init__(self, on_death: Callable[[str], None]) -> None:
        """`on_death` is called with the name of a task that ends before `stop`."""
        self._on_death = on_death
        self._tasks: set[asyncio.Task[object]] = set()

    def start(self, name: str, work: Coroutine[object, object, object]) -> None:
        """Makes a task of `work`, which is to run until it is cancelled."""
        task = asyncio.create_task(work, name=name)
        self._tasks.add(task)
        task.add_done_callback(partial(self._ended, name))

    async def stop(self) -> None:
        """Returns when all have ended."""
        # Emptied first: a task that ends from here on was stopped, and has not died.
        tasks, self._tasks = self._tasks, set()
        await stop(tasks)

    def _ended(self, name: str, task: asyncio.Task[object]) -> None:
        if task not in self._tasks:
            return
        error = None if task.cancelled() else task.exception()
        logger.error("keeper_died", extra={"keeper": name}, exc_info=error)
        count("KeepersDied")
        self._on_death(name)
