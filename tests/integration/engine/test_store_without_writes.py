"""A store that answers and takes no writes for a while: its disk is full, its primary has moved, a role lost a right.

That is no item's fault, so no item may pay for it: no run fails, no job is put aside, no entries of the delivery log is
lost.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager

import psycopg
import pytest

from local.stack.gateway_process import SupabaseGateway
from shared.domain.webhook.delivery import entry_without_run
from shared.engine.drain.delivery_log_writer import DeliveryLogWriter
from shared.engine.drain.worker import MAX_INTERNAL_ERRORS
from shared.engine.run.journal import Piggyback
from tests.integration.engine.harness import HOOK, EngineHarness, transform

# Read-only, an I/O error, no room on the disk, a login that is not valid now, a rollback.
CODES = ["25006", "58030", "53100", "28000", "40003"]


@contextmanager
def refused(gateway: SupabaseGateway, table: str, tenant_id: str, code: str) -> Iterator[None]:
    """Whatever the tenant would have in the table is refused inside this block; `code` is SQL over the `new` row."""
    with psycopg.connect(gateway.database_url, autocommit=True) as connection:
        connection.execute(
            f"create function public.refused() returns trigger language plpgsql as $$ begin "
            f"raise exception 'not now' using errcode = {code}; end $$;"
            f"create trigger refused before insert on public.{table} for each row "
            f"when (new.tenant_id = '{tenant_id}') execute function public.refused()"
        )
        try:
            yield
        finally:
            connection.execute(f"drop trigger refused on public.{table}; drop function public.refused()")


@pytest.mark.parametrize("code", ["'25006'", "'58030'", "case new.status when 'failed' then '53100' else 'XX000' end"])
async def test_delivery_waits_for_a_store_that_takes_no_writes(
    harness: EngineHarness, supabase_gateway: SupabaseGateway, code: str
) -> None:
    """Its job stays in the queue, even where it has met errors before and cannot be failed for them, and its run
    succeeds when the store is back."""
    job = harness.delivery(await harness.publish([HOOK, transform("one", 1)], "hook>one"))
    await harness.services.producer.accept(job, "0")
    for _ in range(MAX_INTERNAL_ERRORS - 1):
        await harness.services.consumer.count_error(job.execution_id)
    with refused(supabase_gateway, "executions", harness.tenant_id, code):
        await harness.drain(1, harness.new_engine(retry_seconds=()))
        counts = await harness.services.consumer.counts()
    assert counts["failed"] == 0
    assert sum(counts.values()) == 1
    async with asyncio.timeout(30):
        while await harness.services.executions.get(job.tenant_id, job.execution_id) is None:
            await harness.drain(10)
            await asyncio.sleep(0.2)
    assert (await harness.state(job)).status == "succeeded"


@pytest.mark.parametrize("code", CODES)
async def test_ledger_waits_for_a_store_that_takes_no_writes(
    harness: EngineHarness, supabase_gateway: SupabaseGateway, code: str
) -> None:
    """Its lines stay where they are, and are written when the store is back."""
    services = harness.services
    delivery = harness.delivery(await harness.publish([HOOK, transform("one", 1)], "hook>one")).delivery
    assert delivery is not None
    await services.delivery_log.append(entry_without_run(delivery, harness.tenant_id, "paused", None, True))
    writer = DeliveryLogWriter(services.delivery_log, services.webhooks, Piggyback(), "writer")
    with refused(supabase_gateway, "webhook_deliveries", harness.tenant_id, f"'{code}'"):
        await writer.write()
    await writer.write()
    rows = await services.database.select(
        "webhook_deliveries", "verdict", lambda query: query.eq("tenant_id", harness.tenant_id)
    )
    assert rows == [{"verdict": "paused"}]
