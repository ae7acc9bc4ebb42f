"""The guard of tenants' expressions: a warm child process that evaluates them and is killed when it must be.

Requests of one turn of the event loop leave in one write. What a run's expressions read of its data is sent once per
run and kept by the child, cut down to the fields that are read. The child is killed when one evaluation holds it
longer than it may; that one fails, the others are sent again to its successor.
"""

from __future__ import annotations

import asyncio
import itertools
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import Any

from shared.engine.expression_child import Child, EvaluationError
from shared.engine.expression_process import LENGTH

JsonObject = dict[str, Any]

# An evaluation that was under way when the child died of itself is tried once more: it may be innocent.
MAX_DEATHS = 2
# The child dies and dies without having begun anything: something is wrong with the machine, not with a tenant.
MAX_FRUITLESS_STARTS = 5

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
        self._child: Child | None = None
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
        frame: JsonObject = {
            "n": number,
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
            frame["forget"], self._forget = self._forget, []
        if self._drop:
            frame["drop"], self._drop = self._drop, []
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
            for other in self._waiting.values():
                if not other.future.done():
                    other.future.set_exception(RuntimeError("The process that evaluates expressions does not start."))
        elif any(not other.future.done() for other in self._waiting.values()):
            self._starting = self._starting or asyncio.get_running_loop().create_task(self._start())


@cache
def expression_guard() -> ExpressionGuard:
    """This process's guard; its child starts with the first evaluation and stays warm between invocations."""
    return ExpressionGuard()
