"""The worker processes of one function: started on demand, kept warm, one invocation at a time each, as on Lambda."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import time
import uuid
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple, Protocol, cast

from local.stack.function_worker import ANSWER, ERROR, INVOCATION
from local.stack.intrinsics import REGION
from local.stack.template import Function
from shared.json_types import JsonObject

ROOT = Path(__file__).parents[2]
_START_SECONDS = 60  # Lambda gives an import ten seconds and then tries again; a busy laptop gets longer
# What a process needs to find its interpreter, its certificates and its way out; the rest of the environment is the
# template's, so that a variable forgotten there fails here as it would on AWS.
_INHERITED = (
    *("PATH", "HOME", "LANG", "LC_ALL", "TMPDIR", "COVERAGE_PROCESS_START"),
    *("SSL_CERT_FILE", "SSL_CERT_DIR", "REQUESTS_CA_BUNDLE"),
    *("HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "http_proxy", "https_proxy", "no_proxy"),
)


class Outcome(NamedTuple):
    """What an invocation gave: its JSON, and `Unhandled` when that describes an error."""

    payload: bytes
    function_error: str | None


@dataclass(slots=True)
class Invocation:
    """One invocation, and the future that somebody may still wait for."""

    payload: bytes
    request_id: str
    outcome: asyncio.Future[Outcome]

    def settle(self, payload: bytes, *, failed: bool) -> None:
        """Give the function's answer."""
        _settle(self, Outcome(payload, "Unhandled" if failed else None))

    def fail(self, kind: str, what: str) -> None:
        """Give an error of the environment itself."""
        _settle(self, _error(kind, self.request_id, what))


class Worker(Protocol):
    """One execution environment."""

    ready: bool
    retired: bool
    invocations: int

    @property
    def pid(self) -> int:
        """The process that runs the function."""

    @property
    def busy(self) -> bool:
        """Whether it runs an invocation, or is still starting."""

    def run(self, invocation: Invocation) -> None:
        """Take this one; the pool is told when it may have another."""

    def retire(self) -> None:
        """End as soon as it is idle."""

    def kill(self) -> None:
        """End now."""

    def how_it_ended(self) -> str:
        """In the words of Lambda."""


class FunctionPool:
    """Runs one function. Everything here belongs to one event loop."""

    def __init__(
        self,
        function: Function,
        *,
        environment: Mapping[str, str],
        log: Path,
        concurrency: int = 4,
        start: Callable[[FunctionPool], Worker] | None = None,
    ) -> None:
        """`environment` is laid over the template's own; all workers append what they print to `log`.

        `start` makes a worker: unset, one that runs the source tree.
        """
        self._start = start or _Worker
        self.function = function
        self.log = log
        self.concurrency = concurrency
        self._environment = environment
        self._workers: list[Worker] = []
        self._idle: list[Worker] = []
        self._waiting: deque[Invocation] = deque()
        self.closed = False

    def invoke(self, payload: bytes, request_id: str | None = None) -> asyncio.Future[Outcome]:
        """The future outcome of one invocation. It never fails; cancelling it does not stop the function.

        When all workers are busy and there may be no more, the invocation waits.
        """
        outcome: asyncio.Future[Outcome] = asyncio.get_running_loop().create_future()
        invocation = Invocation(payload, request_id or str(uuid.uuid4()), outcome)
        if self._idle:
            # The most recently used one: its caches are warm, and the others may be let go.
            self._idle.pop().run(invocation)
        else:
            self._waiting.append(invocation)
            self._start_worker_if_useful()
        return outcome

    def workers(self) -> list[JsonObject]:
        """The live workers: `{pid, busy, invocations}` each."""
        return [{"pid": w.pid, "busy": w.busy, "invocations": w.invocations} for w in self._workers]

    def reload(self) -> None:
        """Let new workers with today's code take over; busy ones finish their invocation first."""
        for worker in list(self._workers):
            worker.retire()
        self._idle.clear()

    def close(self) -> None:
        """Kill all workers; invocations that run or wait end as errors."""
        self.closed = True
        for worker in list(self._workers):
            worker.kill()
        while self._waiting:
            invocation = self._waiting.popleft()
            _settle(invocation, _error("Runtime.ExitError", invocation.request_id, "the local stack stops"))

    async def wait_closed(self) -> None:
        """Return when no process of this pool is left."""
        while self._workers:  # noqa: ASYNC110 -- for the moment that killed processes take to end
            await asyncio.sleep(0.005)

    def _start_worker_if_useful(self) -> None:
        starting = sum(not worker.ready for worker in self._workers)
        active = sum(not worker.retired for worker in self._workers)
        if not self.closed and starting < len(self._waiting) and active < self.concurrency:
            self._workers.append(self._start(self))

    def environment(self) -> dict[str, str]:
        """What a worker's process finds in its environment."""
        function = self.function
        paths = dict.fromkeys((str(function.code_folder), str(ROOT)))
        return {
            **{name: os.environ[name] for name in _INHERITED if name in os.environ},
            "TZ": ":UTC",
            "PYTHONUNBUFFERED": "1",
            "PYTHONPATH": os.pathsep.join(paths),
            "AWS_REGION": REGION,
            "AWS_DEFAULT_REGION": REGION,
            "AWS_LAMBDA_FUNCTION_NAME": function.name,
            "AWS_LAMBDA_FUNCTION_VERSION": "$LATEST",
            "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": str(function.memory_mb),
            "AWS_LAMBDA_LOG_GROUP_NAME": f"/aws/lambda/{function.name}",
            "AWS_LAMBDA_LOG_STREAM_NAME": "local",
            "LAMBDA_TASK_ROOT": str(function.code_folder),
            "_HANDLER": function.handler,
            "LOCAL_FUNCTION_ARN": function.arn,
            "LOCAL_PARENT_PID": str(os.getpid()),
            **function.environment,
            **self._environment,
        }

    def became_free(self, worker: Worker) -> None:
        """A worker may have another invocation."""
        while self._waiting:
            invocation = self._waiting.popleft()
            if not invocation.outcome.done():
                worker.run(invocation)
                return
        self._idle.append(worker)

    def take_back(self, invocation: Invocation) -> None:
        """An invocation that its worker never began is given to another one."""
        self._waiting.appendleft(invocation)
        self._start_worker_if_useful()

    def ended(self, worker: Worker) -> None:
        """A worker and its process are no more."""
        self._workers.remove(worker)
        if worker in self._idle:
            self._idle.remove(worker)
        if self._waiting:
            if not worker.ready:
                # It died while starting: whoever waits gets to know, rather than a loop of such starts.
                invocation = self._waiting.popleft()
                _settle(invocation, _error("Runtime.ExitError", invocation.request_id, worker.how_it_ended()))
            self._start_worker_if_useful()


