"""Child runs: each call of a node starts exactly one run, and that run's outcome comes back to the node.

The child's id is derived from the parent run, its node and the attempt. That the attempt has begun is durable before
the child is started; so a drain that makes the same attempt again finds the child that is there. The transaction that
ends a child makes its waiting parent due, whether or not its job reaches Redis.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace

from shared.domain.execution.node_paths import item_of, split_path
from shared.domain.execution.state import ExecutionState
from shared.domain.timestamps import MAX_DURATION_SECONDS, timestamp, unix_seconds
from shared.engine.run.graph_cache import GraphCache
from shared.engine.run.journal import Journal
from shared.engine.run.recorder import Recorder
from shared.engine.run.scopes import Step
from shared.errors import InvalidGraphError
from shared.events.codec import new_event
from shared.events.envelope import RecordedEvent
from shared.events.execution import ExecutionQueued, trigger_of
from shared.events.node import NodeStarted, NodeWaiting
from shared.ids import derived_id, new_id
from shared.nodes.node_kinds import CallRequest, Completed, NodeError
from shared.repositories.event_store import EventStoreRepository
from shared.repositories.run_append import first_append
from shared.tracing import CorrelationContext, current_context

# Enqueues runs of a tenant, and wakes a drain where none is live.
ResumeNotifier = Callable[..., Awaitable[None]]

MAX_DEPTH = 10
# How many descendants a run may have.
MAX_CALLED = 100_000
# The error codes of a workflow that cannot be called.
NOT_CALLABLE = frozenset({"not_published", "invalid_graph"})


def child_run_id(state: ExecutionState, path: str, attempt: int) -> str:
    """The id of the child that this attempt of a node starts; within a map, this attempt of its item."""
    rounds: list[str] = []
    prefix = split_path(path)[0]
    while prefix:
        map_path = item_of(prefix)[0]
        rounds.append(str(state.nodes[map_path].attempts))
        prefix = split_path(map_path)[0]
    # When an item ends, its nodes' attempts are forgotten, and count from 1 again in the map's next attempt: the maps'
    # attempts make the id unique. Where all of those are 1, they are left out.
    is_first_round = all(attempts == "1" for attempts in rounds)
    return derived_id("call", state.id, path, str(attempt), *([] if is_first_round else rounds))


def room_below(state: ExecutionState, step: Step) -> int:
    """How many descendants the child that this node starts may have. Raises `NodeError` for a call that is nested too
    deep, or beyond the run's own share of descendants.

    A run's share is divided evenly among all nodes that may call in it: else a few nodes in a workflow that calls
    itself would lead to more runs than any queue can hold. The calls of the topmost run are bounded by its budget.
    """
    if state.depth >= MAX_DEPTH:
        raise NodeError("limit", f"Runs call one another at most {MAX_DEPTH} deep.")
    left = state.calls_left
    share = (MAX_CALLED if left is None else left) // _callers(state, step)
    if share < 1 and left is not None:
        raise NodeError("limit", f"One run leads to {MAX_CALLED} others at most, of which this one may call {left}.")
    return max(0, share - 1)


def _callers(state: ExecutionState, step: Step) -> int:
    """How many calls the run may make, assuming that all graphs around are like this one's: its nodes that call and are
    not skipped, times the items of each map around them."""
    scope, count = step.scope, 1
    while True:
        records = (state.nodes.get(scope.prefix + name) for name in scope.body.callers)
        count *= max(1, sum(record is None or record.status != "skipped" for record in records))
        if scope.outer is None:
            return count
        items = state.nodes[item_of(scope.prefix)[0]].items
        count *= max(1, len(items.values) if items is not None else 1)
        scope = scope.outer


class ChildRuns:
    """Starts child runs and reads their outcomes; shared by all runs of a drain."""

    def __init__(
        self,
        events: EventStoreRepository,
        journal: Journal,
        graphs: GraphCache,
        actor: str,
        clock: Callable[[], float],
        notify_resume: ResumeNotifier | None,
    ) -> None:
        """`actor` stands in the events' metadata; without `notify_resume`, the sweep finds the runs."""
        self._events, self._journal, self._graphs = events, journal, graphs
        self._actor, self._clock, self._notify_resume = actor, clock, notify_resume

    async def version(self, tenant_id: str, workflow_id: str) -> int:
        """The version to which a child that is started now is pinned. Raises `NodeError` where none is published, or
        the published one cannot run."""
        version = await self._graphs.published_version(tenant_id, workflow_id)
        try:
            program = None if version is None else await self._graphs.program(tenant_id, workflow_id, version)
        except InvalidGraphError as error:
            raise NodeError(error.code, error.detail) from error
        if program is None:
            raise NodeError("not_published", f"There is no published workflow {workflow_id}.")
        return program.version

    async def start(self, tenant_id: str, execution_id: str, fact: ExecutionQueued) -> None:
        """Returns when the run is durable and enqueued. To no effect if it is there already."""
        # The child has its parent's correlation id.
        context = current_context() or CorrelationContext(execution_id)
        metadata = {"actor": self._actor, **context.metadata()}
        event = new_event(new_id(), fact, timestamp(self._clock()), metadata)
        # A conflict means that it was started before.
        await self._journal.append(first_append(tenant_id, execution_id, [event]))
        await self.notify_resume(tenant_id, execution_id)

    async def notify_resume(self, tenant_id: str, execution_id: str, signalled: bool = False) -> None:
        """Enqueues the run. `signalled`: something has happened that it waits for, of which a drain that is running it
        now must learn."""
        if self._notify_resume is not None:
            await self._notify_resume(tenant_id, execution_id, signalled=signalled)

    async def outcomes(self, tenant_id: str, execution_ids: Sequence[str]) -> dict[str, RecordedEvent]:
        """The last event of each of these runs that has ended, by the run's id."""
        return await self._events.read_outcomes(tenant_id, execution_ids)

    async def stop(self, tenant_id: str, execution_id: str, reason: str, *, itself: bool) -> None:
        """Cancels all descendants of the run, and with `itself` the run too."""
        happened_at = timestamp(self._clock())
        await self._events.cancel_called(tenant_id, execution_id, reason, self._actor, happened_at, itself=itself)


