"""From a job to a run: begun, or continued from its events, and driven until it ends or waits."""

from __future__ import annotations

import contextlib
import logging
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from shared.domain.execution.run_budget import DEFAULT_BUDGET, RunBudget
from shared.domain.execution.state import ExecutionState
from shared.domain.json.values import storable
from shared.domain.webhook.delivery import ledger_row, queued
from shared.domain.workflow.settings import WorkflowSettings
from shared.engine.expressions.evaluator import ExpressionGuard
from shared.engine.run.child_runs import CalledRuns, Calls, Hint
from shared.engine.run.compiled_graph import Program
from shared.engine.run.completion import Ending
from shared.engine.run.graph_cache import GraphLoader
from shared.engine.run.journal import Journal
from shared.engine.run.memory_limiter import Memory, Share
from shared.engine.run.node_runner import Attempts
from shared.engine.run.recorder import Recorder
from shared.engine.run.run_cache import Known, WaitingRuns
from shared.engine.run.scheduler import Run
from shared.engine.run.start import Beginning
from shared.errors import RunLimitError, StreamConflictError
from shared.events.execution import ExecutionFailed, ExecutionQueued, trigger_of
from shared.nodes.node_type import Reach
from shared.observability import count, tagged
from shared.platform.slots import LARGE_ASIDE_OF_A_TENANT, outside
from shared.platform.turns import LARGE_BYTES
from shared.queue.job import ExecutionJob
from shared.repositories.event_store import EventStoreRepository
from shared.repositories.executions import ExecutionRepository
from shared.repositories.payload import counted_text
from shared.tracing import Cause, current, note

if TYPE_CHECKING:
    from shared.domain.webhook.delivery_log import DeliveryLogEntry
    from shared.engine.run.sync_reply import Tell

logger = logging.getLogger(__name__)

# How often a run is read again because somebody else wrote: a cancellation, or a drain that was thought dead.
MAX_RELOADS = 3
NOTHING = Reach()
# The metric of a run that a drain is done with, by its status; another says that it waits.
_OUTCOMES = {"succeeded": "RunsSucceeded", "failed": "RunsFailed", "cancelled": "RunsCancelled"}


