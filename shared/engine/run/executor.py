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
from shared.domain.webhook.delivery import entry_of_run, queued
from shared.domain.workflow.settings import WorkflowSettings
from shared.engine.expressions.evaluator import ExpressionEvaluator
from shared.engine.run.child_runs import ChildRuns, ResumeNotifier, RunCalls
from shared.engine.run.compiled_graph import CompiledWorkflow
from shared.engine.run.completion import RunCompletion
from shared.engine.run.graph_cache import GraphCache
from shared.engine.run.journal import Journal
from shared.engine.run.memory_limiter import MemoryLimiter, MemoryShare
from shared.engine.run.node_runner import NodeRunner
from shared.engine.run.recorder import Recorder
from shared.engine.run.run_cache import CachedRun, RunCache
from shared.engine.run.scheduler import NodeScheduler
from shared.engine.run.start import RunStart
from shared.errors import RunLimitError, StreamConflictError
from shared.events.execution import ExecutionFailed, ExecutionQueued, trigger_of
from shared.nodes.node_type import EffectPermissions
from shared.observability import count, tagged
from shared.platform.slots import LARGE_ASIDE_OF_A_TENANT, waiting_outside
from shared.platform.turns import LARGE_BYTES
from shared.queue.job import ExecutionJob
from shared.repositories.event_store import EventStoreRepository
from shared.repositories.executions import ExecutionRepository
from shared.repositories.payload import counted_text
from shared.tracing import CorrelationContext, current_context, set_context

if TYPE_CHECKING:
    from shared.domain.webhook.delivery_log import DeliveryLogEntry
    from shared.engine.run.sync_reply import Publish

logger = logging.getLogger(__name__)

# How often a run is read again because somebody else wrote: a cancellation, or a drain that was thought dead.
MAX_RELOADS = 3
NOTHING = EffectPermissions()
# The metric of a run that a drain is done with, by its status; another says that it waits.
_OUTCOMES = {"succeeded": "RunsSucceeded", "failed": "RunsFailed", "cancelled": "RunsCancelled"}


