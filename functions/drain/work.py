"""One invocation of the drain: its parts, put together, and its work."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from functools import cache, partial
from typing import TYPE_CHECKING

from shared.bootstrap import services
from shared.commands.enqueue_resume import enqueue_resume
from shared.domain.execution.run_budget import RunBudget
from shared.engine.drain.background_tasks import BackgroundTasks
from shared.engine.drain.delivery_log_writer import DeliveryLogWriter
from shared.engine.drain.loop import Drain
from shared.engine.drain.metrics import DrainMeter
from shared.engine.drain.schedules import Schedules
from shared.engine.expressions.evaluator import expression_evaluator
from shared.engine.run.executor import RunExecutor
from shared.engine.run.graph_cache import GraphCache
from shared.engine.run.journal import Journal, Piggyback
from shared.engine.run.memory_limiter import MemoryLimiter
from shared.errors import WorkflowEngineError
from shared.ids import new_id
from shared.nodes.node_kinds import EffectPermissions
from shared.observability import emit
from shared.platform.deadline import within

if TYPE_CHECKING:
    from shared.domain.secret_hosts import BoundSecret
    from shared.engine.run.secret_reader import SecretReader

logger = logging.getLogger(__name__)
# Entries of the delivery log that are left this close to the end are the next drain's.
LOG_RESERVE_SECONDS = 3.0


async def drain(remaining_seconds: Callable[[], float], waking: str | None = None) -> dict[str, int]:
    """How many jobs were completed, delayed, failed, swept and handed back. `waking` is the token in the event of an
    invocation by another process."""
    name, parts = new_id(), services()
    # Entries of the delivery log ride along with the commits of runs: the writer and the journal share this.
    piggyback = Piggyback()
    journal = Journal(parts.events, piggyback=piggyback)
    engine = _executor(name, journal)
    schedules = Schedules(parts.events, journal, parts.schedules, name, engine.clock)
    work = Drain(
        parts.consumer,
        parts.producer,
        parts.live_drains,
        parts.executions,
        schedules,
        engine,
        parts.settings,
        name,
        remaining_seconds,
        waking,
    )
    writer = DeliveryLogWriter(parts.delivery_log, parts.webhooks, piggyback, name)
    meter = DrainMeter(work)
    background = BackgroundTasks(work.leave)
    background.start("ledger", writer.run_forever())
    background.start("meter", meter.run_forever())
    try:
        summary = asdict(await work.run())
    finally:
        await background.stop()
        # What intake has left meanwhile, for nothing rides along with a commit any more.
        with within(max(0.0, remaining_seconds() - 1)):
            while await writer.write() and remaining_seconds() > LOG_RESERVE_SECONDS:
                pass
        meter.finish()
    logger.info("drained", extra=summary)
    return summary


def _executor(name: str, journal: Journal) -> RunExecutor:
    parts = services()
    settings = parts.settings
    return RunExecutor(
        parts.events,
        journal,
        graph_cache(),
        expression_evaluator(),
        name,
        EffectPermissions(settings.outbound_allow, settings.aws_allow, _secrets, _signal_url),
        publish=parts.replies.publish,
        notify_resume=partial(enqueue_resume, parts),
        budget=RunBudget(settings.run_max_facts, settings.run_max_bytes),
        memory=MemoryLimiter(settings.drain_max_bytes),
    )


async def emit_overdue(remaining_seconds: float) -> None:
    """Writes metrics of what is overdue; a drain with no time left leaves them to the next minute's drain."""
    from shared.queries.overdue import overdue  # once a minute: other drains do without

    try:
        async with asyncio.timeout(max(0.0, remaining_seconds - 1)):
            emit(await overdue(services().database, services().executions), service="drain")
    except (TimeoutError, WorkflowEngineError) as error:
        logger.warning("metrics_incomplete", extra={"error": type(error).__name__})


async def _signal_url(tenant_id: str, execution_id: str, name: str) -> str:
    from shared.aws.signal_tokens import signal_url  # few nodes name the URL of a signal

    return await signal_url(tenant_id, execution_id, name)


async def _secrets(tenant_id: str, names: Sequence[str]) -> Mapping[str, BoundSecret]:
    return await secret_reader()(tenant_id, names)


@cache
def secret_reader() -> SecretReader:
    """This process's secrets, cached for some seconds."""
    from shared.engine.run.secret_reader import SecretReader  # few nodes name a secret

    return SecretReader(services().secrets)


@cache
def graph_cache() -> GraphCache:
    """This process's compiled graphs; versions never change, so they are kept between invocations."""
    return GraphCache(services().workflows, services().config_cache, expression_evaluator())
