"""What the tests of the engine are made of: workflows, jobs, and the state that runs end in."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from shared.aws.signal_tokens import signal_url
from shared.bootstrap import Services
from shared.commands.enqueue_resume import enqueue_resume
from shared.commands.executions.cancel_execution import CancelExecution, cancel_execution
from shared.commands.executions.execute_workflow import ExecuteWorkflow, execute_workflow
from shared.commands.executions.redrive_execution import redrive_execution
from shared.commands.executions.send_signal import SendSignal, send_signal
from shared.commands.workflows.create_workflow import CreateWorkflow, create_workflow
from shared.commands.workflows.publish_workflow import publish_workflow
from shared.commands.workflows.unpublish_workflow import unpublish_workflow
from shared.commands.workflows.update_workflow import UpdateWorkflow, update_workflow
from shared.domain.actor import Actor
from shared.domain.execution.fold import fold
from shared.domain.execution.run_budget import DEFAULT_BUDGET, RunBudget
from shared.domain.execution.state import ExecutionState
from shared.domain.timestamps import timestamp
from shared.engine.drain.loop import Drain
from shared.engine.drain.schedules import Schedules
from shared.engine.drain.worker import Summary
from shared.engine.expressions.evaluator import ExpressionEvaluator
from shared.engine.run.executor import RunExecutor
from shared.engine.run.graph_cache import GraphCache
from shared.engine.run.journal import RETRY_SECONDS, Journal
from shared.engine.run.memory_limiter import MemoryLimiter
from shared.engine.run.secret_reader import SecretReader
from shared.engine.verify.verify_execution import verify_execution
from shared.events.envelope import RecordedEvent
from shared.ids import new_id
from shared.json_types import JsonObject
from shared.nodes.node_kinds import EffectPermissions
from shared.queue.consumer import JobConsumer
from shared.queue.job import ExecutionJob
from shared.repositories.database import Database

Consumer = TypeVar("Consumer", bound=JobConsumer)


class EngineHarness:
    """One tenant's engine, and what tests ask of it."""

    def __init__(self, services: Services, guard: ExpressionEvaluator, tenant_id: str) -> None:
        self.services, self.guard, self.tenant_id = services, guard, tenant_id
        self.actor = Actor(tenant_id, "test", "admin")
        self.graphs = GraphCache(services.workflows, services.config_cache, guard)
        self.engine = self.new_engine()

    def consumer_of(self, kind: type[Consumer]) -> Consumer:
        """Another drain's consumer, of this kind."""
        parts = self.services
        return kind(parts.redis, parts.scripts, parts.redis_keys, parts.settings)

    def new_engine(
        self,
        name: str = "test",
        clock: Callable[[], float] = time.time,
        budget: RunBudget = DEFAULT_BUDGET,
        memory: MemoryLimiter | None = None,
        retry_seconds: Sequence[float] = RETRY_SECONDS,
    ) -> RunExecutor:
        """Another drain's engine, perhaps at another time, with less for each run to record, or with less patience for
        the store."""
        services = self.services
        permissions = EffectPermissions(
            services.settings.outbound_allow, services.settings.aws_allow, SecretReader(services.secrets), signal_url
        )
        publish, tell_drains = services.replies.publish, partial(enqueue_resume, services)
        journal = Journal(services.events, retry_seconds)
        return RunExecutor(
            services.events,
            journal,
            self.graphs,
            self.guard,
            name,
            permissions,
            clock,
            publish,
            tell_drains,
            budget,
            memory,
        )

    def schedules(self, clock: Callable[[], float]) -> Schedules:
        """What fires the schedules of a drain at this time."""
        services = self.services
        return Schedules(services.events, Journal(services.events), services.schedules, "test", clock)

    async def publish(self, nodes: list[JsonObject], *edges: str, **settings: Any) -> str:
        """The id of a published workflow; an edge is `source>target` or `source.handle>target`."""
        drawn = [_edge(edge) for edge in edges]
        command = CreateWorkflow(name="test", nodes=nodes, edges=drawn, settings=settings)
        workflow = await create_workflow(self.services, self.actor, command)
        await publish_workflow(self.services, self.actor, workflow.id)
        return workflow.id

    async def publish_again(self, workflow_id: str, nodes: list[JsonObject], *edges: str, **settings: Any) -> None:
        """Publishes another graph of the workflow."""
        drawn = [_edge(edge) for edge in edges]
        command = UpdateWorkflow(name="test", nodes=nodes, edges=drawn, settings=settings)
        await update_workflow(self.services, self.actor, workflow_id, command)
        await publish_workflow(self.services, self.actor, workflow_id)

    async def unpublish(self, workflow_id: str) -> None:
        """Stops new runs of the workflow."""
        await unpublish_workflow(self.services, self.actor, workflow_id)

    async def publish_documented(self, name: str) -> str:
        """The id of the published workflow of this name, as it stands in docs/."""
        for page in (Path(__file__).parents[3] / "docs").rglob("*.md"):
            for block in re.findall(r"```json\n(.*?)```", page.read_text(), re.DOTALL):
                found = json.loads(block)
                if isinstance(found, dict) and "nodes" in found and found.get("name") == name:
                    workflow = await create_workflow(self.services, self.actor, CreateWorkflow(**found))
                    await publish_workflow(self.services, self.actor, workflow.id)
                    return workflow.id
        raise LookupError(name)

    async def start(self, workflow_id: str, body: Any = None) -> ExecutionJob:
        """The job of a run that was started by hand, which no drain has begun."""
        execution_id = await execute_workflow(self.services, self.actor, workflow_id, ExecuteWorkflow(input=body))
        return ExecutionJob(self.tenant_id, execution_id, "resume")

    def delivery(self, workflow_id: str, body: Any = None, **fields: Any) -> ExecutionJob:
        """A delivery's job."""
        text = json.dumps(body)
        delivery = {
            "workflow_id": workflow_id,
            "node_id": None,
            "webhook_id": new_id(),
            "provider": "github",
            "delivery_id": new_id(),
            "delivery_key": new_id(),
            "event_type": "push",
            "received_at": timestamp(time.time()),
            "method": "POST",
            "headers": {"content-type": "application/json"},
            "query": {},
            "body": text,
            "body_encoding": "utf8",
            "body_sha256": "0" * 64,
            "size_bytes": len(text),
            "content_type": "application/json",
            **fields,
        }
        return ExecutionJob(self.tenant_id, new_id(), "delivery", delivery)

    async def execute(self, job: ExecutionJob) -> ExecutionState:
        """The state that the job's run is in after one claim."""
        await self.engine.execute(job)
        return await self.state(job)

    async def execute_later(self, job: ExecutionJob, seconds: float) -> ExecutionState:
        """The state after another claim, by a drain whose clock is `seconds` ahead."""
        await self.new_engine("later", lambda: time.time() + seconds).execute(job, is_first_claim=False)
        return await self.state(job)

    async def signal(self, job: ExecutionJob, name: str, payload: Any = None, key: str | None = None) -> ExecutionState:
        """The run after it was sent a signal."""
        command = SendSignal(payload=payload)
        return await send_signal(self.services, self.actor, job.execution_id, name, command, key)

    async def cancel(self, job: ExecutionJob) -> ExecutionState:
        """The run after it was cancelled."""
        return await cancel_execution(self.services, self.actor, job.execution_id, CancelExecution())

    async def events(self, job: ExecutionJob) -> list[RecordedEvent]:
        """What is recorded of the job's run."""
        return await self.services.events.read_all(self.tenant_id, job.execution_id)

    async def appends(self, job: ExecutionJob) -> int:
        """In how many appends the run was recorded: the store's clock stands still within a transaction."""
        moments, after = set[str](), 0
        while True:
            rows = await self.services.database.select(
                "event_store",
                "stream_version,created_at",
                lambda query, after=after: (
                    query.eq("stream_id", job.execution_id)
                    .gt("stream_version", after)
                    .order("stream_version")
                    .limit(1000)
                ),
            )
            moments.update(row["created_at"] for row in rows)
            if len(rows) < 1000:
                return len(moments)
            after = rows[-1]["stream_version"]

    async def state(self, job: ExecutionJob) -> ExecutionState:
        """The run as its events say."""
        return await self.state_of(job.execution_id)

    async def state_of(self, execution_id: str) -> ExecutionState:
        """The same, by its id."""
        state = fold(await self.services.events.read_all(self.tenant_id, execution_id))
        assert state is not None
        return state

    async def redrive(self, job: ExecutionJob) -> ExecutionState:
        """The run after it was redriven and claimed once more."""
        await redrive_execution(self.services, self.actor, job.execution_id)
        await self.engine.execute(job, is_first_claim=False)
        return await self.state(job)

    async def verify(self, job: ExecutionJob) -> JsonObject:
        """Whether the run can be derived again."""
        parts = self.services
        return await verify_execution(
            parts.events, parts.workflows, self.guard, parts.producer.peek, self.tenant_id, job.execution_id
        )

    def watched(self) -> tuple[EngineHarness, Watched]:
        """The same tenant over a store that tells what it was asked; close its services."""
        settings = self.services.settings
        store = Watched(settings.supabase_url, settings.supabase_key)
        return EngineHarness(Services(store, settings), self.guard, self.tenant_id), store

    async def drain(
        self, seconds: float = 30.0, engine: RunExecutor | None = None, queue: Services | None = None
    ) -> Summary:
        """What one invocation of the drain did, with the queue of `queue` where that is another."""
        ends_at = time.monotonic() + seconds
        services, engine, queue = self.services, engine or self.engine, queue or self.services
        drain = Drain(
            queue.consumer,
            queue.producer,
            queue.live_drains,
            services.executions,
            self.schedules(engine.clock),
            engine,
            services.settings,
            new_id(),
            lambda: ends_at - time.monotonic(),
        )
        return await drain.run()


