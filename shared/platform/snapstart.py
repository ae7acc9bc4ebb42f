"""Lambda SnapStart: what a function does before its process is snapshotted, and after it has been restored.

A snapshot is restored many times: connections in it are dead, and random state in it would be everybody's. Our ids
come from the system's own source; what is seeded once is Python's `random`, which backoff uses for jitter.
"""

from __future__ import annotations

import random
import sys
from collections.abc import Callable, Coroutine

from shared.platform.runtime import run


def prepare(
    warm: Callable[[], object], drop_connections: Callable[[], Coroutine[object, object, None]] | None = None
) -> bool:
    """Register the hooks, where the runtime has them: `warm` imports what the first event needs, `drop_connections`
    ends what would be dead after the restore, if the function has any. Whether they were registered."""
    try:
        from snapshot_restore_py import register_after_restore, register_before_snapshot
    except ImportError:  # another way of running: nothing is snapshotted
        return False

    def before() -> None:
        warm()
        if drop_connections is not None:
            run(drop_connections())

    register_before_snapshot(before)
    register_after_restore(random.seed)
    return True


def modules(*names: str) -> Callable[[], object]:
    """Imports these modules; for `warm`."""

    def load() -> None:
        for name in names:
            __import__(name)
            assert name in sys.modules

    return load
