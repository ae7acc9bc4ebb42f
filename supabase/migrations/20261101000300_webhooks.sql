-- Webhooks, and the ledger of what they were sent.

create table public.webhooks (
  id uuid primary key,
  tenant_id uuid not null,
  name text not null,
  workflow_id uuid not null references public.workflows (id),
  node_id text,
  provider text not null,
  config jsonb not null default '{}',
  status text not null default 'active' check (status in ('active', 'paused', 'deleted')),
  -- Encrypted (AES-256-GCM); the previous one verifies until its expiry.
  secret text,
  previous_secret text,
  previous_secret_expires_at timestamptz,
  -- A hint for people, at most one drain's batch behind.
  last_triggered_at timestamptz,
  stream_version integer not null,
  created_at timestamptz not null default now(),
  updated_at timestamptz not null default now()
);

create index webhooks_tenant on public.webhooks (tenant_id, created_at desc, id desc);
create index webhooks_workflow on public.webhooks (workflow_id);

alter table public.webhooks enable row level security;
create policy webhooks_of_tenant on public.webhooks for select to authenticated
  using (tenant_id = ((select auth.jwt()) -> 'app_metadata' ->> 'tenant_id')::uuid);
revoke all on public.webhooks from anon, authenticated, service_role;
-- Every column but the secrets.
grant select (id, tenant_id, name, workflow_id, node_id, provider, config, status, previous_secret_expires_at,
              last_triggered_at, stream_version, created_at, updated_at) on public.webhooks to authenticated;
grant select, insert, update on public.webhooks to service_role;

create table public.webhook_deliveries (
  id uuid primary key,
  tenant_id uuid not null,
  -- No foreign key, for the same reason as in executions: the webhook's row is hot.
  webhook_id uuid not null,
  received_at timestamptz not null,
  verdict text not null check (verdict in ('accepted', 'duplicate', 'filtered', 'throttled', 'rejected_signature',
                                           'rejected_stale', 'rejected_malformed', 'paused', 'handshake')),
  reason text,
  delivery_key text,
  event_type text,
  execution_id uuid,
  headers jsonb not null default '{}',
  body_sha256 text,
  size_bytes integer not null default 0,
  created_at timestamptz not null default now()
);

create index webhook_deliveries_webhook on public.webhook_deliveries (webhook_id, received_at desc, id desc);
create index webhook_deliveries_tenant on public.webhook_deliveries (tenant_id, received_at desc);

alter table public.webhook_deliveries enable row level security;
create policy webhook_deliveries_of_tenant on public.webhook_deliveries for select to authenticated
  using (tenant_id = ((select auth.jwt()) -> 'app_metadata' ->> 'tenant_id')::uuid);
revoke all on public.webhook_deliveries from anon, authenticated, service_role;
grant select on public.webhook_deliveries to authenticated;
grant select, insert on public.webhook_deliveries to service_role;

-- argument: {id} → the webhook of whichever tenant with its encrypted secrets and whether its workflow is published,
-- or null. A delivery names only the webhook; the row says whose it is.
create function public.webhook_for_intake(argument jsonb) returns jsonb
language sql stable security invoker set search_path = ''
as $$
  select to_jsonb(w) || jsonb_build_object('published_version', f.published_version)
  from public.webhooks w join public.workflows f on f.id = w.workflow_id
  where w.id = (argument ->> 'id')::uuid and w.status <> 'deleted'
$$;

revoke all on function public.webhook_for_intake(jsonb) from public, anon, authenticated;
grant execute on function public.webhook_for_intake(jsonb) to service_role;
