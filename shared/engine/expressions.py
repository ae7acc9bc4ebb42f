"""The guard of tenants' expressions: a warm child process that evaluates them and is killed when it must be.

Requests of one turn of the event loop leave in one write. What a run's expressions read of its data is sent once per
run and kept by the child, cut down to the fields that are read. The child is killed when one evaluation holds it
longer than it may; that one fails, the others are sent again to its successor.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import mmap
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

from shared.domain.expressions import TIMEOUT_SECONDS
from shared.engine.expression_process import LENGTH, PROGRESS

JsonObject = dict[str, Any]

# The library stops an expression after its own timeout; this is for one that it cannot stop.
KILL_AFTER_SECONDS = 2 * TIMEOUT_SECONDS
# A child that has work and does not even begin it is lost as well, by nobody's fault.
LOST_AFTER_SECONDS = 10.0
WATCH_SECONDS = 0.1
# How much memory the child may hold; its own limits keep it far below, unless something is wrong with them.
MAX_RESIDENT_BYTES = 512 * 1024 * 1024
# An evaluation that was under way when the child died of itself is tried once more: it may be innocent.
MAX_DEATHS = 2
# The child dies and dies without having begun anything: something is wrong with the machine, not with a tenant.
MAX_FRUITLESS_STARTS = 5

_START = "import sys; sys.path[:] = {path!r}; from shared.engine.expression_process import main; main(sys.argv[1:])"
_template_numbers = itertools.count(1)
_run_numbers = itertools.count(1)


class EvaluationError(Exception):
    """An expression of a node's parameters failed: `pointer` says which, `code` is JSONata's or `timeout`, `limit`."""

    def __init__(self, pointer: str, message: str, code: str | None) -> None:
        self.pointer, self.message, self.code = pointer, message, code
        super().__init__(f"{pointer}: {message}")


@dataclass(slots=True)
class GuardedTemplate:
    """A node's parameters with expressions, and the generation of the child that has been given them."""

    parameters: JsonObject
    reads: Mapping[str, Any]
    number: int = field(default_factory=lambda: next(_template_numbers))
    generation: int = -1


@dataclass(slots=True)
class RunData:
    """What the child has been given of one run's data: names of the scope, and nodes whose output it has."""

    number: int = field(default_factory=lambda: next(_run_numbers))
    generation: int = -1
    names: set[str] = field(default_factory=set)
    nodes: set[str] = field(default_factory=set)

    def missing(self, generation: int, names: Sequence[str], nodes: Sequence[str]) -> tuple[list[str], list[str]]:
        """The names and nodes that this generation of the child lacks; they count as given from now on."""
        if self.generation != generation:
            self.generation = generation
            self.names.clear()
            self.nodes.clear()
        lacking = [name for name in names if name not in self.names]
        outputs = [node_id for node_id in nodes if node_id not in self.nodes]
        self.names.update(lacking)
        self.nodes.update(outputs)
        return lacking, outputs


@dataclass(slots=True)
class Filled:
    """A node's resolved parameters, and the pointers of expressions that led nowhere."""

    parameters: JsonObject
    undefined: list[str]


@dataclass(slots=True)
class Request:
    """One template to fill. `scope` and `output` give the run's data by name and by node, cut to what is read."""

    template: GuardedTemplate
    run: RunData
    names: Sequence[str]
    nodes: Sequence[str]
    sources: Sequence[str]
    scope: Callable[[str], Any]
    output: Callable[[str], Any]
    now_milliseconds: int
    seed: int


@dataclass(slots=True)
class _Waiting:
    request: Request
    future: asyncio.Future[Filled]
    deaths: int = 0


