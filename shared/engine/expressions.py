"""The guard of tenants' expressions: a warm child process that evaluates them and is killed when it must be.

Requests of one turn of the event loop leave in one write. What a run's expressions read of its data is sent once per
run and kept by the child, cut down to the fields that are read. The child is killed when one evaluation holds it
longer than it may; that one fails, the others are sent again to its successor.

Whatever is wrong with one request is an error of that request alone: one that cannot be put into a frame, whose answer
cannot be read, or that is not answered in time.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import Any

from shared.engine.expression_child import Child, EvaluationError
from shared.engine.expression_process import HEADER

JsonObject = dict[str, Any]

logger = logging.getLogger(__name__)

# An evaluation that was under way when the child died of itself is tried once more: it may be innocent.
MAX_DEATHS = 2
# The child dies and dies without having begun anything: something is wrong with the machine, not with a tenant.
MAX_FRUITLESS_STARTS = 5
# How long a request may wait for its answer, others' turns included. What holds the child is ended after two seconds;
# this is for whatever else there may be.
LONGEST_SECONDS = 300.0

_template_numbers = itertools.count(1)
_run_numbers = itertools.count(1)


@dataclass(slots=True)
class GuardedTemplate:
    """A node's parameters with expressions, and the generation of the child that has been given them."""

    parameters: JsonObject
    reads: Mapping[str, Any]
    number: int = field(default_factory=lambda: next(_template_numbers))
    generation: int = -1


@dataclass(slots=True)
class RunData:
    """What the child has been given of one run's data, or one item's: names of the scope, and nodes with an output."""

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

    def lost(self) -> None:
        """Nobody knows what the child has of this any more: it is given all of it again."""
        self.generation = -1


@dataclass(slots=True)
class Filled:
    """A node's resolved parameters, and the pointers of expressions that led nowhere."""

    parameters: JsonObject
    undefined: list[str]


@dataclass(slots=True)
class Level:
    """What a template reads of one graph that is being run: names of the scope, and nodes with an output.

    `scope` and `output` give them by name and by node, cut to what is read. `seen` are those of the nodes that `$nodes`
    holds; the others are its input's.
    """

    data: RunData
    names: Sequence[str]
    nodes: Sequence[str]
    scope: Callable[[str], Any]
    output: Callable[[str], Any]
    seen: Sequence[str] = ()


@dataclass(slots=True)
class Request:
    """One template to fill, with what its own level holds and, within a map, those around it outwards.

    `sources` are the nodes of its own level that are its input; unset, the item is.
    """

    template: GuardedTemplate
    level: Level
    sources: Sequence[str] | None
    now_milliseconds: int
    seed: int
    outer: Sequence[Level] = ()

    def lost(self) -> None:
        """What the child was to be given with this request did not arrive."""
        self.template.generation = -1
        for level in (self.level, *self.outer):
            level.data.lost()


@dataclass(slots=True)
class _Waiting:
    request: Request
    future: asyncio.Future[Filled]
    since: float
    deaths: int = 0

    def fail(self, message: str, code: str = "limit") -> None:
        """The request fails so, unless it is answered."""
        if not self.future.done():
            self.future.set_exception(EvaluationError("", message, code))


