"""Runs the nodes of one run: resolves parameters, makes attempts with retries, and records their facts."""

from __future__ import annotations

import asyncio
import logging
import random
from dataclasses import dataclass

from shared.domain.execution.node_record import UNTOUCHED
from shared.domain.retry_policy import delay_seconds
from shared.domain.timestamps import timestamp, unix_seconds
from shared.engine.run.child_runs import RunCalls
from shared.engine.run.node_inputs import NodeInputResolver, interrupted
from shared.engine.run.recorder import Recorder
from shared.engine.run.scopes import Step
from shared.engine.run.secret_injection import perform_with_secrets
from shared.engine.run.timers import LONGEST_WAIT_SECONDS, wait_or_set_timer
from shared.events.node import MapStarted, NodeFailed, NodeRetryScheduled, NodeStarted, NodeWaiting
from shared.json_types import JsonObject
from shared.nodes.node_kinds import (
    Call,
    Completed,
    Effect,
    EffectContext,
    EffectPermissions,
    Map,
    NodeError,
    Parameters,
    Pure,
    Signal,
    Trigger,
    dispatch,
)
from shared.observability import tagged
from shared.platform.slots import waiting_outside
from shared.platform.turns import ComputeTurns

logger = logging.getLogger(__name__)


class NodeRunner:
    """The nodes of one run, each to be run once at a time.

    Its parts: `recorder` applies and stores the facts, `inputs` resolves parameters, `calls` starts child runs.
    """

    def __init__(
        self,
        recorder: Recorder,
        inputs: NodeInputResolver,
        calls: RunCalls,
        permissions: EffectPermissions,
        turns: ComputeTurns,
    ) -> None:
        """`permissions` are what effects may reach, and `turns` those of the event loop's long computations."""
        self.recorder, self.inputs, self.calls = recorder, inputs, calls
        self.permissions, self.turns = permissions, turns
        self._state = recorder.state

    async def run_to_completion(self, path: str) -> None:
        """Makes the node's attempts until it is settled or a map whose items are to be run, or until it waits for
        longer than a drain should."""
        step, record = self.inputs.scopes.step(path), self._state.nodes.get(path, UNTOUCHED)
        # A start without an end: its drain died, and the same attempt is made again.
        number, is_repeated = record.attempt, record.status == "running"
        if record.retry_at is not None:
            await asyncio.sleep(max(0.0, unix_seconds(record.retry_at) - self.recorder.clock()))
        while True:
            moment = self._now()
            try:
                await self._attempt(step, number, is_repeated, moment)
                return
            except NodeError as error:
                pause = self.fail(step, number, error, moment)
                if pause is None or pause > LONGEST_WAIT_SECONDS:
                    return
                await asyncio.sleep(pause)
                number, is_repeated = number + 1, False

    def end_map(self, path: str, is_success: bool) -> None:
        """Records whether a map whose last item has ended succeeded or failed."""
        step, record = self.inputs.scopes.step(path), self._state.nodes[path]
        try:
            self.recorder.record(self.inputs.map_success(step, record.attempts, is_success))
        except NodeError as error:
            self.fail(step, record.attempts, error, self._now())

    def succeed(
        self,
        step: Step,
        number: int,
        completed: Completed,
        evaluated_at: int,
        undefined: list[str],
        signal: Signal | None = None,
    ) -> None:
        """Records that an attempt has succeeded; raises as `NodeInputResolver.success`."""
        self.recorder.record(self.inputs.success(step, number, completed, evaluated_at, undefined, signal))

    def fail(self, step: Step, number: int, error: NodeError, moment: int) -> float | None:
        """Records that an attempt has failed: the seconds until the next, or `None` when this was the last. Its
        expressions were evaluated at `moment` (Unix milliseconds), unless they had been before."""
        record = self._state.nodes.get(step.path, UNTOUCHED)
        evaluated_at = moment if record.parameters is None else record.evaluated_at or moment
        pause = self._pause(step, number, error, evaluated_at)
        logger.info("node_failed", extra={"node_id": step.path, "attempt": number, "code": error.code})
        if pause is None:
            on_error = step.compiled.node.on_error
            self.recorder.record(NodeFailed(step.path, number, error.as_json(), on_error, evaluated_at))
        return pause

    async def _attempt(self, step: Step, number: int, is_repeated: bool, moment: int) -> None:
        """Returns when the node has succeeded, or waits, or a map has started. A failure raises `NodeError`.
        Expressions that have not been evaluated yet see `moment` (Unix milliseconds)."""
        if step.compiled.node.disabled:
            self.succeed(step, number, self.inputs.passed_on(step), moment, [])
            return
        resolved, undefined, evaluated_at = await self.inputs.resolve(step, moment)
        attempt = _Attempt(self, step, number, is_repeated, resolved, undefined, evaluated_at)
        await dispatch(step.compiled.type.kind, attempt)

    def _pause(self, step: Step, number: int, error: NodeError, evaluated_at: int) -> float | None:
        """The backoff in seconds before the next attempt, recorded; `None` when this was the last."""
        attempts = number - self._state.nodes.get(step.path, UNTOUCHED).attempts_before
        draw = random.random()  # noqa: S311  # jitter; the delay that comes of it is recorded
        pause = delay_seconds(step.compiled.node.retry, error.code, attempts, draw, error.retry_after_seconds)
        if pause is not None:
            retry_at = timestamp(self.recorder.clock() + pause)
            self.recorder.record(NodeRetryScheduled(step.path, number, error.as_json(), pause, retry_at, evaluated_at))
        return pause

    def _now(self) -> int:
        return int(self.recorder.clock() * 1000)