class ExpressionGuard:
    """One child process and the evaluations that wait for it. Belongs to one event loop."""

    def __init__(self) -> None:
        self._waiting: dict[int, _Waiting] = {}
        self._unsent: list[int] = []
        self._numbers = itertools.count(1)
        self._generation = 0
        self._child: _Child | None = None
        self._starting: asyncio.Task[None] | None = None
        self._forget: list[int] = []
        self._drop: list[int] = []
        self._fruitless = 0

    async def fill(self, request: Request) -> Filled:
        """The template's parameters; an expression that fails or exceeds a limit raises `EvaluationError`."""
        future: asyncio.Future[Filled] = asyncio.get_running_loop().create_future()
        number = next(self._numbers)
        self._waiting[number] = _Waiting(request, future)
        self._send_soon(number)
        try:
            return await future
        finally:
            self._waiting.pop(number, None)

    def forget(self, run: RunData) -> None:
        """The run is over: the child may drop its data."""
        if run.generation == self._generation:
            self._forget.append(run.number)

    def drop(self, template: GuardedTemplate) -> None:
        """The template is no longer used: the child may drop it."""
        if template.generation == self._generation:
            self._drop.append(template.number)

    async def start(self) -> None:
        """Returns when a child is running; the first evaluation would start one otherwise."""
        if self._child is None:
            self._starting = self._starting or asyncio.get_running_loop().create_task(self._start())
            await self._starting

    async def close(self) -> None:
        """Ends the child; evaluations that still wait are cancelled."""
        child, self._child = self._child, None
        for waiting in list(self._waiting.values()):
            waiting.future.cancel()
        if child is not None:
            child.end()

    def _send_soon(self, number: int) -> None:
        if not self._unsent:
            asyncio.get_running_loop().call_soon(self._send)
        self._unsent.append(number)

    def _send(self) -> None:
        if self._child is None:
            self._starting = self._starting or asyncio.get_running_loop().create_task(self._start())
            return
        frames = []
        for number in self._unsent:
            if number in self._waiting:
                text = json.dumps(self._frame(number), ensure_ascii=False, separators=(",", ":"))
                encoded = text.encode(errors="replace")
                frames += [LENGTH.pack(len(encoded)), encoded]
        self._unsent.clear()
        if frames:
            self._child.transport.write(b"".join(frames))
            self._child.watch()

    def _frame(self, number: int) -> JsonObject:
        request = self._waiting[number].request
        names, nodes = request.run.missing(self._generation, request.names, request.nodes)
        frame: JsonObject = {
            "n": number,
            "r": request.run.number,
            "t": request.template.number,
            "input": request.sources,
            "now": request.now_milliseconds,
            "seed": request.seed,
        }
        if request.template.generation != self._generation:
            request.template.generation = self._generation
            frame["template"] = request.template.parameters
        if names:
            frame["set"] = {name: request.scope(name) for name in names}
        if nodes:
            frame["nodes"] = {node_id: request.output(node_id) for node_id in nodes}
        if self._forget:
            frame["forget"], self._forget = self._forget, []
        if self._drop:
            frame["drop"], self._drop = self._drop, []
        return frame

    async def _start(self) -> None:
        try:
            self._generation += 1
            self._forget.clear()
            self._drop.clear()
            self._child = await _Child.start(self)
        except OSError as error:
            for waiting in self._waiting.values():
                if not waiting.future.done():
                    waiting.future.set_exception(RuntimeError(f"No process for expressions can be started: {error}"))
            return
        finally:
            self._starting = None
        self._unsent = list(self._waiting)
        self._send()

    def answered(self, answer: JsonObject) -> None:
        """Takes one of the child's answers in."""
        self._fruitless = 0
        waiting = self._waiting.get(answer["n"])
        if waiting is None or waiting.future.done():
            return
        error = answer.get("error")
        if error is None:
            waiting.future.set_result(Filled(answer["parameters"], answer["undefined"]))
        else:
            waiting.future.set_exception(EvaluationError(error["pointer"], error["message"], error["code"]))

    def is_waiting(self) -> bool:
        """Whether any evaluation is with the child."""
        return bool(self._waiting)

    def died(self, child: _Child, guilty: int, verdict: EvaluationError | None) -> None:
        """The child is gone: the evaluation that it died of fails, the others go to the next one."""
        if child is not self._child:
            return
        self._child = None
        waiting = self._waiting.get(guilty)
        if waiting is None:
            self._fruitless += 1
        elif not waiting.future.done():
            waiting.deaths += 1
            if verdict is None and waiting.deaths >= MAX_DEATHS:
                verdict = EvaluationError("", "The evaluation ended the process that it ran in.", "limit")
            if verdict is not None:
                waiting.future.set_exception(verdict)
        if self._fruitless >= MAX_FRUITLESS_STARTS:
            self._fruitless = 0
            for other in self._waiting.values():
                if not other.future.done():
                    other.future.set_exception(RuntimeError("The process that evaluates expressions does not start."))
        elif any(not other.future.done() for other in self._waiting.values()):
            self._starting = self._starting or asyncio.get_running_loop().create_task(self._start())


