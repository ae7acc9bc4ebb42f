"""Resume a failed or cancelled run from where it stopped."""

from __future__ import annotations

import contextlib
import time

from shared.bootstrap import Services
from shared.commands.enqueue_resume import enqueue_resume
from shared.commands.executions.loading import known_run
from shared.commands.executions.workflow_version import pinned_version, version_graph, version_settings
from shared.commands.new_events import new_events, now
from shared.commands.optimistic_retry import retry_on_conflict
from shared.domain.actor import Actor
from shared.domain.execution.fold import apply
from shared.domain.execution.node_paths import split_path
from shared.domain.execution.redrive import redriven_nodes
from shared.domain.execution.state import ExecutionState
from shared.domain.timestamps import MAX_DURATION_SECONDS, timestamp
from shared.errors import ExecutionFinishedError, ExecutionNotFinishedError
from shared.events.execution import ExecutionRedriven
from shared.nodes.graph_shape import graph_at
from shared.repositories.run_append import run_append


async def redrive_execution(services: Services, actor: Actor, execution_id: str) -> ExecutionState:
    """The resumed run, under its own id and on its own version.

    Its failed and cancelled nodes, and those skipped after them, run again; completed ones do not. The failed or
    cancelled child run of such a node is redriven first. Raises `NotFoundError`, `ExecutionFinishedError` for a run
    that has succeeded, and `ExecutionNotFinishedError`.
    """

    async def attempt() -> ExecutionState:
        events = await services.events.read_all(actor.tenant_id, execution_id)
        state = await known_run(services, actor, execution_id, events)
        if not state.is_terminal:
            raise ExecutionNotFinishedError(f"The execution is {state.status}; there is nothing to redrive.")
        if state.phase == "succeeded":
            raise ExecutionFinishedError("The execution has succeeded; fork or replay it instead.")
        fact, happened_at = await _redriven(services, actor, state), now()
        apply(state, fact, happened_at)
        # Due at once: should enqueueing fail, the next sweep finds the run.
        await services.events.append_one(run_append(state, new_events(actor, happened_at, fact), wake_at=happened_at))
        return state

    state = await retry_on_conflict(attempt)
    await enqueue_resume(services, actor.tenant_id, execution_id)
    return state


async def _redriven(services: Services, actor: Actor, state: ExecutionState) -> ExecutionRedriven:
    # It ended before it was started: no node has run, and no version is pinned to be read.
    if state.started_at is None or state.workflow_version is None:
        return ExecutionRedriven([])
    version = await pinned_version(services, state.tenant_id, state.workflow_id, state.workflow_version)
    graph = version_graph(version)
    # Child runs first: a node must not wait for a run that has ended for good.
    nodes, calls = redriven_nodes(lambda prefix: graph_at(graph, prefix), state), {}
    for path in nodes:
        called, (prefix, node_id) = state.nodes[path].called, split_path(path)
        if called is not None:
            await _redrive_called(services, actor, called)
            # The node waits for its child run anew, so its timeout begins again.
            seconds = graph_at(graph, prefix).nodes[node_id].timeout_seconds or MAX_DURATION_SECONDS
            calls[path] = {"execution_id": called, "wake_at": timestamp(time.time() + seconds)}
    return ExecutionRedriven(nodes, version_settings(version).deadline(time.time()), calls)


async def _redrive_called(services: Services, actor: Actor, execution_id: str) -> None:
    """Redrives a child run before its parent waits for it again. It may be running already."""
    with contextlib.suppress(ExecutionFinishedError, ExecutionNotFinishedError):
        await redrive_execution(services, actor, execution_id)