class RunCalls:
    """The child runs of one run's nodes."""

    def __init__(self, recorder: Recorder, runs: ChildRuns) -> None:
        """`runs` are the drain's."""
        self._recorder, self._state, self._runs = recorder, recorder.state, runs
        # By child's id, the last events of those that were found to have ended; and their nodes that nobody has asked
        # for yet.
        self._ended: dict[str, RecordedEvent] = {}
        self._newly_ended: list[str] = []

    async def find_ended(self) -> None:
        """Reads which of the children that nodes wait for have ended."""
        unknown = {child_id: path for path, child_id in self._state.calls.items() if child_id not in self._ended}
        if unknown:
            ended = await self._runs.outcomes(self._state.tenant_id, list(unknown))
            self._ended |= ended
            self._newly_ended += [unknown[child_id] for child_id in ended]

    def newly_ended(self) -> list[str]:
        """The nodes whose children were found to have ended since this was last called."""
        paths, self._newly_ended = self._newly_ended, []
        return paths

    def has_ended(self, path: str) -> bool:
        """Whether the child that this node waits for was found to have ended."""
        return self._state.calls.get(path) in self._ended

    async def attempt(self, step: Step, call: CallRequest, wait: NodeWaiting) -> Completed | None:
        """The node's result, or `None` when it waits for its child.

        `wait` is the fact to be recorded then, without its end and the child's id. Raises `NodeError` with the child's
        error where that has failed.
        """
        if step.path in self._state.calls:
            return await self._end_of_wait(step.path)
        child_id = child_run_id(self._state, step.path, wait.attempt)
        calls_left = room_below(self._state, step)
        version = await self._begin(call, wait)
        caller = {
            "node_id": step.path,
            "depth": self._state.depth + 1,
            "is_awaited": call.wait,
            "handles_error": self._state.handles_error,
            "calls_left": calls_left,
        }
        trigger = trigger_of("call", call.input)
        fact = ExecutionQueued(call.workflow_id, version, trigger, parent_id=self._state.id, caller=caller)
        await self._runs.start(self._state.tenant_id, child_id, fact)
        if not call.wait:
            return Completed({"execution_id": child_id})
        timeout_seconds = step.compiled.node.timeout_seconds or MAX_DURATION_SECONDS
        until = timestamp(self._recorder.clock() + timeout_seconds)
        self._recorder.record(replace(wait, wake_at=until, execution_id=child_id))
        return None

    async def _begin(self, call: CallRequest, wait: NodeWaiting) -> int:
        """The version to call, once it is durable that this attempt calls it."""
        record = self._state.nodes.get(wait.node_id)
        if record is not None and record.status == "running" and record.workflow_version is not None:
            return record.workflow_version  # begun by a drain that died, which may have started the child
        version = await self._runs.version(self._state.tenant_id, call.workflow_id)
        started = NodeStarted(wait.node_id, wait.attempt, None, wait.parameters, wait.evaluated_at, version)
        self._recorder.record(started)
        await self._recorder.durable()
        return version

    async def _end_of_wait(self, path: str) -> Completed:
        """The result of a node whose child has ended, or whose time is up, or nearly; raises as `attempt`."""
        child_id, record = self._state.calls[path], self._state.nodes[path]
        left = unix_seconds(record.wake_at or "") - self._recorder.clock()
        if child_id not in self._ended and left > 0:
            await asyncio.sleep(left)
            self._ended |= await self._runs.outcomes(self._state.tenant_id, [child_id])
        end, details = self._ended.get(child_id), {"execution_id": child_id}
        if end is None:
            reason = "The run that called this one stopped waiting for it."
            await self._runs.stop(self._state.tenant_id, child_id, reason, itself=True)
            raise NodeError("timeout", "The called run has not ended in time and was cancelled.", details)
        if end.event_type == "ExecutionSucceeded":
            return Completed(end.payload["output"])
        if end.event_type == "ExecutionFailed":
            error = end.payload["error"]
            raise NodeError(error["code"], error["message"], details)
        raise NodeError("cancelled", "The called run was cancelled.", details)