@dataclass(slots=True)
class _Attempt:
    """One attempt of a node whose parameters are resolved; its methods are a `NodeHandler`'s. `number` counts from 1,
    `is_repeated` says that a drain died amid this very attempt."""

    runner: NodeRunner
    step: Step
    number: int
    is_repeated: bool
    resolved: JsonObject
    undefined: list[str]
    evaluated_at: int

    async def trigger(self, kind: Trigger) -> None:
        """Never: the start of the run settles its trigger, and all others are skipped."""
        raise AssertionError(f"{self.step.path} is a trigger, which is never run: {kind}")

    async def pure(self, kind: Pure[Parameters]) -> None:
        inputs, parameters = self.runner.inputs, self.step.compiled.type.parse(self.resolved)
        wait = kind.wait(parameters, self.evaluated_at / 1000)
        if wait is not None:
            waiting = self._waiting(timestamp(wait.until), wait.signal)
            if not await wait_or_set_timer(wait, waiting, self.runner.recorder, inputs):
                return
        node_inputs = inputs.inputs(self.step)
        self._succeed(inputs.compute(self.step, kind, parameters, node_inputs), node_inputs.signal)

    async def effect(self, kind: Effect[Parameters]) -> None:
        runner, step, compiled = self.runner, self.step, self.step.compiled
        if not compiled.is_disclosing:
            compiled.type.parse(self.resolved)  # invalid parameters fail before the attempt counts as begun
        key = runner.inputs.effect_key(step.path)
        if self.is_repeated and compiled.node.delivery == "at_most_once":
            raise interrupted()
        if not self.is_repeated:
            runner.recorder.record(NodeStarted(step.path, self.number, key, self.resolved, self.evaluated_at))
        # The rule that all else rests on: nothing leaves before everything it depends on is durable.
        await runner.recorder.durable()
        state, now, turns = runner.recorder.state, runner.recorder.clock, runner.turns
        context = EffectContext(state.tenant_id, key, compiled.timeout_seconds, now, runner.permissions, turns=turns)
        with tagged(node_id=step.path), waiting_outside():
            completed = await perform_with_secrets(compiled, kind, self.resolved, context, state.id)
        self._succeed(completed)

    async def call(self, kind: Call[Parameters]) -> None:
        request = kind.request(self.step.compiled.type.parse(self.resolved))
        # `attempt` sets the end of this wait, and the id of the child run.
        completed = await self.runner.calls.attempt(self.step, request, self._waiting("", None))
        if completed is not None:
            self._succeed(completed)

    async def map(self, kind: Map[Parameters]) -> None:
        compiled, recorder = self.step.compiled, self.runner.recorder
        assert compiled.body is not None, "a map that is not disabled has a body"
        plan = kind.plan(compiled.type.parse(self.resolved))
        # A map whose items need more facts than the run has left fails before the first of them does anything; with
        # `min_successful` it may need only some of them.
        if plan.min_successful is None:
            recorder.has_room_for(plan.total * (len(compiled.body.nodes) + 1))
        completed = compiled.type.complete(self.resolved)
        recorder.record(MapStarted(self.step.path, self.number, completed, self.evaluated_at, self.undefined))

    def _waiting(self, until: str, signal: str | None) -> NodeWaiting:
        path, number = self.step.path, self.number
        return NodeWaiting(path, number, until, self.resolved, self.evaluated_at, self.undefined, signal)

    def _succeed(self, completed: Completed, signal: Signal | None = None) -> None:
        self.runner.succeed(self.step, self.number, completed, self.evaluated_at, self.undefined, signal)
