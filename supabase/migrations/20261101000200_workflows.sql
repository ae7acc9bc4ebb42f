-- Workflows: the draft as it is now, and every saved graph as it was.

create table public.workflows (
  id uuid primary key,
  tenant_id uuid not null,
  name text not null,
  description text,
  nodes jsonb not null default '[]',
  edges jsonb not null default '[]',
  -- The draft's revision: 1 when created, one more with each change.
  version integer not null default 1,
  status text not null default 'draft' check (status in ('draft', 'published', 'archived')),
  tags text[] not null default '{}',
  settings jsonb not null default '{}',
  published_version integer,
  stream_version integer not null,
  created_at timestamptz not null default now(),
  updated_at timestamptz not null default now()
);

create index workflows_tenant on public.workflows (tenant_id, created_at desc, id desc);
create index workflows_status on public.workflows (tenant_id, status, created_at desc, id desc);
create index workflows_tags on public.workflows using gin (tags);

alter table public.workflows enable row level security;
create policy workflows_of_tenant on public.workflows for select to authenticated
  using (tenant_id = ((select auth.jwt()) -> 'app_metadata' ->> 'tenant_id')::uuid);
revoke all on public.workflows from anon, authenticated, service_role;
grant select on public.workflows to authenticated;
grant select, insert, update on public.workflows to service_role;

-- Immutable graphs: a run is pinned to one. published_at unset: a draft that was saved but not published.
create table public.workflow_versions (
  workflow_id uuid not null references public.workflows (id),
  version integer not null,
  tenant_id uuid not null,
  nodes jsonb not null,
  edges jsonb not null,
  settings jsonb not null default '{}',
  created_at timestamptz not null default now(),
  published_at timestamptz,
  primary key (workflow_id, version)
);

create index workflow_versions_tenant on public.workflow_versions (tenant_id, workflow_id, version desc);

alter table public.workflow_versions enable row level security;
create policy workflow_versions_of_tenant on public.workflow_versions for select to authenticated
  using (tenant_id = ((select auth.jwt()) -> 'app_metadata' ->> 'tenant_id')::uuid);
revoke all on public.workflow_versions from anon, authenticated, service_role;
grant select on public.workflow_versions to authenticated;
grant select, insert, update on public.workflow_versions to service_role;