class _Worker(asyncio.Protocol):
    """One process and the socket to it."""

    def __init__(self, pool: FunctionPool) -> None:
        self.ready = False
        self.retired = False
        self.invocations = 0
        self._pool = pool
        self._loop = asyncio.get_running_loop()
        self._current: Invocation | None = None
        self._received = bytearray()
        self._timed_out = False
        self._transport: asyncio.WriteTransport | None = None
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
                # A group of its own: what the function has started goes with it.
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
        """Hand it the invocation; the clock of the function's timeout starts."""
        assert self._transport is not None
        assert self._current is None
        self._current = invocation
        self.invocations += 1
        seconds = self._pool.function.timeout_seconds
        self._timer = self._loop.call_later(seconds, self._time_out)
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
        """In the words of Lambda: `exit status 1` or `signal: killed`."""
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
        if len(received) < ANSWER.size + size:
            return
        payload = bytes(memoryview(received)[ANSWER.size :])
        self._received = bytearray()
        self._timer.cancel()
        invocation, self._current = self._current, None
        if invocation is not None:
            _settle(invocation, Outcome(payload, "Unhandled" if kind == ERROR else None))
        self._free()

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 -- asyncio's signature
        """The process has ended, or is about to."""
        self._timer.cancel()
        self._loop.create_task(self._bury())

    async def _bury(self) -> None:
        # Its end of the socket closes a moment before the process can be waited for.
        while self._process.poll() is None:  # noqa: ASYNC110 -- no event tells of it on both systems
            await asyncio.sleep(0.002)
        self.kill_children()
        invocation, self._current = self._current, None
        if invocation is not None:
            seconds = self._pool.function.timeout_seconds
            if self._timed_out:
                outcome = _error(
                    "Sandbox.Timedout", invocation.request_id, f"Task timed out after {seconds:.2f} seconds"
                )
            else:
                outcome = _error("Runtime.ExitError", invocation.request_id, self.how_it_ended())
            if not self._pool.closed:
                self._note(outcome)
            _settle(invocation, outcome)
        self._pool.ended(self)

    def kill_children(self) -> None:
        """End what a dead worker has left running."""
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

    def _note(self, outcome: Outcome) -> None:
        with self._pool.log.open("ab") as log:
            log.write(outcome.payload + b"\n")


_SIGNALS: dict[int, str] = {
    signal.SIGKILL: "killed",
    signal.SIGTERM: "terminated",
    signal.SIGSEGV: "segmentation fault",
}


def _settle(invocation: Invocation, outcome: Outcome) -> None:
    if not invocation.outcome.done():
        invocation.outcome.set_result(outcome)


def _error(kind: str, request_id: str, what: str) -> Outcome:
    error = {"errorType": kind, "errorMessage": f"RequestId: {request_id} Error: {what}"}
    return Outcome(json.dumps(error, separators=(",", ":")).encode(), "Unhandled")
