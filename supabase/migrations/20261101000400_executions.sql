-- Executions as they are now; what happened in them is in the event store.

create table public.executions (
  id uuid primary key,
  tenant_id uuid not null,
  -- No foreign key: checking it would lock the one hot workflow's row in every drain's transaction.
  workflow_id uuid not null,
  workflow_version integer,
  status text not null check (status in ('queued', 'running', 'waiting', 'succeeded', 'failed', 'cancelled')),
  trigger jsonb not null default '{}',
  webhook_id uuid,
  error jsonb,
  parent_id uuid,
  forked_from uuid,
  replayed_from uuid,
  -- When somebody must look at the run again: the end of a lease, a timer, a deadline. This column is the outbox.
  wake_at timestamptz,
  stream_version integer not null,
  created_at timestamptz not null,
  started_at timestamptz,
  finished_at timestamptz,
  -- A run is finished or it will be looked at again: no third state exists.
  constraint executions_never_stuck check ((status in ('succeeded', 'failed', 'cancelled')) = (wake_at is null))
);

create index executions_due on public.executions (wake_at) where wake_at is not null;
create index executions_tenant on public.executions (tenant_id, created_at desc, id desc);
create index executions_workflow on public.executions (workflow_id, created_at desc, id desc);

alter table public.executions enable row level security;
create policy executions_of_tenant on public.executions for select to authenticated
  using (tenant_id = ((select auth.jwt()) -> 'app_metadata' ->> 'tenant_id')::uuid);
revoke all on public.executions from anon, authenticated, service_role;
grant select on public.executions to authenticated;
grant select, insert, update on public.executions to service_role;
