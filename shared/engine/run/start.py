"""How a run begins: on which version, from which trigger, and whether it may at all."""

from __future__ import annotations

import contextlib

from shared.engine.run.child_runs import ChildRuns
from shared.engine.run.compiled_graph import CompiledWorkflow
from shared.engine.run.graph_cache import GraphCache
from shared.engine.run.recorder import Recorder
from shared.errors import InvalidGraphError, JobRefusedError
from shared.events.execution import ExecutionCancelled, ExecutionFailed, ExecutionStarted


class RunStart:
    """That of all runs of a drain."""

    def __init__(self, graphs: GraphCache, runs: ChildRuns) -> None:
        """`runs` knows how those ended that have called others."""
        self._graphs, self._runs = graphs, runs

    async def program(self, recorder: Recorder) -> CompiledWorkflow | None:
        """The program of a run that has started, now or before; `None` for one that has ended instead, as recorded.

        A job of a workflow that its tenant does not have raises `JobRefusedError`.
        """
        return None if await self._is_orphan(recorder) else await self._started(recorder)

    async def refuse_stranger(self, recorder: Recorder) -> None:
        """A job may come from any client of the queue: what its tenant does not have leaves no trace of a run."""
        state = recorder.state
        if not recorder.is_stored and not await self._graphs.is_known(state.tenant_id, state.workflow_id):
            raise JobRefusedError(f"The tenant {state.tenant_id} has no workflow {state.workflow_id}.")

    async def known_program(self, recorder: Recorder) -> CompiledWorkflow | None:
        """The program of a run that has started, where it can be read."""
        state = recorder.state
        if state.started_at is None or state.workflow_version is None:
            return None
        with contextlib.suppress(InvalidGraphError):
            return await self._graphs.program(state.tenant_id, state.workflow_id, state.workflow_version)
        return None

    async def _is_orphan(self, recorder: Recorder) -> bool:
        """Whether this run was called by one that was cancelled, or that has ended without waiting for it: then it is
        cancelled before it starts. A cancellation that came earlier did not find it."""
        state = recorder.state
        if state.parent_id is None or state.caller is None or state.stream_version > 1:
            return False
        end = (await self._runs.outcomes(state.tenant_id, [state.parent_id])).get(state.parent_id)
        if end is None or not (state.is_awaited or end.event_type == "ExecutionCancelled"):
            return False
        recorder.record(ExecutionCancelled("The run that called this one has ended."))
        return True

    async def _started(self, recorder: Recorder) -> CompiledWorkflow | None:
        """The program of a run that has started; a run that cannot start is recorded as failed."""
        state = recorder.state
        version = state.workflow_version
        if version is None:
            version = await self._graphs.published_version(state.tenant_id, state.workflow_id)
        program = None
        try:
            if version is not None:
                program = await self._graphs.program(state.tenant_id, state.workflow_id, version)
        except InvalidGraphError as error:
            recorder.record(ExecutionFailed({"code": error.code, "message": error.detail}))
            return None
        if program is None:
            await self.refuse_stranger(recorder)
            message = "The workflow has no published version."
            recorder.record(ExecutionFailed({"code": "not_published", "message": message}))
            return None
        if state.phase == "queued":
            trigger_node_id = program.trigger_for(state.trigger)
            if trigger_node_id is None:
                message = f"Version {program.version} of the workflow has no trigger for this."
                recorder.record(ExecutionFailed({"code": "no_trigger", "message": message}))
                return None
            recorder.record(
                ExecutionStarted(program.version, trigger_node_id, program.settings.deadline(recorder.clock()))
            )
        return program
