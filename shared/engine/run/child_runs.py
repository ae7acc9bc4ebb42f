"""Runs that call others: each call starts exactly one run, and that run's end comes back to the node that called.

The called run's id is derived from the calling run, its node and the attempt. That the attempt has begun is durable
before the called run is; so whoever makes the same attempt again finds the run that it has started. The transaction
that ends a called run makes the one that waits for it due, whatever becomes of the hint in Redis.
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

# Tells a drain to look at runs of a tenant.
ResumeNotifier = Callable[..., Awaitable[None]]

MAX_DEPTH = 10
# So many runs come of one, however they call one another.
MAX_CALLED = 100_000
# The codes of a workflow that cannot be called.
NOT_CALLABLE = frozenset({"not_published", "invalid_graph"})


def child_run_id(state: ExecutionState, path: str, attempt: int) -> str:
    """The id of the run that this attempt of a node calls; within a map, this attempt of its item."""
    rounds: list[str] = []
    prefix = split_path(path)[0]
    while prefix:
        map_path = item_of(prefix)[0]
        rounds.append(str(state.nodes[map_path].attempts))
        prefix = split_path(map_path)[0]
    # What an item's nodes did is forgotten when it ends, their attempts too: the map's tell one from the other.
    is_first = all(one == "1" for one in rounds)
    return derived_id("call", state.id, path, str(attempt), *([] if is_first else rounds))


def room_below(state: ExecutionState, step: Step) -> int:
    """How many runs the run that this node calls may call in its turn, with all that those call; `NodeError` for a call
    that may not be: through too many runs, or one too many of all that one run has led to.

    What a run was given is divided evenly among all who may call in it: a few nodes in a workflow that calls itself
    would else lead to more runs than any queue can hold. The first run's own calls are bounded by its facts.
    """
    if state.depth >= MAX_DEPTH:
        raise NodeError("limit", f"Runs call one another at most {MAX_DEPTH} deep.")
    given = state.calls_left
    share = (MAX_CALLED if given is None else given) // _callers(state, step)
    if share < 1 and given is not None:
        raise NodeError("limit", f"One run leads to {MAX_CALLED} others at most, of which this one may call {given}.")
    return max(0, share - 1)


def _callers(state: ExecutionState, step: Step) -> int:
    """How many may call in the run, if all places are like this one: the nodes that are not skipped, times the items
    where they are a map's."""
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
    """Starts runs for others and reads how they ended; shared by all runs of a drain."""

    def __init__(
        self,
        events: EventStoreRepository,
        journal: Journal,
        graphs: GraphCache,
        actor: str,
        clock: Callable[[], float],
        notify_resume: ResumeNotifier | None,
    ) -> None:
        """`actor` stands in the metadata of what is written; without `notify_resume`, the sweep finds the runs."""
        self._events, self._journal, self._graphs = events, journal, graphs
        self._actor, self._clock, self._notify_resume = actor, clock, notify_resume

    async def version(self, tenant_id: str, workflow_id: str) -> int:
        """The version that a run called now is pinned to; `NodeError` where there is none that runs."""
        version = await self._graphs.published_version(tenant_id, workflow_id)
        try:
            program = None if version is None else await self._graphs.program(tenant_id, workflow_id, version)
        except InvalidGraphError as error:
            raise NodeError(error.code, error.detail) from error
        if program is None:
            raise NodeError("not_published", f"There is no published workflow {workflow_id}.")
        return program.version

    async def start(self, tenant_id: str, execution_id: str, fact: ExecutionQueued) -> None:
        """Returns when the run is durable and a drain has been told of it."""
        # What led to the caller led to this.
        cause = current_context() or CorrelationContext(execution_id)
        metadata = {"actor": self._actor, **cause.metadata()}
        event = new_event(new_id(), fact, timestamp(self._clock()), metadata)
        # A conflict says that it was started before.
        await self._journal.append(first_append(tenant_id, execution_id, [event]))
        await self.notify_resume(tenant_id, execution_id)

    async def notify_resume(self, tenant_id: str, execution_id: str, again: bool = False) -> None:
        """Tells a drain to look at this run now; `again`: something has happened that it waits for."""
        if self._notify_resume is not None:
            await self._notify_resume(tenant_id, execution_id, again=again)

    async def outcomes(self, tenant_id: str, execution_ids: Sequence[str]) -> dict[str, RecordedEvent]:
        """The last event of each of these runs that has ended, by its id."""
        return await self._events.read_outcomes(tenant_id, execution_ids)

    async def stop(self, tenant_id: str, execution_id: str, reason: str, *, itself: bool) -> None:
        """Cancels what the run has called, all the way down, and with `itself` the run too."""
        happened_at = timestamp(self._clock())
        await self._events.cancel_called(tenant_id, execution_id, reason, self._actor, happened_at, itself=itself)


