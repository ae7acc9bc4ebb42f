-- API keys: only a hash is kept.

create table public.api_keys (
  id uuid primary key,
  tenant_id uuid not null,
  name text not null,
  role text not null check (role in ('viewer', 'editor', 'admin')),
  scopes text[] not null default '{}',
  -- SHA-256 of the key's random part, which has 256 bits: no slow hash is needed.
  key_hash text,
  status text not null default 'active' check (status in ('active', 'revoked')),
  expires_at timestamptz,
  last_used_at timestamptz,
  stream_version integer not null,
  created_at timestamptz not null default now(),
  updated_at timestamptz not null default now()
);

create index api_keys_tenant on public.api_keys (tenant_id, created_at desc, id desc);

alter table public.api_keys enable row level security;
create policy api_keys_of_tenant on public.api_keys for select to authenticated
  using (tenant_id = ((select auth.jwt()) -> 'app_metadata' ->> 'tenant_id')::uuid);
revoke all on public.api_keys from anon, authenticated, service_role;
-- Every column but the hash.
grant select (id, tenant_id, name, role, scopes, status, expires_at, last_used_at, stream_version, created_at,
              updated_at) on public.api_keys to authenticated;
grant select, insert, update on public.api_keys to service_role;
