"""From a job to a run: begun, or continued from its events, and driven until it ends or waits.

A run has one owner, this executor, which makes its parts anew for each job:

- `Recorder`: the state, and the facts on their way to the journal. Every other part changes the run through it alone.
- `NodeInputResolver`: what its nodes are given, and what the expressions' process has of it.
- `RunCalls`: the child runs that its nodes have started.
- `NodeRunner`: one node's attempts.
- `RunCompletion`: how the run ends.
- `NodeScheduler`: which nodes run when. It ends with the job; what it leaves waiting is in the facts.

They are apart because they fail apart: an effect may hang while the facts of other nodes become durable, and a conflict
(another drain has written) ends the scheduler without undoing what is recorded.
"""

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
from shared.engine.run.node_inputs import NodeInputResolver
from shared.engine.run.node_runner import NodeRunner
from shared.engine.run.recorder import Recorder
from shared.engine.run.run_cache import CachedRun, RunCache
from shared.engine.run.scheduler import NodeScheduler
from shared.errors import InvalidGraphError, JobRefusedError, RunLimitError, StreamConflictError
from shared.events.execution import ExecutionCancelled, ExecutionFailed, ExecutionQueued, ExecutionStarted, trigger_of
from shared.nodes.node_kinds import EffectPermissions
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

# How often a run is read again because another process has written: a cancellation, or a drain that was thought dead.
MAX_RELOADS = 3
NO_PERMISSIONS = EffectPermissions()
# The metric of a run that a drain is done with, by its status; any other status says that it waits.
_OUTCOME_METRICS = {"succeeded": "RunsSucceeded", "failed": "RunsFailed", "cancelled": "RunsCancelled"}