class RunExecutor:
    """Runs executions; shared by all runs of a drain."""

    def __init__(
        self,
        events: EventStoreRepository,
        journal: Journal,
        graphs: GraphCache,
        guard: ExpressionEvaluator,
        name: str,
        permissions: EffectPermissions = NOTHING,
        clock: Callable[[], float] = time.time,
        publish: Publish | None = None,
        notify_resume: ResumeNotifier | None = None,
        budget: RunBudget = DEFAULT_BUDGET,
        memory: MemoryLimiter | None = None,
    ) -> None:
        """`name` is the drain's: it stands in the metadata of every event that this engine writes. `publish` takes
        answers to those who wait for them; `notify_resume` tells drains of runs to look at; `budget` is what each run
        may record, and `memory` what they hold together."""
        self._events, self._journal, self._guard = events, journal, guard
        self._actor, self._permissions, self.clock = f"drain:{name}", permissions, clock
        self._publish, self._waiting, self._budget = publish, RunCache(events, budget, guard.turns), budget
        self._executions, self._memory = ExecutionRepository(events.database), memory or MemoryLimiter()
        self._called = ChildRuns(events, journal, graphs, self._actor, clock, notify_resume)
        self._beginning = RunStart(graphs, self._called)

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

    async def _tried(self, job: ExecutionJob, is_new: bool, share: MemoryShare) -> float | None:
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
        self._expect_reply(job, recorder)
        try:
            timer = await self._drive(recorder)
        except RunLimitError:
            # What it did before is true, and so is its end without it, should that not be written.
            with contextlib.suppress(StreamConflictError, RunLimitError):
                await recorder.durable()
            raise
        self._waiting.keep(recorder.state, current_context() or CorrelationContext(job.execution_id))
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
        from shared.engine.run.partial_fold import partial_fold  # few jobs come to this

        for _ in range(MAX_RELOADS):
            known = await partial_fold(self._events, self._executions, job.tenant_id, job.execution_id)
            recorder = await self._known_or_begun(job, known, None)
            if recorder is None or recorder.state.is_terminal:
                return
            await self._beginning.refuse_stranger(recorder)
            self._expect_reply(job, recorder)
            with contextlib.suppress(StreamConflictError):
                completion = self._completion(recorder, await self._beginning.known_program(recorder))
                await completion.end(ExecutionFailed({"code": code, "message": message}))
                count("RunsFailed")
                await self._wake_caller(recorder.state)
                return

    async def has_begun(self, job: ExecutionJob) -> bool:
        """Whether anything is recorded of the job's run."""
        return bool(await self._events.read_stream(job.tenant_id, job.execution_id, limit=1))

    async def _wake_caller(self, state: ExecutionState) -> None:
        """Tells a drain of the run that waited for this one's end; by its row it is due already."""
        if state.awaiting_id is not None:
            await self._called.notify_resume(state.tenant_id, state.awaiting_id, again=True)

    async def _begun(self, job: ExecutionJob, share: MemoryShare | None) -> Recorder:
        set_context(job.cause)
        size_bytes = 0 if job.delivery is None else job.delivery["size_bytes"]
        if job.delivery is not None and share is not None and size_bytes >= LARGE_BYTES:
            # What is in it takes many times what it was sent as: it is read when there is room for that.
            await share.take(counted_text(job.delivery["body"]))
        with waiting_outside(LARGE_ASIDE_OF_A_TENANT):
            return await self._guard.turns.take(job.tenant_id, lambda: self._first(job), size_bytes, is_beginning=True)

    def _first(self, job: ExecutionJob) -> Recorder:
        """The run with the fact that begins it."""
        state = ExecutionState(job.execution_id, job.tenant_id)
        entries: tuple[DeliveryLogEntry, ...] = ()
        if job.delivery is not None:
            fact = queued(job.delivery)
            entries = (entry_of_run(job.delivery, job.tenant_id, job.execution_id),)
        else:
            start = job.start or {}
            fact = ExecutionQueued(start["workflow_id"], None, trigger_of("manual", storable(start["input"])))
        recorder = self._recorder(state, entries)
        recorder.record(fact)
        return recorder

    def _recorder(self, state: ExecutionState, deliveries: tuple[DeliveryLogEntry, ...] = ()) -> Recorder:
        return Recorder(state, self._events, self._journal, self._actor, self.clock, deliveries, self._budget)

    def _expect_reply(self, job: ExecutionJob, recorder: Recorder) -> None:
        if job.client_is_waiting and self._publish is not None:
            from shared.engine.run.sync_reply import SyncReply  # for most runs nobody waits

            recorder.sync_reply = SyncReply(recorder.state, self._publish)

    async def _continued(self, job: ExecutionJob, share: MemoryShare) -> Recorder | None:
        known = await self._read(job)
        if known is not None and not share.takes(known[0].size_bytes):
            # What was read is let go of, and not counted, until there is room for it.
            size_bytes, known = known[0].size_bytes, None
            await share.take(size_bytes)
            known = await self._read(job)
        return await self._known_or_begun(job, known, share)

    async def _read(self, job: ExecutionJob) -> CachedRun | None:
        with waiting_outside(LARGE_ASIDE_OF_A_TENANT):
            async with self._memory.reading.place(job.tenant_id):
                return await self._waiting.load(job.tenant_id, job.execution_id)

    async def _known_or_begun(
        self, job: ExecutionJob, known: CachedRun | None, share: MemoryShare | None
    ) -> Recorder | None:
        if known is not None:
            state, cause = known
            set_context(cause)
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
        runner = NodeRunner(recorder, program, self._guard, self._permissions, RunCalls(recorder, self._called))
        try:
            return await NodeScheduler(
                recorder, program, runner, self._completion(recorder, program)
            ).run_until_blocked()
        finally:
            runner.close()

    def _completion(self, recorder: Recorder, program: CompiledWorkflow | None) -> RunCompletion:
        settings = WorkflowSettings() if program is None else program.settings
        return RunCompletion(recorder, settings, self._called)
