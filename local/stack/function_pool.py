"""The worker processes of one function: started on demand, kept warm, one invocation at a time each, as on Lambda."""

from __future__ import annotations

import asyncio
import os
import uuid
from collections import deque
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Protocol

from local.stack.intrinsics import REGION
from local.stack.invocation import Invocation, Outcome
from local.stack.process import ROOT
from local.stack.template import Function
from shared.json_types import JsonObject

# What a process needs to find its interpreter, its certificates and its proxy; the rest of the environment is the
# template's, so that a variable forgotten there fails here as it would on AWS.
_INHERITED = (
    *("PATH", "HOME", "LANG", "LC_ALL", "TMPDIR", "COVERAGE_PROCESS_START"),
    *("SSL_CERT_FILE", "SSL_CERT_DIR", "REQUESTS_CA_BUNDLE"),
    *("HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "http_proxy", "https_proxy", "no_proxy"),
)


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
        """Start this invocation; `FunctionPool.became_free` is called when the worker may have another."""

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
        start: Callable[[FunctionPool], Worker],
    ) -> None:
        """`environment` is laid over the template's own; all workers append what they print to `log`.

        `start` makes a worker: `WorkerProcess` over the source tree, `LambdaEnvironment` over a build.
        """
        self._start = start
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
        # Busy workers end after their invocation; idle ones at once, and new ones start with today's code.
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
            invocation.fail("Runtime.ExitError", "the local stack stops")

    async def wait_closed(self) -> None:
        """Return when no process of this pool is left."""
        while self._workers:  # noqa: ASYNC110 -- for the moment that killed processes take to end
            await asyncio.sleep(0.005)

    def _start_worker_if_useful(self) -> None:
        # As Lambda: an environment for each waiting invocation that none is being started for, up to the concurrency.
        starting = sum(not worker.ready for worker in self._workers)
        active = sum(not worker.retired for worker in self._workers)
        if not self.closed and starting < len(self._waiting) and active < self.concurrency:
            self._workers.append(self._start(self))

    def environment(self) -> dict[str, str]:
        """The environment of a worker's process."""
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
        # A worker may end by a crash, a timeout or `retire`; its successor serves whatever still waits.
        if self._waiting:
            if not worker.ready:
                # It died while starting: one waiting caller gets the error, instead of a loop of such starts.
                invocation = self._waiting.popleft()
                invocation.fail("Runtime.ExitError", worker.how_it_ended())
            self._start_worker_if_useful()
