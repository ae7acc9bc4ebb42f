"""A database with 300,000 rows in each table that grows with the load, of tenants unlike each other.

One tenant has nearly all of it. Statuses, workflows, verdicts and types are so mixed that whichever filter is asked
for, some combination finds next to nothing among very many rows: what a page costs must not show that.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from uuid import UUID

import psycopg

ROWS = 300_000
WORKFLOWS = 20_000


def an_id(kind: int, number: int = 0) -> str:
    """The id that the rows below have: `kind` tells the table, `number` the row."""
    return str(UUID(int=(kind << 64) + number))


LARGE_TENANT, SMALL_TENANT = an_id(1), an_id(2)
# Of the large tenant's runs this one's have all failed but one; the other's have all succeeded but one.
FAILING_WORKFLOW, WORKING_WORKFLOW = an_id(3, 1), an_id(3, 2)
PARENT = an_id(4, 1)
# The webhooks that have deliveries, and whose they are.
OWNERS = {an_id(5, 1): LARGE_TENANT, an_id(5, 1000): SMALL_TENANT}
STREAM, LONG_STREAM = an_id(6, 1), an_id(6)

_FILL = f"""
create function pg_temp.id(kind bigint, number bigint) returns uuid language sql immutable
return (lpad(to_hex(kind), 16, '0') || lpad(to_hex(number), 16, '0'))::uuid;
create function pg_temp.tenant(number bigint) returns uuid language sql immutable
return pg_temp.id(case when number % 1000 = 0 then 2 else 1 end, 0);

insert into public.workflows (id, tenant_id, name, status, tags, stream_version, created_at)
select pg_temp.id(3, n), pg_temp.tenant(n), 'Workflow ' || n, (array['draft', 'published', 'archived'])[1 + n % 3],
  case when n % 500 = 0 then array['seldom', 'usual'] else array['usual'] end, 1,
  '2026-01-01'::timestamptz + n * interval '1s'
from generate_series(1, {WORKFLOWS}) as n;

insert into public.workflow_versions (workflow_id, version, tenant_id, nodes, edges, published_at)
select pg_temp.id(3, 1), n, pg_temp.id(1, 0), '[]', '[]', case when n <= 20 or n > 5980 then now() end
from generate_series(1, 6000) as n;

insert into public.webhooks (id, tenant_id, name, workflow_id, provider, status, stream_version, created_at)
select pg_temp.id(5, n), pg_temp.tenant(n), 'Webhook ' || n, pg_temp.id(3, n % 100 + 1), 'github',
  case when n % 3 = 0 then 'deleted' else 'active' end, 1, '2026-01-01'::timestamptz + n * interval '1s'
from generate_series(1, {WORKFLOWS}) as n;

insert into public.api_keys (id, tenant_id, name, role, status, stream_version, created_at)
select pg_temp.id(7, n), pg_temp.tenant(n), 'Key ' || n, 'viewer',
  case when n % 2000 < 2 then 'active' else 'revoked' end, 1, '2026-01-01'::timestamptz + n * interval '1s'
from generate_series(1, {WORKFLOWS}) as n;

insert into public.secrets (id, tenant_id, name, status, stream_version, created_at)
select pg_temp.id(8, n), pg_temp.tenant(n), 's' || n, case when n % 2000 < 2 then 'active' else 'deleted' end,
  1, '2026-01-01'::timestamptz + n * interval '1s'
from generate_series(1, {WORKFLOWS}) as n;

insert into public.schedules (workflow_id, node_id, tenant_id, version, cron, timezone, next_at)
select pg_temp.id(3, n), 'tick', pg_temp.tenant(n), 1, '* * * * *', 'UTC', '2026-01-01'::timestamptz + n * interval '1d'
from generate_series(1, {WORKFLOWS}) as n;

insert into public.executions (id, tenant_id, workflow_id, status, parent_id, wake_at, stream_version, created_at)
select pg_temp.id(4, n), pg_temp.tenant(n), pg_temp.id(3, case when n <= {ROWS // 2} then 1 else 2 end),
  case when n % 30000 = 1 then 'queued' when n = 7 then 'succeeded' when n = {ROWS - 7} then 'failed'
       when n <= {ROWS // 2} then 'failed' else 'succeeded' end,
  case when n % 600 = 0 then pg_temp.id(4, 1) end,
  case when n % 30000 = 1 then '2026-01-01'::timestamptz + n * interval '1s' end,
  1, '2026-01-01'::timestamptz + n * interval '1s'
from generate_series(1, {ROWS}) as n;

insert into public.webhook_deliveries (id, tenant_id, webhook_id, received_at, verdict, event_type, delivery_key)
select pg_temp.id(9, n), pg_temp.tenant(n), pg_temp.id(5, case when n % 1000 = 0 then 1000 else 1 end),
  '2026-01-01'::timestamptz + n * interval '1s',
  case when n % 30000 = 1 then 'throttled' when n <= {ROWS // 2} then 'filtered' else 'accepted' end,
  case when n % 30000 = 2 then 'seldom' when n <= {ROWS // 2} then 'ping' else 'push' end,
  case when n % 7 = 0 then 'redelivery:' || n else 'key-' || n end
from generate_series(1, {ROWS}) as n;

insert into public.payloads (tenant_id, sha256, body, size_bytes)
select pg_temp.id(1, 0), lpad(to_hex(n), 64, '0'), '{{"node_id": "large"}}', 20000 from generate_series(1, 5000) as n;

insert into public.event_store (id, event_type, tenant_id, payload, "timestamp", stream_id, stream_type, stream_version,
  hash)
select pg_temp.id(10, n),
  case when n % 30000 = 1 then 'ExecutionFailed' when n <= {ROWS // 2} then 'NodeStarted' else 'NodeSucceeded' end,
  pg_temp.tenant(n),
  case when n % 1500 = 1 then jsonb_build_object('$payload', lpad(to_hex(n / 60 + 1), 64, '0')) else '{{}}' end,
  '2026-01-01'::timestamptz + n * interval '1s', pg_temp.id(6, stream), 'execution',
  row_number() over (partition by stream order by n), '\\x00'
from (
  select n, case when n % 1000 = 0 then 1000000 when n % 3 = 0 then 0 else n / 6 + 1 end as stream
  from generate_series(1, {ROWS}) as n
) as numbered order by n;
"""


@contextmanager
def _without_indexes(connection: psycopg.Connection[tuple[object, ...]], tables: list[str]) -> Iterator[None]:
    """Inside, the tables have only the indexes of their constraints; the others are made at once, in less time."""
    found = connection.execute(
        "select indexrelid::regclass::text, pg_get_indexdef(indexrelid) from pg_index i"
        " where indrelid = any (%s::regclass[]) and not exists (select from pg_constraint where conindid = indexrelid)",
        [tables],
    ).fetchall()
    for name, _ in found:
        connection.execute(f"drop index {name}".encode())
    yield
    for _, definition in found:
        connection.execute(str(definition).encode())


def fill(database_url: str) -> None:
    """Fills a migrated, empty database; nothing changes it, or its statistics, afterwards."""
    with psycopg.connect(database_url) as connection:
        tables = ["executions", "webhook_deliveries", "event_store"]
        for table in tables:
            connection.execute(f"alter table {table} set unlogged".encode())
        with _without_indexes(connection, tables):
            connection.execute(_FILL.encode())
        connection.execute("analyze")