class ExpressionGuard:
    """One child process and the evaluations that wait for it. Belongs to one event loop."""

    def __init__(self, longest_seconds: float = LONGEST_SECONDS) -> None:
        """A request is answered within `longest_seconds`, others' turns included, or fails with `timeout`."""
        self._longest_seconds = longest_seconds
        self._waiting: dict[int, _Waiting] = {}
        self._unsent: list[int] = []
        self._numbers = itertools.count(1)
        self._generation = 0
        self._child: Child | None = None
        self._starting: asyncio.Task[None] | None = None
        self._forget: list[int] = []
        self._drop: list[int] = []
        self._fruitless = 0
        self._deadline: asyncio.TimerHandle | None = None

    async def fill(self, request: Request) -> Filled:
        """The template's parameters; an expression that fails or exceeds a limit raises `EvaluationError`."""
        loop = asyncio.get_running_loop()
        future: asyncio.Future[Filled] = loop.create_future()
        number = next(self._numbers)
        self._waiting[number] = _Waiting(request, future, loop.time())
        if self._deadline is None:
            self._deadline = loop.call_later(self._longest_seconds, self._expire)
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
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None
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
        # Taken first: whatever becomes of them, the next ones are sent.
        numbers, self._unsent = self._unsent, []
        frames = []
        for number in numbers:
            encoded = self._encoded(number)
            if encoded is not None:
                frames += [HEADER.pack(len(encoded), number), encoded]
        if frames:
            self._child.transport.write(b"".join(frames))
            self._child.watch()

    def _encoded(self, number: int) -> bytes | None:
        """The request's frame; `None` when nobody waits for it any more, or when it cannot be made and has failed."""
        waiting = self._waiting.get(number)
        if waiting is None:
            return None
        try:
            text = json.dumps(self._frame(waiting.request), ensure_ascii=False, separators=(",", ":"))
        except RecursionError:
            waiting.fail("What the expressions read is nested too deeply.")
        except Exception:
            logger.exception("expressions_not_sent")
            waiting.fail("What the expressions read could not be handed to them.")
        else:
            self._forget, self._drop = [], []
            return text.encode(errors="replace")
        waiting.request.lost()
        return None

    def _frame(self, request: Request) -> JsonObject:
        frame: JsonObject = {
            "t": request.template.number,
            "input": request.sources,
            "now": request.now_milliseconds,
            "seed": request.seed,
            **self._level(request.level),
        }
        if request.outer:
            frame["outer"] = [self._level(level) for level in request.outer]
        if request.template.generation != self._generation:
            request.template.generation = self._generation
            frame["template"] = request.template.parameters
        if self._forget:
            frame["forget"] = self._forget
        if self._drop:
            frame["drop"] = self._drop
        return frame

    def _level(self, level: Level) -> JsonObject:
        names, nodes = level.data.missing(self._generation, level.names, level.nodes)
        given: JsonObject = {"r": level.data.number}
        if level.seen:
            given["see"] = level.seen
        if names:
            given["set"] = {name: level.scope(name) for name in names}
        if nodes:
            given["nodes"] = {node_id: level.output(node_id) for node_id in nodes}
        return given

    async def _start(self) -> None:
        try:
            self._generation += 1
            self._forget.clear()
            self._drop.clear()
            self._child = await Child.start(self)
        except OSError as error:
            self._give_up(f"No process for expressions can be started: {error}")
            return
        finally:
            self._starting = None
        self._unsent = list(self._waiting)
        self._send()

    def _give_up(self, reason: str) -> None:
        """Nobody who waits is answered; those who come next are tried anew."""
        self._unsent = []
        for waiting in self._waiting.values():
            if not waiting.future.done():
                waiting.future.set_exception(RuntimeError(reason))

    def _expire(self) -> None:
        """Ends what has waited for too long, and looks again when the next one may have."""
        now = asyncio.get_running_loop().time()
        for waiting in self._waiting.values():
            if now < waiting.since + self._longest_seconds:
                break  # those behind it came later
            waiting.fail("The expressions were not evaluated in time.", "timeout")
        oldest = min((waiting.since for waiting in self._waiting.values() if not waiting.future.done()), default=None)
        self._deadline = None
        if oldest is not None:
            self._deadline = asyncio.get_running_loop().call_at(oldest + self._longest_seconds, self._expire)

    def answered(self, number: int, answer: bytes) -> None:
        """Takes one of the child's answers in; one that cannot be read is an error of its request."""
        self._fruitless = 0
        waiting = self._waiting.get(number)
        if waiting is None or waiting.future.done():
            return
        try:
            self._take(number, waiting, json.loads(answer))
        except Exception:
            logger.exception("expressions_answer_not_read")
            waiting.fail("What the expressions yield could not be read.")

    def _take(self, number: int, waiting: _Waiting, answer: JsonObject) -> None:
        if "lost" in answer:
            self._again(number, waiting, answer["lost"])
        elif (error := answer.get("error")) is not None:
            waiting.future.set_exception(EvaluationError(error["pointer"], error["message"], error["code"]))
        else:
            waiting.future.set_result(Filled(answer["parameters"], answer["undefined"]))

    def _again(self, number: int, waiting: _Waiting, reason: str) -> None:
        """Sends a request once more, with all that it reads: the child could not take it in, or lacked something."""
        waiting.request.lost()
        waiting.deaths += 1
        if waiting.deaths >= MAX_DEATHS:
            logger.error("expressions_not_taken_in", extra={"reason": reason})
            waiting.fail("What the expressions read could not be handed to them.")
        else:
            self._send_soon(number)

    def is_waiting(self) -> bool:
        """Whether any evaluation is with the child."""
        return bool(self._waiting)

    def died(self, child: Child, guilty: int, verdict: EvaluationError | None) -> None:
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
            self._give_up("The process that evaluates expressions does not start.")
        elif any(not other.future.done() for other in self._waiting.values()):
            self._starting = self._starting or asyncio.get_running_loop().create_task(self._start())


@cache
def expression_guard() -> ExpressionGuard:
    """This process's guard; its child starts with the first evaluation and stays warm between invocations."""
    return ExpressionGuard()
