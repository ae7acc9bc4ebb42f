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
from shared.engine.expressions.evaluator_main import HEADER, PROGRESS

# The library stops an expression after its own timeout; this is for one that it cannot stop.
KILL_AFTER_SECONDS = 2 * TIMEOUT_SECONDS
# A child that has work and does not even begin it is lost as well, by nobody's fault.
LOST_AFTER_SECONDS = 10.0
WATCH_SECONDS = 0.05
# How much memory the child may hold; its own limits keep it far below, unless something is wrong with them.
MAX_RESIDENT_BYTES = 512 * 1024 * 1024
_START = (
    "import sys; sys.path[:] = {path!r}; from shared.engine.expressions.evaluator_main import main; main(sys.argv[1:])"
)


class EvaluationError(Exception):
    """An expression of a node's parameters failed: `pointer` says which, `code` is JSONata's or `timeout`, `limit`."""

    def __init__(self, pointer: str, message: str, code: str | None) -> None:
        self.pointer, self.message, self.code = pointer, message, code
        super().__init__(f"{pointer}: {message}")


class Owner(Protocol):
    """Who is told what the child says and when it is gone."""

    def answered(self, number: int, answer: bytes) -> None:
        """Takes the answer to the request of this number in; it raises nothing."""

    def is_waiting(self) -> bool:
        """Whether any evaluation is with the child."""

    def looked(self, number: int, now: float) -> None:
        """Learns which evaluation the child is at (0: at none), by the loop's clock."""

    def died(self, child: EvaluatorProcess, guilty: int, verdict: EvaluationError | None) -> None:
        """Learns that the child is gone, in which evaluation (0: in none), and why it was killed if it was."""


class EvaluatorProcess(asyncio.Protocol):
    """One child process: its socket, its progress, and when it was last seen to move on."""

    transport: asyncio.Transport

    def __init__(
        self, owner: Owner, process: subprocess.Popen[bytes], progress: mmap.mmap, max_resident_bytes: int
    ) -> None:
        self._owner, self._process, self._progress = owner, process, progress
        self._max_resident_bytes = max_resident_bytes
        self._buffer = bytearray()
        self._loop = asyncio.get_running_loop()
        self._timer: asyncio.TimerHandle | None = None
        self._seen = (0, 0.0)
        self._verdict: EvaluationError | None = None

    @classmethod
    async def start(cls, owner: Owner, max_resident_bytes: int = MAX_RESIDENT_BYTES) -> EvaluatorProcess:
        """A new child, connected, which may hold so much memory. Its environment is empty: what it evaluates comes from
        outside."""
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
            self._owner.answered(number, bytes(buffer[start : start + size]))
            position = start + size
        del buffer[:position]

    def connection_lost(self, _error: Exception | None) -> None:
        if self._timer is not None:
            self._timer.cancel()
        (guilty,) = PROGRESS.unpack_from(self._progress)
        self._process.kill()
        self._process.wait()
        self._progress.close()
        self._owner.died(self, guilty, self._verdict)

    def watch(self) -> None:
        """Looks after the child until nothing is with it any more."""
        if self._timer is None:
            self._seen = (0, self._loop.time())
            self._timer = self._loop.call_later(WATCH_SECONDS, self._look)

    def _look(self) -> None:
        self._timer = None
        if not self._owner.is_waiting():
            return
        (current,) = PROGRESS.unpack_from(self._progress)
        now = self._loop.time()
        if current != self._seen[0]:
            self._seen = (current, now)
        elif now - self._seen[1] >= (KILL_AFTER_SECONDS if current else LOST_AFTER_SECONDS):
            self._verdict = EvaluationError("", "The evaluation took too long.", "timeout")
            self.kill()
            return
        if self._resident_bytes() > self._max_resident_bytes:
            # Others' data may fill it as well: without a verdict, what it is at is tried once more by an empty one.
            self.kill()
            return
        self._owner.looked(current, now)
        self._timer = self._loop.call_later(WATCH_SECONDS, self._look)

    def kill(self) -> None:
        """Ends the child at once, whatever it is at."""
        self._process.send_signal(signal.SIGKILL)

    def _resident_bytes(self) -> int:
        try:
            return int(Path(f"/proc/{self._process.pid}/statm").read_text().split()[1]) * mmap.PAGESIZE
        except (OSError, IndexError, ValueError):
            return 0  # not Linux, or the process is just ending

    def end(self) -> None:
        """Closes the socket, at which the child ends by itself."""
        self.transport.close()
