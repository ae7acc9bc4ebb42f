"""One node of a run: its parameters, its attempts, and the facts that come of them."""

from __future__ import annotations

import asyncio
import logging
import random
from dataclasses import replace

from shared.domain.execution.node_record import UNTOUCHED
from shared.domain.retry_policy import delay_seconds
from shared.domain.timestamps import timestamp, unix_seconds
from shared.engine.expressions.evaluator import ExpressionEvaluator
from shared.engine.run.child_runs import RunCalls
from shared.engine.run.compiled_graph import CompiledWorkflow
from shared.engine.run.node_inputs import NodeInputResolver, interrupted, items_failed
from shared.engine.run.recorder import Recorder
from shared.engine.run.scopes import Step
from shared.engine.run.secret_injection import perform_with_secrets
from shared.events.node import MapStarted, NodeFailed, NodeRetryScheduled, NodeStarted, NodeWaiting
from shared.json_types import JsonObject
from shared.nodes.node_type import Completed, EffectContext, EffectPermissions, MapPlan, NodeError, Wait
from shared.observability import tagged
from shared.platform.slots import waiting_outside

logger = logging.getLogger(__name__)

# Waits up to this long happen in the drain, longer ones are timers that outlive it.
LONGEST_WAIT_SECONDS = 2.0


