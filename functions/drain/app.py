"""The drain: invoked by whoever adds a job while no drain is live, by itself, and by a schedule each minute."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from dataclasses import asdict
from functools import cache
from typing import Any, Protocol

from shared.commands.services import services
from shared.engine.drain import Drain
from shared.engine.engine import Engine
from shared.engine.expressions import ExpressionGuard
from shared.engine.graphs import GraphLoader
from shared.engine.journal import Journal
from shared.engine.ledger_writer import CarryingEvents, LedgerWriter
from shared.ids import new_id
from shared.nodes.node_type import Reach
from shared.observability import count_cold_start
from shared.queries.drain_metrics import drain_metrics
from shared.runtime import run, use_uvloop
from shared.snapstart import modules, prepare

logger = logging.getLogger(__name__)
# Lines of the ledger that are left this close to the end are the next drain's.
LEDGER_RESERVE_SECONDS = 3.0
use_uvloop()
prepare(modules("bullmq", "httpx", "postgrest"), lambda: services().close())


class Context(Protocol):
    """What of Lambda's context is used here."""

    def get_remaining_time_in_millis(self) -> int:
        """How much of the invocation's time is left."""


def handler(event: dict[str, Any], context: Context) -> dict[str, int]:
    """How many jobs were completed, delayed, failed, swept and handed back."""
    count_cold_start("drain")
    started = time.monotonic()
    summary = run(drain(lambda: context.get_remaining_time_in_millis() / 1000))
    scheduled = event.get("source") == "schedule"
    run(drain_metrics(services().database, services().executions, summary, time.monotonic() - started, scheduled))
    return summary


async def drain(remaining_seconds: Callable[[], float]) -> dict[str, int]:
    """The same, on the caller's event loop."""
    name, parts, guard = new_id(), services(), expression_guard()
    events = CarryingEvents(parts.database)
    reach = Reach(parts.settings.outbound_allow, parts.settings.aws_allow)
    engine = Engine(parts.events, Journal(events), graph_loader(), guard, name, reach, tell=parts.answers.tell)
    work = Drain(parts.queue, parts.executions, engine, parts.settings, name, remaining_seconds)
    writer = LedgerWriter(parts.queue, parts.webhooks, events, name)
    keeper = asyncio.create_task(writer.keep())
    try:
        summary = asdict(await work.run())
    finally:
        keeper.cancel()
        await asyncio.gather(keeper, return_exceptions=True)
        while await writer.write() and remaining_seconds() > LEDGER_RESERVE_SECONDS:
            pass
    logger.info("drained", extra=summary)
    return summary


@cache
def expression_guard() -> ExpressionGuard:
    """This process's guard; its child stays warm between invocations."""
    return ExpressionGuard()


@cache
def graph_loader() -> GraphLoader:
    """This process's programs; versions never change, so they are kept between invocations."""
    return GraphLoader(services().workflows, services().hints, expression_guard())
