"""Drains in processes of their own: `python -m tests.faults.drain_processes <how many>`, in the drain's environment.

All are forked from one process that has imported everything, so that one which was killed is back at once; each line of
standard output is the id of a new one's process. They end with standard input.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
import threading

from functions.drain.work import drain

SECONDS = 900.0


async def _work(parent: int) -> None:
    """Invocation after invocation, as a function that is always warm."""
    loop = asyncio.get_running_loop()
    orphaned = loop.create_task(_end_with(parent))
    while not orphaned.done():
        ends_at = loop.time() + SECONDS
        await drain(lambda ends_at=ends_at: ends_at - loop.time())


async def _end_with(parent: int) -> None:
    while os.getppid() == parent:  # noqa: ASYNC110  # nobody tells a process that its parent is gone
        await asyncio.sleep(1)
    os._exit(1)


def _fork() -> int:
    parent, pid = os.getpid(), os.fork()
    if pid == 0:
        asyncio.run(_work(parent))
    return pid


def _end_with_input() -> None:
    sys.stdin.read()
    os.kill(os.getpid(), signal.SIGTERM)


def _end(*_: object) -> None:
    raise SystemExit


def main(number: int) -> None:
    """Keeps `number` drains alive."""
    # Nothing else runs in this process while it forks, but a thread that waits for the end of standard input.
    alive = set[int]()
    signal.signal(signal.SIGTERM, _end)
    threading.Thread(target=_end_with_input, daemon=True).start()
    try:
        while True:
            while len(alive) < number:
                pid = _fork()
                alive.add(pid)
                print(pid, flush=True)
            alive.discard(os.wait()[0])
    finally:
        for pid in alive:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)


if __name__ == "__main__":
    main(int(sys.argv[1]))
