"""Lambda SnapStart: what a function does before its process is snapshotted, and after it has been restored.

A snapshot is restored many times: connections in it are dead, and random state in it would be the same in every copy.
Our ids come from the operating system's source; only Python's `random`, which backoff uses for jitter, is seeded once.
"""

from __future__ import annotations

import random
import sys
from collections.abc import Callable, Coroutine

from shared.platform.runtime import run


def prepare(
    warm: Callable[[], object], drop_connections: Callable[[], Coroutine[object, object, None]] | None = None
) -> bool:
    """Whether the hooks were registered, which needs Lambda's runtime: before the snapshot, `warm` imports what the
    first event needs, and `drop_connections` closes what would be dead after the restore."""
    try:
        from snapshot_restore_py import register_after_restore, register_before_snapshot
    except ImportError:  # not Lambda's runtime: nothing is snapshotted
        return False

    def before() -> None:
        warm()
        if drop_connections is not None:
            run(drop_connections())

    register_before_snapshot(before)
    register_after_restore(random.seed)
    return True


def modules(*names: str) -> Callable[[], object]:
    """A function that imports these modules; for `warm`."""

    def load() -> None:
        for name in names:
            __import__(name)
            assert name in sys.modules

    return load
