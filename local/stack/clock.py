"""A clock that a test can move: all functions of a local stack that is given one follow it at once.

Only what `time.time` says moves. Timeouts and pauses go by the monotonic clock, as on a machine whose time is set, and
the databases have clocks of their own, which decide nothing about runs.
"""

from __future__ import annotations

import mmap
import os
import struct
import time
from collections.abc import Mapping
from pathlib import Path

VARIABLE = "LOCAL_CLOCK"
machine_time = time.time
_SECONDS = struct.Struct("d")


class Clock:
    """The clock in a file: pass its `environment` to the `LocalStack` whose functions shall follow it."""

    def __init__(self, file: Path) -> None:
        """The file is made; until the clock is moved it is the machine's."""
        file.write_bytes(_SECONDS.pack(0.0))
        self._file = file

    @property
    def environment(self) -> Mapping[str, str]:
        """The variables that make functions follow this clock."""
        return {VARIABLE: str(self._file)}

    def now(self) -> float:
        """The Unix time that the functions see."""
        return machine_time() + self._offset()

    def advance(self, seconds: float) -> None:
        """Moves the clock forward, at once for all."""
        self._move(self._offset() + seconds)

    def set(self, unix_seconds: float) -> None:
        """Moves the clock to a moment; it runs on from there."""
        self._move(unix_seconds - machine_time())

    def _offset(self) -> float:
        (seconds,) = _SECONDS.unpack(self._file.read_bytes())
        return float(seconds)

    def _move(self, offset: float) -> None:
        # In place: the functions have the file mapped, and eight aligned bytes are seen whole.
        with self._file.open("r+b") as file:
            file.write(_SECONDS.pack(offset))


def follow_clock() -> None:
    """From now on this process's `time.time` is the clock that `LOCAL_CLOCK` names, if it names one."""
    path = os.environ.get(VARIABLE)
    if not path:
        return
    with Path(path).open("rb") as file:
        offset = memoryview(mmap.mmap(file.fileno(), _SECONDS.size, access=mmap.ACCESS_READ)).cast("d")
    time.time = lambda: machine_time() + offset[0]
    time.time_ns = lambda: int((machine_time() + offset[0]) * 1_000_000_000)