class RunExecutor:
    """Runs executions; shared by all runs of a drain."""

    def __init__(
        self,
        events: EventStoreRepository,
        journal: Journal,
        graphs: GraphCache,
        evaluator: ExpressionEvaluator,
        name: str,
        permissions: EffectPermissions = NO_PERMISSIONS,
        clock: Callable[[], float] = time.time,
        publish: Publish | None = None,
        notify_resume: ResumeNotifier | None = None,
        budget: RunBudget = DEFAULT_BUDGET,
        memory: MemoryLimiter | None = None,
    ) -> None:
        """`name` is the drain's: it stands in the metadata of every event that is written here. `publish` sends replies
        to waiting clients; `notify_resume` wakes drains for other runs; `budget` is what each run may record, and
        `memory` bounds what all of them hold together."""
        self._events, self._journal, self._evaluator = events, journal, evaluator
        self._actor, self._permissions, self.clock = f"drain:{name}", permissions, clock
        self._publish, self._cache, self._budget = publish, RunCache(events, budget, evaluator.turns), budget
        self._executions, self._memory = ExecutionRepository(events.database), memory or MemoryLimiter()
        self._children = ChildRuns(events, journal, graphs, self._actor, clock, notify_resume)
        self._start = RunStart(graphs, self._children)

    async def execute(self, job: ExecutionJob, is_first_claim: bool = True) -> float | None:
        """The seconds until the run's next timer, infinity when it waits for a signal or another run, and `None` when
        there is nothing left to do; all of it is durable.

        `is_first_claim` says that the job has not been claimed before: then the store need not be asked for the run of
        a delivery. Raises `JobRefusedError` for a job that would begin a run of a workflow which its tenant does not
        have, and `UnavailableError` while a dependency is out of reach.
        """
        with tagged(execution_id=job.execution_id):
            share = self._memory.share(job.tenant_id)
            try:
                return await self._execute(job, is_first_claim and job.kind != "resume", share)
            finally:
                share.close()

    async def _execute(self, job: ExecutionJob, is_new: bool, share: MemoryShare) -> float | None:
        for _ in range(MAX_RELOADS):
            try:
                recorder = await (self._begin(job, share) if is_new else self._continue(job, share))
                if recorder is None or recorder.state.is_terminal:
                    return None
                return await self._run(job, recorder)
            except StreamConflictError:
                # The fence: another writer was faster, so this state is stale. What it recorded is read and folded in.
                is_new = False
                share.close()
            except RunLimitError as error:
                logger.warning("run_limit_reached", extra={"tenant_id": job.tenant_id, "reason": error.detail})
                await self.fail(job, error.code, error.detail)
                return None
        # A writer that is always faster has the run; if it does not go on, its lease ends and the sweep finds the run.
        logger.warning("run_abandoned")
        return None

    async def _run(self, job: ExecutionJob, recorder: Recorder) -> float | None:
        self._expect_reply(job, recorder)
        try:
            timer = await self._drive(recorder)
        except RunLimitError:
            # What the run did before is stored first; its failure is recorded even if that cannot be.
            with contextlib.suppress(StreamConflictError, RunLimitError):
                await recorder.durable()
            raise
        self._cache.keep(recorder.state, current_context() or CorrelationContext(job.execution_id))
        count(_OUTCOME_METRICS.get(recorder.state.status, "RunsWaiting"))
        await self._wake_caller(recorder.state)
        return timer

    async def _drive(self, recorder: Recorder) -> float | None:
        """Makes the parts of the run and has them work until it is blocked or has ended; as `execute`."""
        program = await self._start.program(recorder)
        if program is None:
            await recorder.durable()
            return None
        calls, completion = RunCalls(recorder, self._children), self._completion(recorder, program)
        inputs = NodeInputResolver(recorder.state, program.root, self._evaluator)
        runner = NodeRunner(recorder, inputs, calls, self._permissions, self._evaluator.turns)
        try:
            scheduler = NodeScheduler(recorder, program.root.graph, inputs.scopes, runner, calls, completion)
            return await scheduler.run_until_blocked()
        finally:
            inputs.close()

    async def fail(self, job: ExecutionJob, code: str, message: str) -> None:
        """Ends the run as failed, unless it has ended: for a job that cannot be carried out. One that has not begun
        raises `JobRefusedError` where its tenant has no such workflow.

        The run is not folded: folding may be what fails.
        """
        from shared.engine.run.partial_fold import partial_fold  # few jobs come to this

        for _ in range(MAX_RELOADS):
            known = await partial_fold(self._events, self._executions, job.tenant_id, job.execution_id)
            recorder = await self._known_or_begun(job, known, None)
            if recorder is None or recorder.state.is_terminal:
                return
            await self._start.refuse_unknown_workflow(recorder)
            self._expect_reply(job, recorder)
            with contextlib.suppress(StreamConflictError):
                completion = self._completion(recorder, await self._start.known_program(recorder))
                await completion.end(_failure(code, message))
                count("RunsFailed")
                await self._wake_caller(recorder.state)
                return

    async def has_begun(self, job: ExecutionJob) -> bool:
        """Whether anything is recorded of the job's run."""
        return bool(await self._events.read_stream(job.tenant_id, job.execution_id, limit=1))

    async def _wake_caller(self, state: ExecutionState) -> None:
        """Wakes a drain for the run that waited for this one's end. By its row it is due already."""
        if state.awaiting_id is not None:
            await self._children.notify_resume(state.tenant_id, state.awaiting_id, signalled=True)

    # -- the recorder of a job's run: begun here, or read ------------------------------------------------------------

    async def _begin(self, job: ExecutionJob, share: MemoryShare | None) -> Recorder:
        set_context(job.cause)
        size_bytes = 0 if job.delivery is None else job.delivery["size_bytes"]
        if job.delivery is not None and share is not None and size_bytes >= LARGE_BYTES:
            # Once parsed, a body takes many times its size: it is parsed when there is room for that.
            await share.take(counted_text(job.delivery["body"]))
        with waiting_outside(LARGE_ASIDE_OF_A_TENANT):
            return await self._evaluator.turns.take(
                job.tenant_id, lambda: self._queued(job, share), size_bytes, is_beginning=True
            )

    def _queued(self, job: ExecutionJob, share: MemoryShare | None) -> Recorder:
        """A new run with the fact that begins it."""
        state = ExecutionState(job.execution_id, job.tenant_id)
        entries: tuple[DeliveryLogEntry, ...] = ()
        if job.delivery is not None:
            fact = queued(job.delivery)
            entries = (entry_of_run(job.delivery, job.tenant_id, job.execution_id),)
        else:
            start = job.start or {}
            fact = ExecutionQueued(start["workflow_id"], None, trigger_of("manual", storable(start["input"])))
        recorder = self._recorder(state, share, entries)
        recorder.record(fact)
        return recorder

    async def _continue(self, job: ExecutionJob, share: MemoryShare) -> Recorder | None:
        known = await self._load(job)
        if known is not None and not share.takes(known[0].size_bytes):
            # How large a run is shows only when it has been read. It is let go of, uncounted, until there is room.
            size_bytes, known = known[0].size_bytes, None
            await share.take(size_bytes)
            known = await self._load(job)
        return await self._known_or_begun(job, known, share)

    async def _load(self, job: ExecutionJob) -> CachedRun | None:
        with waiting_outside(LARGE_ASIDE_OF_A_TENANT):
            async with self._memory.reading.place(job.tenant_id):
                return await self._cache.load(job.tenant_id, job.execution_id)

    async def _known_or_begun(
        self, job: ExecutionJob, known: CachedRun | None, share: MemoryShare | None
    ) -> Recorder | None:
        if known is not None:
            state, context = known
            set_context(context)
            return self._recorder(state, share)
        if job.kind != "resume":
            return await self._begin(job, share)
        logger.warning("run_unknown", extra={"execution_id": job.execution_id})
        return None

    def _recorder(
        self, state: ExecutionState, share: MemoryShare | None, deliveries: tuple[DeliveryLogEntry, ...] = ()
    ) -> Recorder:
        return Recorder(state, self._events, self._journal, self._actor, self.clock, deliveries, self._budget, share)

    def _expect_reply(self, job: ExecutionJob, recorder: Recorder) -> None:
        if job.client_is_waiting and self._publish is not None:
            from shared.engine.run.sync_reply import SyncReply  # most runs have no waiting client

            recorder.reply_with(SyncReply(recorder.state, self._publish))

    def _completion(self, recorder: Recorder, program: CompiledWorkflow | None) -> RunCompletion:
        settings = WorkflowSettings() if program is None else program.settings
        return RunCompletion(recorder, settings, self._children)


