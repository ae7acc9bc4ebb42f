"""One execution environment of a built function: the Lambda Runtime Interface Emulator, and in it AWS's runtime client.

The emulator keeps the function's real timeout and starts the process anew after one; between invocations the whole
environment is stopped (SIGSTOP), as Lambda freezes it. The emulator itself takes one invocation at a time.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import subprocess
from dataclasses import dataclass
from pathlib import Path

import httpx
import psutil

from local.stack.function_pool import FunctionPool
from local.stack.invocation import Invocation
from local.stack.process import die_with_parent, free_port
from local.tools.artifacts import ROOT

_START_SECONDS = 20
# The emulator's own words for a timeout; it answers 200 with them.
_TIMED_OUT = b"Task timed out after "


@dataclass(frozen=True, slots=True)
class Runtime:
    """What runs the artifacts: an interpreter of the version they were built for, and the emulator."""

    python: str
    packages: str
    emulator: str

    @classmethod
    def of(cls, build: Path) -> Runtime:
        """The runtime that `make e2e-lambda` has noted beside a build."""
        noted = json.loads((build / "runtime.json").read_text())
        machine = "arm64" if os.uname().machine in ("arm64", "aarch64") else "x86_64"
        pattern = f".local/lambda/tools/lib/python3.*/site-packages/samcli/local/rapid/aws-lambda-rie-{machine}"
        return cls(noted["python"], noted["runtime"], str(next(ROOT.glob(pattern))))

    @property
    def interpreter(self) -> tuple[str, ...]:
        """The command that starts Python as AWS's image has it: nothing but the artifact, its layers and the runtime.

        -S: what is installed beside this machine's interpreter could stand in for what the artifact lacks, and what
        runs from there at each start would count as the function's. -P: the task's root is on the path, not the
        current folder.
        """
        return (self.python, "-S", "-P")


class LambdaEnvironment:
    """A worker of a `FunctionPool`."""

    def __init__(self, pool: FunctionPool, runtime: Runtime) -> None:
        self.ready = False
        self.retired = False
        self.invocations = 0
        self._pool = pool
        self._current: Invocation | None = None
        self._port = free_port()
        function = pool.function
        addresses = (f"127.0.0.1:{self._port}", f"127.0.0.1:{free_port()}")
        command = [runtime.emulator, "--runtime-interface-emulator-address", addresses[0]]
        command += ["--runtime-api-address", addresses[1], "--log-level", "error"]
        command += [*runtime.interpreter, "-m", "awslambdaric", function.handler]
        layers = [str(layer / "python") for layer in function.layers]
        environment = pool.environment() | {
            "PYTHONPATH": os.pathsep.join((str(function.code_folder), *layers, runtime.packages)),
            "AWS_LAMBDA_LOG_FORMAT": "JSON",
            "AWS_LAMBDA_LOG_LEVEL": "INFO",
            "PYTHONDONTWRITEBYTECODE": "1",  # /var/task is read-only
            "AWS_LAMBDA_FUNCTION_TIMEOUT": f"{function.timeout_seconds:g}",
        }
        with pool.log.open("ab") as log:
            self._process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=environment,
                cwd=function.code_folder,
                process_group=0,
                preexec_fn=lambda: die_with_parent(signal.SIGTERM),
            )
        self._client = httpx.AsyncClient(base_url=f"http://{addresses[0]}", timeout=None, trust_env=False)  # noqa: S113 -- the emulator keeps the time
        self._frozen: list[psutil.Process] = []
        self._task = asyncio.get_running_loop().create_task(self._start())
        self._watch = asyncio.get_running_loop().create_task(self._bury())

    @property
    def pid(self) -> int:
        """The function's process while it runs one, else the emulator's: killed, either ends as on Lambda."""
        inside = self._inside() if self._current is not None else []
        return inside[0].pid if inside else self._process.pid

    @property
    def busy(self) -> bool:
        """Whether it runs an invocation, or is still starting."""
        return self._current is not None or not self.ready

    def run(self, invocation: Invocation) -> None:
        """Thaw, invoke, freeze."""
        self._current = invocation
        self.invocations += 1
        self._task = asyncio.get_running_loop().create_task(self._invoke(invocation))

    def retire(self) -> None:
        """End it as soon as it is idle."""
        self.retired = True
        if not self.busy:
            self.kill()

    def kill(self) -> None:
        """End it and all that it has started, now."""
        self._frozen = self._inside() or self._frozen
        self._process.kill()

    def how_it_ended(self) -> str:
        """In the words of Lambda."""
        return f"Runtime exited with error: exit status {self._process.poll()}"

    async def _start(self) -> None:
        async with asyncio.timeout(_START_SECONDS):
            while True:
                try:
                    _, writer = await asyncio.open_connection("127.0.0.1", self._port)
                except OSError:
                    await asyncio.sleep(0.005)
                else:
                    writer.close()
                    break
        self.ready = True
        self._pool.became_free(self)

    async def _invoke(self, invocation: Invocation) -> None:
        # Thaw: the environment has stood still since its last answer, as on Lambda.
        for process in self._frozen:
            with contextlib.suppress(psutil.NoSuchProcess):
                process.send_signal(signal.SIGCONT)
        try:
            answer = await self._client.post(
                "/2015-03-31/functions/function/invocations",
                content=invocation.payload,
                headers={"content-type": "application/json"},
            )
        except httpx.ConnectError:
            # It ended while it was idle: another environment takes the invocation.
            self._current = None
            self._pool.take_back(invocation)
            self.kill()
            return
        except httpx.TransportError:
            self.kill()
            return
        self._answer(invocation, answer)
        await asyncio.sleep(0)  # the caller gets the answer before the freeze, as on Lambda
        self._frozen = self._freeze()
        self._current = None
        if self.retired:
            self.kill()
        else:
            self._pool.became_free(self)

    def _answer(self, invocation: Invocation, answer: httpx.Response) -> None:
        if answer.content.startswith(_TIMED_OUT):
            with self._pool.log.open("ab") as log:
                log.write(b"%s %s\n" % (invocation.request_id.encode(), answer.content))
            invocation.fail("Sandbox.Timedout", answer.text)
        else:
            invocation.settle(answer.content, failed=answer.status_code != 200 or _is_error(answer.content))

    async def _bury(self) -> None:
        while self._process.poll() is None:  # noqa: ASYNC110 -- there is no event for it
            await asyncio.sleep(0.01)
        for process in self._frozen:
            with contextlib.suppress(psutil.NoSuchProcess):
                process.kill()
        self._task.cancel()
        await self._client.aclose()
        if self._current is not None:
            self._current.fail("Runtime.ExitError", self.how_it_ended())
            self._current = None
        self._pool.ended(self)

    def _inside(self) -> list[psutil.Process]:
        try:
            return psutil.Process(self._process.pid).children(recursive=True)
        except psutil.NoSuchProcess:
            return []

    def _freeze(self) -> list[psutil.Process]:
        inside = self._inside()
        for process in inside:
            with contextlib.suppress(psutil.NoSuchProcess):
                process.send_signal(signal.SIGSTOP)
        return inside


def _is_error(payload: bytes) -> bool:
    """Whether a result describes an error; the emulator has no other sign of one."""
    if not payload.startswith(b'{"errorMessage"') and not payload.startswith(b'{"errorType"'):
        return False
    return {"errorMessage", "errorType"} <= set(json.loads(payload))
