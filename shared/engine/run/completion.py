"""How a run ends: its child runs are cancelled when its time is up, and its error workflow is started when it fails.

The order makes both happen exactly once. `ErrorWorkflowStarted` is durable before the error run is started, with its
id, and the error run is started before the failure is durable. A drain that dies in between is followed by one that
starts the same run, to no effect if it is there.
"""

from __future__ import annotations

import logging

from shared.domain.execution.node_record import UNTOUCHED
from shared.domain.workflow.settings import WorkflowSettings
from shared.engine.run.child_runs import ChildRuns
from shared.engine.run.recorder import Recorder
from shared.events.execution import (
    ErrorWorkflowStarted,
    ExecutionFailed,
    ExecutionQueued,
    ExecutionSucceeded,
    trigger_of,
)
from shared.ids import new_id
from shared.json_types import JsonObject
from shared.nodes.node_kinds import NodeError

logger = logging.getLogger(__name__)


class RunCompletion:
    """The end of one run."""

    def __init__(self, recorder: Recorder, settings: WorkflowSettings, runs: ChildRuns) -> None:
        """`settings` are those of the version that the run is pinned to."""
        self._recorder, self._state, self._settings, self._runs = recorder, recorder.state, settings, runs

    @property
    def is_overdue(self) -> bool:
        """Whether the run's deadline has passed."""
        return self._state.deadline_at is not None and self._recorder.clock() >= self._state.deadline_at

    async def time_out(self) -> None:
        """Ends a run whose time is up, durably. Its child runs are cancelled first: once it has ended, nobody would."""
        if self._state.has_called:
            reason = "The run that called this one has run out of time."
            await self._runs.stop(self._state.tenant_id, self._state.id, reason, itself=False)
        allowed = self._settings.timeout_seconds
        message = (
            f"The run took longer than the {allowed:g} seconds that its workflow allows." if allowed else "Too late."
        )
        await self.end(ExecutionFailed({"code": "timeout", "message": message}))

    async def end(self, fact: ExecutionSucceeded | ExecutionFailed) -> None:
        """Returns when the run has ended with this fact, durably. Raises as `Recorder.durable`."""
        if isinstance(fact, ExecutionFailed):
            await self._start_error_workflow(fact.error)
        self._recorder.record(fact)
        await self._recorder.durable()

    async def _start_error_workflow(self, error: JsonObject) -> None:
        """Starts the error workflow, unless this run, or one above it, is that of an error workflow itself."""
        state, workflow_id = self._state, self._settings.error_workflow_id
        if workflow_id is None or state.handles_error:
            return
        if state.error_run is None:
            try:
                version = await self._runs.version(state.tenant_id, workflow_id)
            except NodeError as refusal:  # the run's own failure is recorded all the same
                fields = {"execution_id": state.id, "workflow_id": workflow_id, "reason": refusal.message}
                logger.warning("error_workflow_not_started", extra=fields)
                return
            self._recorder.record(ErrorWorkflowStarted(new_id(), workflow_id, version))
            await self._recorder.durable()
        run = state.error_run
        assert run is not None, "it has just been recorded"
        caller = {"node_id": None, "depth": state.depth, "is_awaited": False, "handles_error": True}
        if state.calls_left is not None:
            caller["calls_left"] = state.calls_left
        trigger = trigger_of("error", self._error_workflow_input(error))
        fact = ExecutionQueued(run.workflow_id, run.workflow_version, trigger, parent_id=state.id, caller=caller)
        await self._runs.start(state.tenant_id, run.execution_id, fact)

    def _error_workflow_input(self, error: JsonObject) -> JsonObject:
        """The body of the error run's trigger, as documented for authors of workflows."""
        state, node_id = self._state, error.get("node_id")
        body: JsonObject = {
            "execution": {
                "id": state.id,
                "created_at": state.created_at,
                "started_at": state.started_at,
                "trigger": state.trigger,
            },
            "workflow": {"id": state.workflow_id, "version": state.workflow_version},
            "error": error,
        }
        if node_id is not None:
            record = state.nodes.get(node_id, UNTOUCHED)
            body["node"] = {"id": node_id, "attempts": record.attempts, "error": record.error or error}
        return body
