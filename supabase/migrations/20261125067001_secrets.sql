-- Secrets of tenants' workflows: names and dates are facts, values are not.

create table public.secrets (
  id uuid primary key,
  tenant_id uuid not null,
  name text not null check (name ~ '^[A-Za-z_][A-Za-z0-9_]{0,99}$'),
  -- Encrypted (AES-256-GCM), bound to the tenant and the name; a deleted secret has none.
  value text,
  status text not null default 'active' check (status in ('active', 'deleted')),
  stream_version integer not null,
  created_at timestamptz not null default now(),
  updated_at timestamptz not null default now(),
  unique (tenant_id, name)
);

create index secrets_tenant on public.secrets (tenant_id, created_at desc, id desc);

alter table public.secrets enable row level security;
create policy secrets_of_tenant on public.secrets for select to authenticated
  using (tenant_id = ((select auth.jwt()) -> 'app_metadata' ->> 'tenant_id')::uuid);
revoke all on public.secrets from anon, authenticated, service_role;
-- Every column but the value.
grant select (id, tenant_id, name, status, stream_version, created_at, updated_at) on public.secrets to authenticated;
grant select, insert, update on public.secrets to service_role;

comment on table public.secrets is 'Values for effects, encrypted; written by append_secrets alone.';

-- What is stored already is of the other types: no need to look through all of it.
alter table public.event_store drop constraint event_store_stream_type_check;
alter table public.event_store add constraint event_store_stream_type_check
  check (stream_type in ('workflow', 'webhook', 'api_key', 'execution', 'secret')) not valid;

-- argument: that of append_events, with `secrets`, the rows that follow from the events, and their values.
-- Of its own, so that the one way to write stays as it is for all that is written often. A value that does not come with
-- its row, as when rows are rebuilt from events, is kept; a deleted secret's is not.
create function public.append_secrets(argument jsonb) returns jsonb
language plpgsql volatile security invoker set search_path = ''
as $$
declare
  answer jsonb := public.append_events(argument - 'secrets');
begin
  insert into public.secrets (id, tenant_id, name, value, status, stream_version, created_at, updated_at)
  select r.id, r.tenant_id, r.name, r.value, r.status, r.stream_version, r.created_at, r.updated_at
  from jsonb_populate_recordset(null::public.secrets, argument -> 'secrets') as r
  join jsonb_to_recordset(answer -> 'results') as o(stream_id uuid, status text)
    on o.stream_id = r.id and o.status = 'appended'
  order by r.id
  on conflict (id) do update set
    value = case excluded.status when 'deleted' then null else coalesce(excluded.value, secrets.value) end,
    status = excluded.status, stream_version = excluded.stream_version, created_at = excluded.created_at,
    updated_at = excluded.updated_at;
  return answer;
end
$$;

revoke all on function public.append_secrets(jsonb) from public, anon, authenticated;
grant execute on function public.append_secrets(jsonb) to service_role;
