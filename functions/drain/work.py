"""What an invocation of the drain works with, and its work."""

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
    from shared.engine.run.secret_reader import SecretReader

logger = logging.getLogger(__name__)
# Entries of the delivery log that are left this close to the end are the next drain's.
LOG_RESERVE_SECONDS = 3.0


async def drain(remaining_seconds: Callable[[], float], waking: str | None = None) -> dict[str, int]:
    """How many jobs were completed, delayed, failed, swept and handed back. `waking` is the token in the invocation of
    whoever woke this drain."""
    name, parts, guard = new_id(), services(), expression_evaluator()
    piggyback = Piggyback()
    journal = Journal(parts.events, piggyback=piggyback)
    permissions = EffectPermissions(parts.settings.outbound_allow, parts.settings.aws_allow, _secrets, _signal_url)
    publish, notify_resume = parts.replies.publish, partial(enqueue_resume, parts)
    budget = RunBudget(parts.settings.run_max_facts, parts.settings.run_max_bytes)
    memory = MemoryLimiter(parts.settings.drain_max_bytes)
    engine = RunExecutor(
        parts.events,
        journal,
        graph_loader(),
        guard,
        name,
        permissions,
        publish=publish,
        notify_resume=notify_resume,
        budget=budget,
        memory=memory,
    )
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
        with within(max(0.0, remaining_seconds() - 1)):
            while await writer.write() and remaining_seconds() > LOG_RESERVE_SECONDS:
                pass
        meter.finish()
    logger.info("drained", extra=summary)
    return summary


async def tell_overdue(remaining_seconds: float) -> None:
    """Writes what is overdue as metrics; a drain that has no time left for it leaves it to the next minute's."""
    from shared.queries.overdue import overdue  # once a minute: other drains do without

    try:
        async with asyncio.timeout(max(0.0, remaining_seconds - 1)):
            emit(await overdue(services().database, services().executions), service="drain")
    except (TimeoutError, WorkflowEngineError) as error:
        logger.warning("metrics_incomplete", extra={"error": type(error).__name__})


async def _signal_url(tenant_id: str, execution_id: str, name: str) -> str:
    from shared.aws.signal_tokens import signal_url  # few nodes name the URL of a signal

    return await signal_url(tenant_id, execution_id, name)


async def _secrets(tenant_id: str, names: Sequence[str]) -> Mapping[str, str]:
    return await secret_reader()(tenant_id, names)


@cache
def secret_reader() -> SecretReader:
    """This process's secrets, remembered for a moment."""
    from shared.engine.run.secret_reader import SecretReader  # few nodes name a secret

    return SecretReader(services().secrets)


@cache
def graph_loader() -> GraphCache:
    """This process's programs; versions never change, so they are kept between invocations."""
    return GraphCache(services().workflows, services().config_cache, expression_evaluator())