class _Child(asyncio.Protocol):
    """One child process: its socket, its progress, and when it was last seen to move on."""

    transport: asyncio.Transport

    def __init__(self, guard: ExpressionGuard, process: subprocess.Popen[bytes], progress: mmap.mmap) -> None:
        self._guard, self._process, self._progress = guard, process, progress
        self._buffer = bytearray()
        self._loop = asyncio.get_running_loop()
        self._timer: asyncio.TimerHandle | None = None
        self._seen = (0, 0.0)
        self._verdict: EvaluationError | None = None

    @classmethod
    async def start(cls, guard: ExpressionGuard) -> _Child:
        """A new child, connected. Its environment is empty: what it evaluates comes from outside."""
        ours, theirs = socket.socketpair()
        with tempfile.TemporaryFile() as file:
            file.truncate(mmap.PAGESIZE)
            progress = mmap.mmap(file.fileno(), PROGRESS.size)
            arguments = [sys.executable, "-I", "-S", "-c", _START.format(path=[path or "." for path in sys.path])]
            process = subprocess.Popen(  # noqa: ASYNC220, S603  # our own interpreter, and it returns at once
                [*arguments, str(theirs.fileno()), str(file.fileno())],
                stdin=subprocess.DEVNULL,
                env={},
                pass_fds=(theirs.fileno(), file.fileno()),
            )
        theirs.close()
        ours.setblocking(False)
        _, child = await asyncio.get_running_loop().create_unix_connection(
            lambda: cls(guard, process, progress), sock=ours
        )
        return child

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)  # uvloop's transports are of no asyncio class

    def data_received(self, data: bytes) -> None:
        buffer = self._buffer
        buffer += data
        position = 0
        while len(buffer) - position >= LENGTH.size:
            (size,) = LENGTH.unpack_from(buffer, position)
            start = position + LENGTH.size
            if len(buffer) - start < size:
                break
            self._guard.answered(json.loads(buffer[start : start + size]))
            position = start + size
        del buffer[:position]

    def connection_lost(self, _error: Exception | None) -> None:
        if self._timer is not None:
            self._timer.cancel()
        (guilty,) = PROGRESS.unpack_from(self._progress)
        self._process.kill()
        self._process.wait()
        self._progress.close()
        self._guard.died(self, guilty, self._verdict)

    def watch(self) -> None:
        """Looks after the child until nothing is with it any more."""
        if self._timer is None:
            self._seen = (0, self._loop.time())
            self._timer = self._loop.call_later(WATCH_SECONDS, self._look)

    def _look(self) -> None:
        self._timer = None
        if not self._guard.is_waiting():
            return
        (current,) = PROGRESS.unpack_from(self._progress)
        now = self._loop.time()
        if current != self._seen[0]:
            self._seen = (current, now)
        elif now - self._seen[1] >= (KILL_AFTER_SECONDS if current else LOST_AFTER_SECONDS):
            self._kill("The evaluation took too long.", "timeout")
            return
        if self._resident_bytes() > MAX_RESIDENT_BYTES:
            self._kill("The evaluation needs too much memory.", "limit")
            return
        self._timer = self._loop.call_later(WATCH_SECONDS, self._look)

    def _kill(self, message: str, code: str) -> None:
        self._verdict = EvaluationError("", message, code)
        self._process.send_signal(signal.SIGKILL)

    def _resident_bytes(self) -> int:
        try:
            return int(Path(f"/proc/{self._process.pid}/statm").read_text().split()[1]) * mmap.PAGESIZE
        except (OSError, IndexError, ValueError):
            return 0  # not Linux, or the process is just ending

    def end(self) -> None:
        """Closes the socket, at which the child ends by itself."""
        self.transport.close()
