"""What an invocation of the drain works with, and its work."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from dataclasses import asdict
from functools import cache, partial

from shared.commands._hint import hint
from shared.commands.services import services
from shared.engine.drain import Drain
from shared.engine.engine import Engine
from shared.engine.expressions import ExpressionGuard
from shared.engine.graphs import GraphLoader
from shared.engine.journal import Journal
from shared.engine.ledger_writer import CarryingEvents, LedgerWriter
from shared.engine.schedules import Schedules
from shared.ids import new_id
from shared.nodes.node_type import Reach

logger = logging.getLogger(__name__)
# Lines of the ledger that are left this close to the end are the next drain's.
LEDGER_RESERVE_SECONDS = 3.0


async def drain(remaining_seconds: Callable[[], float]) -> dict[str, int]:
    """How many jobs were completed, delayed, failed, swept and handed back."""
    name, parts, guard = new_id(), services(), expression_guard()
    events = CarryingEvents(parts.database)
    journal = Journal(events)
    reach = Reach(parts.settings.outbound_allow, parts.settings.aws_allow)
    tell, hints = parts.answers.tell, partial(hint, parts)
    engine = Engine(parts.events, journal, graph_loader(), guard, name, reach, tell=tell, hint=hints)
    schedules = Schedules(parts.events, journal, parts.schedules, name, engine.clock)
    work = Drain(parts.queue, parts.executions, schedules, engine, parts.settings, name, remaining_seconds)
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
