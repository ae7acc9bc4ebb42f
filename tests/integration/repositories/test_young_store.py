"""No call reads a table from its beginning, also where Postgres knows nothing about the table yet.

The first calls are planned over empty tables, and connections keep their plans. Statistics come a minute later, or here
never.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import psycopg
import pytest

from local.stack.gateway_process import SupabaseGateway
from local.stack.postgres import PostgresServer
from local.stack.tokens import LocalKeys
from shared.events.envelope import NewEvent
from shared.ids import new_id
from shared.json_types import JsonObject
from shared.repositories.api_keys import ApiKeyRepository
from shared.repositories.append import Append
from shared.repositories.database import Database
from shared.repositories.event_store import EventStoreRepository
from shared.repositories.executions import ExecutionRepository
from shared.repositories.schedules import ScheduleRepository
from shared.repositories.webhooks import WebhookRepository
from tests.integration.repositories.plans import Plans, Statement

NOW = "2026-11-25T08:00:00.000000Z"
BIG = {"event_store", "executions", "payloads", "webhook_deliveries", "delivery_bodies", "schedules"}
# A connection takes its plan for any value, if it ever does, from the sixth time on.
TIMES = 8

_MANY = """
insert into event_store (id, event_type, tenant_id, payload, "timestamp", stream_id, stream_type, stream_version, hash)
select gen_random_uuid(), 'NodeSkipped', TENANT, '{}', now(), gen_random_uuid(), 'execution', 1, '\\x00'
from generate_series(1, 20000);
insert into executions (id, tenant_id, workflow_id, status, stream_version, created_at)
select gen_random_uuid(), TENANT, gen_random_uuid(), 'succeeded', 1, now() from generate_series(1, 20000);
insert into webhook_deliveries (id, tenant_id, webhook_id, received_at, verdict)
select gen_random_uuid(), TENANT, gen_random_uuid(), now(), 'accepted' from generate_series(1, 20000);
insert into payloads (tenant_id, sha256, body, size_bytes)
select TENANT, lpad(to_hex(n), 64, '0'), '{}', 20000 from generate_series(1, 20000) as n;
insert into delivery_bodies (tenant_id, sha256, body)
select TENANT, lpad(to_hex(n), 64, '0'), '' from generate_series(1, 20000) as n;
insert into schedules (workflow_id, node_id, tenant_id, version, cron, timezone)
select gen_random_uuid(), 'tick', TENANT, 1, '* * * * *', 'UTC' from generate_series(1, 20000);
"""


_HOLDING = """
insert into workflows (id, tenant_id, name, stream_version) values (HELD, TENANT, 'any', 1);
insert into webhooks (id, tenant_id, name, workflow_id, provider, status, stream_version)
values (HELD, TENANT, 'any', HELD, 'github', 'holding', 1);
"""


@dataclass
class Young:
    """A database without statistics, its gateway, and what is done there; the tenant has one webhook, which holds."""

    url: str
    database: Database
    plans: Plans
    tenant_id: str
    webhook_id: str

    def fill(self) -> None:
        """Adds 20,000 rows to each table."""
        self.execute(_MANY)

    def execute(self, script: str) -> None:
        """Does what an SQL script says of `TENANT` and of `HELD`, its webhook."""
        script = script.replace("TENANT", f"'{self.tenant_id}'::uuid").replace("HELD", f"'{self.webhook_id}'::uuid")
        with psycopg.connect(self.url) as connection:
            connection.execute(script.encode())

    def functions(self) -> set[str]:
        """The functions that the service calls by name."""
        with psycopg.connect(self.url) as connection:
            rows = connection.execute(
                "select proname from pg_proc where pronamespace = 'public'::regnamespace and proargnames = '{argument}'"
            ).fetchall()
        return {name for (name,) in rows}

    async def statements(self) -> list[Statement]:
        """What Postgres did for one of each call."""
        self.plans.forget()
        await self._write()
        await self._read()
        return self.plans.statements()

    async def _write(self) -> None:
        store = EventStoreRepository(self.database)
        caller, called = new_id(), new_id()
        await store.append([self._append(caller, 0, "running"), self._append(called, 0, "running", parent=caller)])
        await store.append_one(self._append(caller, 1, "waiting", calls=(called,)))
        end = self._append(called, 1, "succeeded", parent=caller, awaiting_id=caller)
        for one in (end, end, self._append(called, 1, "running")):
            await store.append([one])  # appended, a duplicate, a conflict
        await store.set_wake_up(self.tenant_id, caller, 2, NOW, [called])
        await store.cancel_called(self.tenant_id, caller, "enough", "tests", NOW, itself=True)
        status, _ = await store.hold(self._append(new_id(), 0, "running"), self.webhook_id, 1, 10_000, 64_000_000)
        assert status == "held"
        await self.database.rpc("keep_held", {})
        await store.append_one(self._secret())
        await ApiKeyRepository(self.database).note_use(new_id(), 60.0)
        await WebhookRepository(self.database).record([{**self._delivery(), "body": "", "body_sha256": new_id()}])
        ticked = {"workflow_id": new_id(), "node_id": "tick", "due_at": NOW, "next_at": NOW}
        await ScheduleRepository(self.database).advance([ticked])
        await store.read_outcomes(self.tenant_id, [caller, called])
        await store.verify_stream(self.tenant_id, called)
        await store.read_all(self.tenant_id, called)
        await store.read_page(self.tenant_id, called, 1, 10)
        for filters in ({}, {"event_type": "NodeSkipped"}, {"stream_id": called}, {"stream_id": called, "after": 1}):
            await store.read_feed(self.tenant_id, **filters)  # type: ignore[arg-type]  # of either type, by its name

    async def _read(self) -> None:
        await EventStoreRepository(self.database).read_history(10)
        executions = ExecutionRepository(self.database)
        await executions.claim_due(10, 60, NOW)
        await executions.invariant_violations()
        await WebhookRepository(self.database).for_intake(new_id())

    def _append(
        self,
        run_id: str,
        version: int,
        status: Literal["running", "waiting", "succeeded"],
        parent: str | None = None,
        **more: Any,
    ) -> Append:
        # A large payload, as well, which another table holds.
        events = (NewEvent(new_id(), "NodeSkipped", NOW, {"node_id": "x" * 20_000 + new_id()}),)
        row = {
            "id": run_id,
            "tenant_id": self.tenant_id,
            "workflow_id": new_id(),
            "status": status,
            "trigger": {},
            "parent_id": parent,
            "wake_at": None if status == "succeeded" else NOW,
            "stream_version": version + 1,
            "created_at": NOW,
        }
        delivery = {**self._delivery(), "execution_id": run_id, "body": "", "body_sha256": new_id()}
        return Append(self.tenant_id, run_id, "execution", version, events, row, deliveries=(delivery,), **more)

    def _secret(self) -> Append:
        secret_id = new_id()
        events = (NewEvent(new_id(), "SecretCreated", NOW, {"name": "s"}),)
        row = {"id": secret_id, "tenant_id": self.tenant_id, "name": f"s{secret_id[-12:]}", "status": "active"}
        row |= {"stream_version": 1, "created_at": NOW, "updated_at": NOW}  # type: ignore[dict-item]  # a number, too
        return Append(self.tenant_id, secret_id, "secret", 0, events, row, secret={"value": "sealed"})

    def _delivery(self) -> JsonObject:
        return {
            "id": new_id(),
            "tenant_id": self.tenant_id,
            "webhook_id": new_id(),
            "received_at": NOW,
            "verdict": "accepted",
            "size_bytes": 1,
        }


@pytest.fixture
async def young(postgres: PostgresServer, new_database: Callable[[], str], tmp_path: Path) -> AsyncIterator[Young]:
    """An empty database that nobody analyses."""
    url = new_database()
    with psycopg.connect(url, autocommit=True) as connection:
        for table in BIG:
            connection.execute(f"alter table {table} set (autovacuum_enabled = off)".encode())
    plans = Plans(url, postgres.log)
    plans.explain()
    gateway = SupabaseGateway(url, LocalKeys.of(tmp_path), tmp_path / "gateway.log").start()
    database = Database(gateway.url, gateway.service_key)
    young = Young(url, database, plans, new_id(), new_id())
    young.execute(_HOLDING)
    yield young
    await database.close()
    gateway.stop()


async def test_no_call_reads_a_table_from_its_beginning(young: Young) -> None:
    """Over empty tables, and over 20,000 rows that came after the plans were made, all calls look into indexes."""
    called = set()
    for count in range(3 * TIMES):
        if count == TIMES:
            young.fill()
        statements = await young.statements()

        called |= {name for name in young.functions() for one in statements if f"{name}(" in one.text.replace('"', "")}
        assert [f"{one.scanned()}: {one.text[:1000]}" for one in statements if one.scanned() & BIG] == []
    assert called == young.functions()
