"""One execution environment over the source tree: a process that runs one invocation at a time, with its timeout."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
from typing import cast

from local.stack.function_pool import FunctionPool
from local.stack.function_worker import ANSWER, ERROR, FAILED_IMPORT, INVOCATION
from local.stack.invocation import Invocation

_START_SECONDS = 60  # Lambda gives an import ten seconds and then tries again; a busy laptop gets longer
_SIGNALS: dict[int, str] = {
    signal.SIGKILL: "killed",
    signal.SIGTERM: "terminated",
    signal.SIGSEGV: "segmentation fault",
}


class WorkerProcess(asyncio.Protocol):
    """One process that runs the source tree, and the socket to it: the worker of a `FunctionPool`."""

    def __init__(self, pool: FunctionPool) -> None:
        self.ready = False
        self.retired = False
        self.invocations = 0
        self._pool = pool
        self._loop = asyncio.get_running_loop()
        self._current: Invocation | None = None
        self._received = bytearray()
        self._timed_out = False
        self._has_failed_import = False
        self._transport: asyncio.WriteTransport | None = None
        # Invocations go over a socket pair: its end tells either side that the other has gone.
        ours, theirs = socket.socketpair()
        with theirs, pool.log.open("ab") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "local.stack.function_worker", str(theirs.fileno()), pool.function.handler],
                pass_fds=(theirs.fileno(),),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=pool.environment(),
                cwd=pool.function.code_folder,
                # A process group of its own, so that the function's child processes are killed with it.
                start_new_session=True,
            )
        self.pid = self._process.pid
        self._timer = self._loop.call_later(_START_SECONDS, self.kill)
        self._connecting = self._loop.create_task(self._connect(ours))

    async def _connect(self, ours: socket.socket) -> None:
        ours.setblocking(False)
        await self._loop.create_connection(lambda: self, sock=ours)

    @property
    def busy(self) -> bool:
        """Whether it runs an invocation, or is still starting."""
        return self._current is not None or not self.ready

    def run(self, invocation: Invocation) -> None:
        """Send it the invocation; the function's timeout starts."""
        assert self._transport is not None
        assert self._current is None
        self._current = invocation
        self.invocations += 1
        seconds = self._pool.function.timeout_seconds
        self._timer = self._loop.call_later(seconds, self._time_out)
        # The deadline goes along, so that the function's context can say how much time is left.
        head = INVOCATION.pack(len(invocation.payload), time.time() + seconds, invocation.request_id.encode())
        self._transport.write(head + invocation.payload)

    def retire(self) -> None:
        """End it as soon as it is idle."""
        self.retired = True
        if not self.busy:
            self.kill()

    def kill(self) -> None:
        """End it and all that it has started, now."""
        self._timer.cancel()
        if self._process.poll() is None:
            try:
                os.killpg(self.pid, signal.SIGKILL)
            except (ProcessLookupError, PermissionError):  # macOS says the latter of a group that is just ending
                self._process.kill()

    def how_it_ended(self) -> str:
        """Lambda's message for it: `exit status 1` or `signal: killed`."""
        code = self._process.returncode
        if code is not None and code < 0:
            return f"Runtime exited with error: signal: {_SIGNALS.get(-code, signal.Signals(-code).name)}"
        return f"Runtime exited with error: exit status {code}" if code else "Runtime exited without providing a reason"

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """The socket is ours to write to."""
        # uvloop's transports have the methods without the base class.
        self._transport = cast("asyncio.WriteTransport", transport)

    def data_received(self, data: bytes) -> None:
        """Collect the readiness byte and then answers."""
        if not self.ready:
            self.ready = True
            self._has_failed_import = data.startswith(FAILED_IMPORT)
            self._timer.cancel()
            data = data[1:]
            self._free()
        if not data:
            return
        received = self._received
        received += data
        if len(received) < ANSWER.size:
            return
        kind, size = ANSWER.unpack_from(received)
        # An answer of megabytes arrives in many parts.
        if len(received) < ANSWER.size + size:
            return
        payload = bytes(memoryview(received)[ANSWER.size :])
        self._received = bytearray()
        self._timer.cancel()
        invocation, self._current = self._current, None
        if invocation is not None:
            invocation.settle(payload, failed=kind == ERROR)
        # After a failed import the process ends with its first answer: it must not be idle until then.
        self.retired = self.retired or self._has_failed_import
        self._free()

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 -- asyncio's signature
        """The process has ended, or is about to."""
        self._timer.cancel()
        self._loop.create_task(self._bury())

    async def _bury(self) -> None:
        # Its end of the socket closes a moment before the process can be waited for.
        while self._process.poll() is None:  # noqa: ASYNC110 -- there is no event for it on both systems
            await asyncio.sleep(0.002)
        self.kill_children()
        invocation, self._current = self._current, None
        if invocation is not None:
            self._fail(invocation)
        self._pool.ended(self)

    def _fail(self, invocation: Invocation) -> None:
        if self._timed_out:
            seconds = self._pool.function.timeout_seconds
            error = invocation.fail("Sandbox.Timedout", f"Task timed out after {seconds:.2f} seconds")
        else:
            error = invocation.fail("Runtime.ExitError", self.how_it_ended())
        if not self._pool.closed:
            with self._pool.log.open("ab") as log:
                log.write(error + b"\n")

    def kill_children(self) -> None:
        """Kill the child processes that a dead worker has left."""
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self.pid, signal.SIGKILL)

    def _free(self) -> None:
        if self.retired:
            self.kill()
        else:
            self._pool.became_free(self)

    def _time_out(self) -> None:
        self._timed_out = True
        self.kill()