class Engine:
    """Runs executions; shared by all runs of a drain."""

    def __init__(
        self,
        events: EventStoreRepository,
        journal: Journal,
        graphs: GraphLoader,
        guard: ExpressionGuard,
        name: str,
        reach: Reach = NOTHING,
        clock: Callable[[], float] = time.time,
        tell: Tell | None = None,
        hint: Hint | None = None,
        budget: RunBudget = DEFAULT_BUDGET,
        memory: Memory | None = None,
    ) -> None:
        """`name` is the drain's: it stands in the metadata of every event that this engine writes. `tell` takes answers
        to those who wait for them; `hint` tells drains of runs to look at; `budget` is what each run may record, and
        `memory` what they hold together."""
        self._events, self._journal, self._guard = events, journal, guard
        self._actor, self._reach, self.clock = f"drain:{name}", reach, clock
        self._tell, self._waiting, self._budget = tell, WaitingRuns(events, budget, guard.turns), budget
        self._executions, self._memory = ExecutionRepository(events.database), memory or Memory()
        self._called = CalledRuns(events, journal, graphs, self._actor, clock, hint)
        self._beginning = Beginning(graphs, self._called)

    async def execute(self, job: ExecutionJob, is_first_claim: bool = True) -> float | None:
        """The seconds until the run's next timer, infinity when it waits for somebody else, and `None` when there is
        nothing left to do; all of it is durable.

        Raises `JobRefusedError` for a job that would begin a run of a workflow which its tenant does not have.

        `is_first_claim` says that the job has not been claimed before: then a delivery's run need not be looked for.
        """
        with tagged(execution_id=job.execution_id):
            return await self._execute(job, is_first_claim and job.kind != "resume")

    async def _execute(self, job: ExecutionJob, is_new: bool) -> float | None:
        share = self._memory.share(job.tenant_id)
        try:
            return await self._tried(job, is_new, share)
        finally:
            share.close()

    async def _tried(self, job: ExecutionJob, is_new: bool, share: Share) -> float | None:
        for _ in range(MAX_RELOADS):
            try:
                recorder = await (self._begun(job, share) if is_new else self._continued(job, share))
                if recorder is None or recorder.state.is_terminal:
                    return None
                recorder.share = share
                return await self._carried_out(job, recorder)
            except StreamConflictError:
                is_new = False
                share.close()
            except RunLimitError as error:
                await self._end_at_limit(job, error)
                return None
        # Somebody else keeps writing, so somebody else has the run; if not, its lease ends and the sweep finds it.
        logger.warning("run_abandoned")
        return None

    async def _carried_out(self, job: ExecutionJob, recorder: Recorder) -> float | None:
        self._promise(job, recorder)
        try:
            timer = await self._drive(recorder)
        except RunLimitError:
            # What it did before is true, and so is its end without it, should that not be written.
            with contextlib.suppress(StreamConflictError, RunLimitError):
                await recorder.durable()
            raise
        self._waiting.keep(recorder.state, current() or Cause(job.execution_id))
        count(_OUTCOMES.get(recorder.state.status, "RunsWaiting"))
        await self._wake_caller(recorder.state)
        return timer

    async def _end_at_limit(self, job: ExecutionJob, error: RunLimitError) -> None:
        logger.warning("run_limit_reached", extra={"tenant_id": job.tenant_id, "reason": error.detail})
        await self.fail(job, error.code, error.detail)

    async def fail(self, job: ExecutionJob, code: str, message: str) -> None:
        """Ends the run as failed, unless it has ended: for a job that cannot be carried out. One that has not begun
        raises `JobRefusedError` where its tenant has no such workflow.

        The run is not folded: that may be what cannot be done.
        """
        from shared.engine.run.partial_fold import unfolded  # few jobs come to this

        for _ in range(MAX_RELOADS):
            known = await unfolded(self._events, self._executions, job.tenant_id, job.execution_id)
            recorder = await self._known_or_begun(job, known, None)
            if recorder is None or recorder.state.is_terminal:
                return
            await self._beginning.refuse_stranger(recorder)
            self._promise(job, recorder)
            with contextlib.suppress(StreamConflictError):
                ending = self._ending(recorder, await self._beginning.known_program(recorder))
                await ending.end(ExecutionFailed({"code": code, "message": message}))
                count("RunsFailed")
                await self._wake_caller(recorder.state)
                return

    async def has_begun(self, job: ExecutionJob) -> bool:
        """Whether anything is recorded of the job's run."""
        return bool(await self._events.read_stream(job.tenant_id, job.execution_id, limit=1))

    async def _wake_caller(self, state: ExecutionState) -> None:
        """Tells a drain of the run that waited for this one's end; by its row it is due already."""
        if state.awaiting_id is not None:
            await self._called.hint(state.tenant_id, state.awaiting_id, again=True)

    async def _begun(self, job: ExecutionJob, share: Share | None) -> Recorder:
        note(job.cause)
        size_bytes = 0 if job.delivery is None else job.delivery["size_bytes"]
        if job.delivery is not None and share is not None and size_bytes >= LARGE_BYTES:
            # What is in it takes many times what it was sent as: it is read when there is room for that.
            await share.take(counted_text(job.delivery["body"]))
        with outside(LARGE_ASIDE_OF_A_TENANT):
            return await self._guard.turns.take(job.tenant_id, lambda: self._first(job), size_bytes, is_beginning=True)

    def _first(self, job: ExecutionJob) -> Recorder:
        """The run with the fact that begins it."""
        state = ExecutionState(job.execution_id, job.tenant_id)
        ledger: tuple[DeliveryLogEntry, ...] = ()
        if job.delivery is not None:
            fact = queued(job.delivery)
            ledger = (ledger_row(job.delivery, job.tenant_id, job.execution_id),)
        else:
            start = job.start or {}
            fact = ExecutionQueued(start["workflow_id"], None, trigger_of("manual", storable(start["input"])))
        recorder = self._recorder(state, ledger)
        recorder.record(fact)
        return recorder

    def _recorder(self, state: ExecutionState, deliveries: tuple[DeliveryLogEntry, ...] = ()) -> Recorder:
        return Recorder(state, self._events, self._journal, self._actor, self.clock, deliveries, self._budget)

    def _promise(self, job: ExecutionJob, recorder: Recorder) -> None:
        if job.awaited and self._tell is not None:
            from shared.engine.run.sync_reply import Promise  # for most runs nobody waits

            recorder.promise = Promise(recorder.state, self._tell)

    async def _continued(self, job: ExecutionJob, share: Share) -> Recorder | None:
        known = await self._read(job)
        if known is not None and not share.takes(known[0].size_bytes):
            # What was read is let go of, and not counted, until there is room for it.
            size_bytes, known = known[0].size_bytes, None
            await share.take(size_bytes)
            known = await self._read(job)
        return await self._known_or_begun(job, known, share)

    async def _read(self, job: ExecutionJob) -> Known | None:
        with outside(LARGE_ASIDE_OF_A_TENANT):
            async with self._memory.reading.place(job.tenant_id):
                return await self._waiting.load(job.tenant_id, job.execution_id)

    async def _known_or_begun(self, job: ExecutionJob, known: Known | None, share: Share | None) -> Recorder | None:
        if known is not None:
            state, cause = known
            note(cause)
            return self._recorder(state)
        if job.kind != "resume":
            return await self._begun(job, share)
        logger.warning("run_unknown", extra={"execution_id": job.execution_id})
        return None

    async def _drive(self, recorder: Recorder) -> float | None:
        program = await self._beginning.program(recorder)
        if program is None:
            await recorder.durable()
            return None
        attempts = Attempts(recorder, program, self._guard, self._reach, Calls(recorder, self._called))
        try:
            return await Run(recorder, program, attempts, self._ending(recorder, program)).drive()
        finally:
            attempts.close()

    def _ending(self, recorder: Recorder, program: Program | None) -> Ending:
        settings = WorkflowSettings() if program is None else program.settings
        return Ending(recorder, settings, self._called)