class RunCalls:
    """What the nodes of one run call."""

    def __init__(self, recorder: Recorder, runs: ChildRuns) -> None:
        self._recorder, self._state, self._runs = recorder, recorder.state, runs
        self._ended: dict[str, RecordedEvent] = {}
        self._newly_ended: list[str] = []

    async def find_ended(self) -> None:
        """Finds out which of the runs that nodes wait for have ended."""
        unknown = {called: path for path, called in self._state.calls.items() if called not in self._ended}
        if unknown:
            ended = await self._runs.outcomes(self._state.tenant_id, list(unknown))
            self._ended |= ended
            self._newly_ended += [unknown[called] for called in ended]

    def newly_ended(self) -> list[str]:
        """The nodes whose called runs were found to have ended since this was last asked."""
        found, self._newly_ended = self._newly_ended, []
        return found

    def has_ended(self, path: str) -> bool:
        """Whether the run that this node waits for was found to have ended."""
        return self._state.calls.get(path) in self._ended

    async def attempt(self, step: Step, call: CallRequest, given: NodeWaiting) -> Completed | None:
        """What the node yields, or `None` when it waits for the run that it has called.

        `given` is the wait as it would be recorded, but for its end and the run. A called run that has failed raises
        its error as `NodeError`.
        """
        if step.path in self._state.calls:
            return await self._end_of_wait(step.path)
        called = child_run_id(self._state, step.path, given.attempt)
        calls_left = room_below(self._state, step)
        version = await self._begin(call, given)
        caller = {
            "node_id": step.path,
            "depth": self._state.depth + 1,
            "is_awaited": call.wait,
            "handles_error": self._state.handles_error,
            "calls_left": calls_left,
        }
        trigger = trigger_of("call", call.input)
        fact = ExecutionQueued(call.workflow_id, version, trigger, parent_id=self._state.id, caller=caller)
        await self._runs.start(self._state.tenant_id, called, fact)
        if not call.wait:
            return Completed({"execution_id": called})
        timeout_seconds = step.compiled.node.timeout_seconds or MAX_DURATION_SECONDS
        until = timestamp(self._recorder.clock() + timeout_seconds)
        self._recorder.record(replace(given, wake_at=until, execution_id=called))
        return None

    async def _begin(self, call: CallRequest, given: NodeWaiting) -> int:
        """The version to call, once it is durable that this attempt calls it."""
        record = self._state.nodes.get(given.node_id)
        if record is not None and record.status == "running" and record.workflow_version is not None:
            return record.workflow_version  # a start whose drain died
        version = await self._runs.version(self._state.tenant_id, call.workflow_id)
        self._recorder.record(
            NodeStarted(given.node_id, given.attempt, None, given.parameters, given.evaluated_at, version)
        )
        await self._recorder.durable()
        return version

    async def _end_of_wait(self, path: str) -> Completed:
        called, record = self._state.calls[path], self._state.nodes[path]
        left = unix_seconds(record.wake_at or "") - self._recorder.clock()
        if called not in self._ended and left > 0:
            await asyncio.sleep(left)
            self._ended |= await self._runs.outcomes(self._state.tenant_id, [called])
        end, details = self._ended.get(called), {"execution_id": called}
        if end is None:
            reason = "The run that called this one stopped waiting for it."
            await self._runs.stop(self._state.tenant_id, called, reason, itself=True)
            raise NodeError("timeout", "The called run has not ended in time and was cancelled.", details)
        if end.event_type == "ExecutionSucceeded":
            return Completed(end.payload["output"])
        if end.event_type == "ExecutionFailed":
            error = end.payload["error"]
            raise NodeError(error["code"], error["message"], details)
        raise NodeError("cancelled", "The called run was cancelled.", details)