class Watched(Database):
    """The database, and which of its functions were called and tables read."""

    def __init__(self, url: str, key: str) -> None:
        super().__init__(url, key)
        self.called: list[str] = []

    async def rpc(self, function: str, argument: JsonObject) -> Any:
        self.called.append(function)
        return await super().rpc(function, argument)

    async def select(self, table: str, *query: Any) -> Any:
        self.called.append(table)
        return await super().select(table, *query)


def _edge(text: str) -> JsonObject:
    source, _, target = text.partition(">")
    source, _, handle = source.partition(".")
    return {"source": source, "target": target, "source_handle": handle or "out"}


HOOK: JsonObject = {"id": "hook", "type": "webhook_trigger"}


def transform(node_id: str, value: Any, **fields: Any) -> JsonObject:
    """A transform."""
    return {"id": node_id, "type": "transform", "parameters": {"value": value}, **fields}


def call(node_id: str, workflow_id: str, **fields: Any) -> JsonObject:
    """A call of a workflow; `parameters` adds to it."""
    parameters = {"workflow_id": workflow_id, "input": "{% $input.body %}", **fields.pop("parameters", {})}
    return {"id": node_id, "type": "call_workflow", "parameters": parameters, **fields}


def delay(node_id: str, **parameters: Any) -> JsonObject:
    """A delay."""
    return {"id": node_id, "type": "delay", "parameters": parameters}


def request(node_id: str, url: str, **fields: Any) -> JsonObject:
    """A POST; `parameters` adds to it."""
    parameters = {"method": "POST", "url": url, **fields.pop("parameters", {})}
    return {"id": node_id, "type": "http_request", "parameters": parameters, **fields}
