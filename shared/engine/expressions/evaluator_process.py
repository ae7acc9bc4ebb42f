"""One child process that evaluates expressions: started, fed, watched, and killed when it must be."""

from __future__ import annotations

import asyncio
import mmap
import signal
import socket
import subprocess
import sys
import tempfile
from contextlib import ExitStack
from pathlib import Path
from typing import Protocol, cast

from shared.domain.expressions.expressions import TIMEOUT_SECONDS
from shared.engine.expressions.confinement import hide_this_process
from shared.engine.expressions.evaluator_main import HEADER, PROGRESS

# The library stops an expression after its own timeout; the child is killed for one that it cannot stop.
KILL_AFTER_SECONDS = 2 * TIMEOUT_SECONDS
# A child that has work and does not even begin it is killed as well, and no evaluation is blamed.
LOST_AFTER_SECONDS = 10.0
WATCH_SECONDS = 0.05
# How much resident memory the child may have; its own limits keep it far below, unless they fail.
MAX_RESIDENT_BYTES = 512 * 1024 * 1024
_START = (
    "import sys; sys.path[:] = {path!r}; from shared.engine.expressions.evaluator_main import main; main(sys.argv[1:])"
)


class EvaluationError(Exception):
    """An expression of a node's parameters failed: `pointer` says which, `code` is JSONata's, `timeout` or `limit`."""

    def __init__(self, pointer: str, message: str, code: str | None) -> None:
        self.pointer, self.message, self.code = pointer, message, code
        super().__init__(f"{pointer}: {message}")


class Owner(Protocol):
    """What a child reports to."""

    def on_answer(self, number: int, answer: bytes) -> None:
        """Takes in the encoded answer to the request of this number; raises nothing."""

    def is_waiting(self) -> bool:
        """Whether any evaluation is with the child."""

    def on_progress(self, number: int, now: float) -> None:
        """Learns which evaluation was running at `now`, by the loop's clock; 0 for none."""

    def on_death(self, child: EvaluatorProcess, running: int, verdict: EvaluationError | None) -> None:
        """Learns that the child is gone, which evaluation was running (0: none), and that one's error, if the child was
        killed for it."""


class EvaluatorProcess(asyncio.Protocol):
    """One child process: its socket, its progress, and its watchdog."""

    transport: asyncio.Transport

    def __init__(
        self, owner: Owner, process: subprocess.Popen[bytes], progress: mmap.mmap, max_resident_bytes: int
    ) -> None:
        self._owner, self._process, self._progress = owner, process, progress
        self._max_resident_bytes = max_resident_bytes
        self._buffer = bytearray()
        self._loop = asyncio.get_running_loop()
        self._timer: asyncio.TimerHandle | None = None
        # The evaluation that the watchdog saw running, and since when.
        self._seen = (0, 0.0)
        self._verdict: EvaluationError | None = None

    @classmethod
    async def start(cls, owner: Owner, max_resident_bytes: int = MAX_RESIDENT_BYTES) -> EvaluatorProcess:
        """A new child, connected, which may have so much resident memory. Its environment is empty: expressions are
        untrusted, and the parent's environment holds secrets; this process hides its own from then on."""
        hide_this_process()
        # Whatever was made so far is undone if a later step fails, or this task is cancelled.
        with ExitStack() as unless_started:
            ours, theirs = socket.socketpair()
            unless_started.callback(ours.close)
            with theirs, tempfile.TemporaryFile() as file:
                file.truncate(mmap.PAGESIZE)
                progress = mmap.mmap(file.fileno(), PROGRESS.size)
                arguments = [sys.executable, "-I", "-S", "-c", _START.format(path=[path or "." for path in sys.path])]
                process = subprocess.Popen(  # noqa: ASYNC220, S603  # our own interpreter, and it returns at once
                    [*arguments, str(theirs.fileno()), str(file.fileno())],
                    stdin=subprocess.DEVNULL,
                    env={},
                    pass_fds=(theirs.fileno(), file.fileno()),
                )
            unless_started.callback(process.kill)
            ours.setblocking(False)
            _, child = await asyncio.get_running_loop().create_unix_connection(
                lambda: cls(owner, process, progress, max_resident_bytes), sock=ours
            )
            unless_started.pop_all()
        return child

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)  # uvloop's transports are of no asyncio class

    def data_received(self, data: bytes) -> None:
        buffer = self._buffer
        buffer += data
        position = 0
        while len(buffer) - position >= HEADER.size:
            size, number = HEADER.unpack_from(buffer, position)
            start = position + HEADER.size
            if len(buffer) - start < size:
                break
            self._owner.on_answer(number, bytes(buffer[start : start + size]))
            position = start + size
        del buffer[:position]

    def connection_lost(self, _error: Exception | None) -> None:
        if self._timer is not None:
            self._timer.cancel()
        (running,) = PROGRESS.unpack_from(self._progress)
        self._process.kill()
        self._process.wait()
        self._progress.close()
        self._owner.on_death(self, running, self._verdict)

    def watch(self) -> None:
        """Starts the watchdog, which runs until nothing is with the child any more."""
        if self._timer is None:
            self._seen = (0, self._loop.time())
            self._timer = self._loop.call_later(WATCH_SECONDS, self._check)

    def _check(self) -> None:
        self._timer = None
        if not self._owner.is_waiting():
            return
        (running,) = PROGRESS.unpack_from(self._progress)
        now = self._loop.time()
        if running != self._seen[0]:
            self._seen = (running, now)
        elif now - self._seen[1] >= (KILL_AFTER_SECONDS if running else LOST_AFTER_SECONDS):
            self._verdict = EvaluationError("", "The evaluation took too long.", "timeout")
            self.kill()
            return
        if self._resident_bytes() > self._max_resident_bytes:
            # Other runs' data may have filled it: without a verdict, the running evaluation is retried in a new child.
            self.kill()
            return
        self._owner.on_progress(running, now)
        self._timer = self._loop.call_later(WATCH_SECONDS, self._check)

    def kill(self) -> None:
        """Ends the child at once; `on_death` follows."""
        self._process.send_signal(signal.SIGKILL)

    def _resident_bytes(self) -> int:
        try:
            return int(Path(f"/proc/{self._process.pid}/statm").read_text().split()[1]) * mmap.PAGESIZE
        except (OSError, IndexError, ValueError):
            return 0  # not Linux, or the process has just ended

    def end(self) -> None:
        """Closes the socket, upon which the child ends by itself."""
        self.transport.close()