class NodeRunner(NodeInputResolver):
    """The nodes of one run, each to be run once at a time."""

    def __init__(
        self,
        recorder: Recorder,
        program: CompiledWorkflow,
        guard: ExpressionEvaluator,
        permissions: EffectPermissions,
        calls: RunCalls,
    ) -> None:
        """What every node of the run shares."""
        super().__init__(recorder.state, program, guard)
        self._recorder, self._permissions, self.calls = recorder, permissions, calls

    async def run_to_completion(self, path: str) -> None:
        """Makes the node's attempts until it is settled or a map whose items are to be run, or until it waits for
        longer than a drain should."""
        step, record = self.scopes.step(path), self._state.nodes.get(path, UNTOUCHED)
        # A start without an end: its drain died, and the same attempt is made again.
        attempt, is_repeated = record.attempt, record.status == "running"
        if record.retry_at is not None:
            await asyncio.sleep(max(0.0, unix_seconds(record.retry_at) - self._recorder.clock()))
        while True:
            moment = self._now()
            try:
                await self._attempt(step, attempt, is_repeated, moment)
                return
            except NodeError as error:
                pause = self.fail(step, attempt, error, moment)
                if pause is None or pause > LONGEST_WAIT_SECONDS:
                    return
                await asyncio.sleep(pause)
                attempt, is_repeated = attempt + 1, False

    def end_map(self, path: str, is_success: bool) -> None:
        """Records what becomes of a map whose last item has ended."""
        step, record = self.scopes.step(path), self._state.nodes[path]
        try:
            if not is_success:
                raise items_failed()
            # Its output is that of its items, which the state has.
            self._succeed(step, record.attempts, Completed(), record.evaluated_at or 0, list(record.undefined))
        except NodeError as error:
            self.fail(step, record.attempts, error, self._now())

    def fail(self, step: Step, attempt: int, error: NodeError, moment: int) -> float | None:
        """Records that an attempt has failed: the seconds until the next, or `None` when this was the last. Its
        expressions were evaluated at `moment` (Unix milliseconds), unless they had been before."""
        record = self._state.nodes.get(step.path, UNTOUCHED)
        evaluated_at = moment if record.parameters is None else record.evaluated_at or moment
        pause = self._pause(step, attempt, error, evaluated_at)
        logger.info("node_failed", extra={"node_id": step.path, "attempt": attempt, "code": error.code})
        if pause is None:
            self._recorder.record(NodeFailed(step.path, attempt, error.as_json(), step.one.node.on_error, evaluated_at))
        return pause

    async def _attempt(self, step: Step, attempt: int, is_repeated: bool, moment: int) -> None:
        """Returns when the node has succeeded, or waits, or a map has started. A failure raises `NodeError`.
        Expressions that have not been evaluated yet see `moment` (Unix milliseconds)."""
        one, path = step.one, step.path
        if one.node.disabled:
            self._succeed(step, attempt, Completed(output_of=tuple(self.sources(step))), moment, [])
            return
        resolved, undefined, evaluated_at = await self.resolve(step, moment)
        if one.type.spread is not None:
            self._refuse_width(step, one.type.spread(one.type.parse(resolved)))
            self._recorder.record(MapStarted(path, attempt, one.type.complete(resolved), evaluated_at, undefined))
            return
        if one.type.call is not None:
            wait = NodeWaiting(path, attempt, "", resolved, evaluated_at, undefined)
            completed = await self.calls.attempt(step, one.type.call(one.type.parse(resolved)), wait)
            if completed is not None:
                self._succeed(step, attempt, completed, evaluated_at, undefined)
            return
        if one.type.perform is None:
            await self._pure(step, attempt, resolved, evaluated_at, undefined)
            return
        await self._effect(step, attempt, is_repeated, resolved, evaluated_at, undefined)

    async def _effect(
        self,
        step: Step,
        attempt: int,
        is_repeated: bool,
        resolved: JsonObject,
        evaluated_at: int,
        undefined: list[str],
    ) -> None:
        one, path = step.one, step.path
        if not one.is_disclosing:
            one.type.parse(resolved)  # what cannot be sent is refused before it counts as begun
        key = self.effect_key(path)
        if is_repeated and one.node.delivery == "at_most_once":
            raise interrupted()
        if not is_repeated:
            self._recorder.record(NodeStarted(path, attempt, key, resolved, evaluated_at))
        # The rule that all else rests on: nothing leaves before everything it depends on is durable.
        await self._recorder.durable()
        tenant_id, now, turns = self._state.tenant_id, self._recorder.clock, self._guard.turns
        effect = EffectContext(tenant_id, key, one.timeout_seconds, now, self._permissions, turns=turns)
        with tagged(node_id=path), waiting_outside():
            completed = await perform_with_secrets(one, resolved, effect, self._state.id)
        self._succeed(step, attempt, completed, evaluated_at, undefined)

    def _refuse_width(self, step: Step, spread: MapPlan) -> None:
        """Refuses a map whose items need more facts than the run has left, before the first of them does anything."""
        assert step.one.body is not None, "only a map has items"
        if spread.min_successful is None:
            self._recorder.has_room_for(spread.total * (len(step.one.body.nodes) + 1))

    async def _pure(
        self, step: Step, attempt: int, resolved: JsonObject, evaluated_at: int, undefined: list[str]
    ) -> None:
        kind, path = step.one.type, step.path
        assert kind.run is not None, "a trigger is never run"
        parameters = kind.parse(resolved)
        if kind.wait is not None:
            wait = kind.wait(parameters, evaluated_at / 1000)
            until = timestamp(wait.until)
            fact = NodeWaiting(path, attempt, until, resolved, evaluated_at, undefined, wait.signal)
            if not await self._waited(wait, fact):
                return
        inputs = self.inputs(step)
        self._recorder.record(
            self.success(step, attempt, kind.compute(parameters, inputs), evaluated_at, undefined, inputs.signal)
        )

    async def _waited(self, wait: Wait, fact: NodeWaiting) -> bool:
        """Whether the wait is over. That it has begun is recorded, once, where the drain may not see its end."""
        left, record = wait.until - self._recorder.clock(), self._state.nodes.get(fact.node_id)
        has_begun = record is not None and record.wake_at is not None
        if not has_begun and (wait.signal is not None or left > LONGEST_WAIT_SECONDS):
            passed_over = self.passed_over(fact.node_id, wait, fact.parameters)
            self._recorder.record(replace(fact, passed_over=passed_over))
        if self.signal(fact.node_id) is None:
            if left > LONGEST_WAIT_SECONDS:
                return False
            await asyncio.sleep(max(0.0, left))
        return True

    def _succeed(self, step: Step, attempt: int, completed: Completed, evaluated_at: int, undefined: list[str]) -> None:
        self._recorder.record(self.success(step, attempt, completed, evaluated_at, undefined))

    def _pause(self, step: Step, attempt: int, error: NodeError, evaluated_at: int) -> float | None:
        """How long to wait before the next attempt, recorded; `None` when this was the last."""
        made = attempt - self._state.nodes.get(step.path, UNTOUCHED).attempts_before
        draw = random.random()  # noqa: S311  # jitter; what came of it is recorded
        pause = delay_seconds(step.one.node.retry, error.code, made, draw, error.retry_after_seconds)
        if pause is not None:
            retry_at = timestamp(self._recorder.clock() + pause)
            self._recorder.record(
                NodeRetryScheduled(step.path, attempt, error.as_json(), pause, retry_at, evaluated_at)
            )
        return pause

    def _now(self) -> int:
        return int(self._recorder.clock() * 1000)
