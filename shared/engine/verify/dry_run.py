"""Runs a version on the trigger of a recorded run. Nothing is stored and no request leaves."""

from __future__ import annotations

import asyncio
import time

from shared.bootstrap import Services
from shared.commands.executions.loading import known_run
from shared.commands.executions.replay_execution import ReplayExecution, no_trigger
from shared.commands.executions.workflow_version import chosen_version
from shared.commands.workflows.loading import load
from shared.domain.actor import Actor
from shared.domain.execution.comparison import compared
from shared.domain.execution.fold import apply
from shared.domain.execution.state import ExecutionState
from shared.domain.timestamps import timestamp
from shared.domain.workflow.graph import Graph
from shared.engine.expressions.evaluator import ExpressionEvaluator
from shared.engine.run.compiled_graph import CompiledWorkflow
from shared.engine.verify.dry_run_nodes import DryRunNodes, RecordedOutcomes
from shared.engine.verify.verification import LONGEST_SECONDS
from shared.errors import UnprocessableError
from shared.events.execution import ExecutionQueued, ExecutionStarted
from shared.json_types import JsonObject
from shared.queries.response_size import omit_largest

# Outputs and parameters above this size are left out of a response that would not fit.
LARGE_BYTES = 65_536


async def dry_run(
    services: Services, evaluator: ExpressionEvaluator, actor: Actor, execution_id: str, command: ReplayExecution
) -> JsonObject:
    """The comparison of the recorded run with the dry run, as `shared.domain.execution.comparison.compared` returns it.

    Results of effects and signals are taken from the recorded run, by node and item. Raises what `replay_execution`
    does, and `UnprocessableError` for a run that takes too long or a comparison that is too large for a response.
    """
    events = await services.events.read_all(actor.tenant_id, execution_id)
    original = await known_run(services, actor, execution_id, events)
    workflow = await load(services, actor, original.workflow_id)
    version = await chosen_version(services, workflow, command.version)
    program = CompiledWorkflow.from_row(version)
    before = await _recorded_program(services, original, program)
    state = _started(original, program, command.trigger(original.trigger))
    dry_run_nodes = DryRunNodes(state, program, evaluator, RecordedOutcomes(events, before))
    try:
        async with asyncio.timeout(LONGEST_SECONDS):
            await dry_run_nodes.run()
    except TimeoutError as error:
        message = "The execution does more than can be tried within a request; replay it live instead."
        raise UnprocessableError(message) from error
    finally:
        dry_run_nodes.close()
        # This compiled version is not cached, so nothing else makes the evaluator drop its templates.
        for template in program.root.templates():
            evaluator.drop(template)
    return _fitted(compared(original, before.root.graph if before else Graph([], []), state, program.root.graph))


async def _recorded_program(
    services: Services, original: ExecutionState, chosen: CompiledWorkflow
) -> CompiledWorkflow | None:
    """The compiled version that the run is pinned to; `None` for a run that has not started."""
    if original.workflow_version is None:
        return None
    if original.workflow_version == chosen.version:
        return chosen
    row = await services.workflows.version(original.tenant_id, original.workflow_id, original.workflow_version)
    return CompiledWorkflow.from_row(row) if row else None


def _started(original: ExecutionState, program: CompiledWorkflow, trigger: JsonObject) -> ExecutionState:
    """The state of a run with the same id and times, so that expressions see the same scope; raises as `no_trigger`."""
    node_id = program.trigger_for(trigger)
    if node_id is None:
        raise no_trigger(program.version)
    now = timestamp(time.time())
    state = ExecutionState(original.id, original.tenant_id)
    apply(state, ExecutionQueued(original.workflow_id, program.version, trigger), original.created_at or now)
    apply(state, ExecutionStarted(program.version, node_id), original.started_at or now)
    return state


def _fitted(comparison: JsonObject) -> JsonObject:
    """The comparison, without large values where it would not fit into a response; the recorded ones are in the run's
    events. Raises `UnprocessableError` where it does not fit even so."""
    sides = [node[side] for node in comparison["nodes"].values() for side in ("original", "replayed")]
    parts = (comparison["original"], comparison["replayed"], *filter(None, sides))
    large = [(part, name) for part in parts for name in ("output", "parameters") if name in part]
    if not omit_largest(comparison, large):
        raise UnprocessableError("The comparison is too large for an answer; replay it live instead.")
    return comparison