class RunStart:
    """How a run begins: on which version, from which trigger, and whether it may at all. Shared by all of a drain."""

    def __init__(self, graphs: GraphCache, children: ChildRuns) -> None:
        """`children` knows how runs that have called others have ended."""
        self._graphs, self._children = graphs, children

    async def program(self, recorder: Recorder) -> CompiledWorkflow | None:
        """The program of a run that has started, now or before; `None` for one that has ended instead, as recorded.

        Raises `JobRefusedError` for a job of a workflow that its tenant does not have.
        """
        return None if await self._is_orphan(recorder) else await self._started(recorder)

    async def refuse_unknown_workflow(self, recorder: Recorder) -> None:
        """Raises `JobRefusedError` where the tenant has no such workflow. Any client of the queue may add such a job,
        and it leaves no trace of a run."""
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
        """Whether the run that called this one was cancelled, or has ended without waiting for it: then this one is
        cancelled before it starts. A cancellation of the caller that came earlier did not find it."""
        state = recorder.state
        if state.parent_id is None or state.caller is None or state.stream_version > 1:
            return False
        end = (await self._children.outcomes(state.tenant_id, [state.parent_id])).get(state.parent_id)
        if end is None or not (state.is_awaited or end.event_type == "ExecutionCancelled"):
            return False
        recorder.record(ExecutionCancelled("The run that called this one has ended."))
        return True

    async def _started(self, recorder: Recorder) -> CompiledWorkflow | None:
        """The program of a run that has started; a run that cannot start is recorded as failed."""
        state, program = recorder.state, None
        version = state.workflow_version
        if version is None:
            version = await self._graphs.published_version(state.tenant_id, state.workflow_id)
        try:
            if version is not None:
                program = await self._graphs.program(state.tenant_id, state.workflow_id, version)
        except InvalidGraphError as error:
            recorder.record(_failure(error.code, error.detail))
            return None
        if program is None:
            await self.refuse_unknown_workflow(recorder)
            recorder.record(_failure("not_published", "The workflow has no published version."))
            return None
        if state.phase == "queued":
            trigger_node_id = program.trigger_for(state.trigger)
            if trigger_node_id is None:
                message = f"Version {program.version} of the workflow has no trigger for this."
                recorder.record(_failure("no_trigger", message))
                return None
            deadline = program.settings.deadline(recorder.clock())
            recorder.record(ExecutionStarted(program.version, trigger_node_id, deadline))
        return program


def _failure(code: str, message: str) -> ExecutionFailed:
    return ExecutionFailed({"code": code, "message": message})
