"""One node of a run: its parameters, its attempts, and the facts that come of them."""

from __future__ import annotations

import asyncio
import random
from typing import Any

from shared.domain.expressions import seed_of
from shared.domain.fates import live_sources
from shared.domain.retry import delay_seconds
from shared.domain.templates import cut
from shared.domain.timestamps import timestamp, unix_seconds
from shared.engine.expression_child import EvaluationError
from shared.engine.expressions import ExpressionGuard, Request, RunData
from shared.engine.program import Program, ProgramNode
from shared.engine.recorder import Recorder
from shared.events.execution import NodeFailed, NodeRetryScheduled, NodeStarted, NodeSucceeded, NodeWaiting
from shared.ids import derived_id
from shared.nodes.node_type import Completed, Effect, Inputs, NodeError, Signal, Wait

JsonObject = dict[str, Any]

# Waits up to this long happen in the drain, longer ones are timers that outlive it.
LONGEST_WAIT_SECONDS = 2.0
# JSONata's code for an expression that ran out of time, and this library's for its other limits.
_TIMEOUT = frozenset({"D1012", "timeout"})
_LIMIT = frozenset({"U1001", "U1006", "D1011", "limit"})


class Attempts:
    """The nodes of one run, each to be run once at a time."""

    def __init__(
        self, recorder: Recorder, program: Program, guard: ExpressionGuard, outbound_allow: tuple[str, ...]
    ) -> None:
        """What every node of the run shares."""
        self._recorder, self._program, self._guard = recorder, program, guard
        self._outbound_allow = outbound_allow
        self._state = recorder.state
        self.data = RunData()

    async def settle(self, node_id: str) -> bool:
        """Whether the node is settled now; if not, it waits for a timer that is longer than a drain should wait."""
        one, record = self._program.nodes[node_id], self._state.nodes.get(node_id)
        # A start without an end: its drain died, and the same attempt is made again.
        is_repeated = record is not None and record.status == "running"
        is_same = is_repeated or (record is not None and record.wake_at is not None)
        attempt = 1 if record is None else record.attempts + (not is_same)
        if record is not None and record.retry_at is not None:
            await asyncio.sleep(max(0.0, unix_seconds(record.retry_at) - self._recorder.clock()))
        while True:
            try:
                return await self._attempt(one, attempt, is_repeated)
            except NodeError as error:
                pause = self._pause(one, attempt, error)
                if pause is None:
                    self._fail(one, attempt, error)
                    return True
                if pause > LONGEST_WAIT_SECONDS:
                    return False
                await asyncio.sleep(pause)
                attempt, is_repeated = attempt + 1, False

    async def _attempt(self, one: ProgramNode, attempt: int, is_repeated: bool) -> bool:
        """Whether the node has succeeded; if not, it has begun to wait. A failure raises `NodeError`."""
        node_id = one.node.id
        if one.node.disabled:
            sources = live_sources(self._program.graph, self._state, node_id)
            self._succeed(one, attempt, Completed(output_of=tuple(sources)), self._now(), [])
            return True
        record = self._state.nodes.get(node_id)
        if record is not None and record.parameters is not None:
            # Every attempt of an effect sends what the first one sent, for it carries the same key; a wait goes on as
            # it began.
            resolved, undefined, evaluated_at = record.parameters, list(record.undefined), record.evaluated_at or 0
        else:
            evaluated_at = self._now()
            resolved, undefined = await self._fill(one, evaluated_at)
        if one.type.perform is None:
            return await self._pure(one, attempt, resolved, evaluated_at, undefined)
        parameters = one.type.parse(resolved)
        key = derived_id("effect", self._state.id, node_id)
        if not is_repeated:
            self._recorder.record(NodeStarted(node_id, attempt, key, resolved, evaluated_at))
        # The rule that all else rests on: nothing leaves before everything it depends on is durable.
        await self._recorder.durable()
        effect = Effect(self._state.tenant_id, key, one.timeout_seconds, self._recorder.clock, self._outbound_allow)
        self._succeed(one, attempt, await one.type.perform(parameters, effect), evaluated_at, undefined)
        return True

    async def _pure(
        self, one: ProgramNode, attempt: int, resolved: JsonObject, evaluated_at: int, undefined: list[str]
    ) -> bool:
        assert one.type.run is not None, "a trigger is never run"
        node_id, parameters = one.node.id, one.type.parse(resolved)
        if one.type.wait is not None:
            wait = one.type.wait(parameters, evaluated_at / 1000)
            until = timestamp(wait.until)
            fact = NodeWaiting(node_id, attempt, until, resolved, evaluated_at, undefined, wait.signal)
            if not await self._waited(wait, fact):
                return False
        sources, taken = live_sources(self._program.graph, self._state, node_id), self._state.signal_for(node_id)
        outputs = {source: self._state.nodes[source].output for source in sources}
        inputs = Inputs(tuple(sources), outputs, None if taken is None else Signal(taken.payload))
        self._succeed(one, attempt, one.type.run(parameters, inputs), evaluated_at, undefined)
        return True

    async def _waited(self, wait: Wait, fact: NodeWaiting) -> bool:
        """Whether the wait is over. That it has begun is recorded, once, where the drain may not see its end."""
        left, record = wait.until - self._recorder.clock(), self._state.nodes.get(fact.node_id)
        has_begun = record is not None and record.wake_at is not None
        if not has_begun and (wait.signal is not None or left > LONGEST_WAIT_SECONDS):
            self._recorder.record(fact)
        if self._state.signal_for(fact.node_id) is None:
            if left > LONGEST_WAIT_SECONDS:
                return False
            await asyncio.sleep(max(0.0, left))
        return True

    async def _fill(self, one: ProgramNode, evaluated_at: int) -> tuple[JsonObject, list[str]]:
        template, graph = one.template, self._program.graph
        if template is None:
            return one.node.parameters, []
        read = template.reads
        sources = live_sources(graph, self._state, one.node.id) if "input" in read else []
        named = read.get("nodes", {})
        candidates = (*sources, *(self._state.nodes if named is True else named))
        request = Request(
            template=template,
            run=self.data,
            names=[name for name in ("trigger", "workflow", "execution") if name in read],
            nodes=[node_id for node_id in dict.fromkeys(candidates) if self._has_output(node_id)],
            sources=sources,
            scope=self._scope,
            output=self._output,
            now_milliseconds=evaluated_at,
            seed=seed_of(self._state.id, one.node.id),
        )
        try:
            filled = await self._guard.fill(request)
        except EvaluationError as error:
            code = "timeout" if error.code in _TIMEOUT else "limit" if error.code in _LIMIT else "expression"
            details = {"pointer": error.pointer, "jsonata": error.code}
            raise NodeError(code, f"{error.pointer or 'parameters'}: {error.message}", details) from error
        return filled.parameters, filled.undefined

    def _has_output(self, node_id: str) -> bool:
        record = self._state.nodes.get(node_id)
        return record is not None and bool(record.handles or record.status == "succeeded")

    def _scope(self, name: str) -> Any:
        state = self._state
        if name == "workflow":
            return {"id": state.workflow_id, "version": state.workflow_version}
        if name == "execution":
            return {"id": state.id, "created_at": state.created_at, "started_at": state.started_at}
        return cut(state.trigger, self._program.scope_reads[name])

    def _output(self, node_id: str) -> Any:
        return cut(self._state.nodes[node_id].output, self._program.output_reads.get(node_id, True))

    def _succeed(
        self, one: ProgramNode, attempt: int, completed: Completed, evaluated_at: int, undefined: list[str]
    ) -> None:
        sources = None if completed.output_of is None else list(completed.output_of)
        handles = list(completed.handles)
        fact = NodeSucceeded(one.node.id, attempt, completed.output, handles, evaluated_at, undefined, sources)
        self._recorder.record(fact)

    def _fail(self, one: ProgramNode, attempt: int, error: NodeError) -> None:
        fact = NodeFailed(one.node.id, attempt, error.as_json(), one.node.on_error, self._now())
        self._recorder.record(fact)

    def _pause(self, one: ProgramNode, attempt: int, error: NodeError) -> float | None:
        """How long to wait before the next attempt, recorded; `None` when this was the last."""
        draw = random.random()  # noqa: S311  # jitter; what came of it is recorded
        pause = delay_seconds(one.node.retry, error.code, attempt, draw, error.retry_after_seconds)
        if pause is not None:
            retry_at = timestamp(self._recorder.clock() + pause)
            self._recorder.record(NodeRetryScheduled(one.node.id, attempt, error.as_json(), pause, retry_at))
        return pause

    def _now(self) -> int:
        return int(self._recorder.clock() * 1000)
