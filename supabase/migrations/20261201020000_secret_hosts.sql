-- Secrets are bound to the hosts that they may be sent to.

-- A list of texts; null where the secret was set before there were bindings. Adding it rewrites no row.
alter table public.secrets add column allowed_hosts jsonb check (jsonb_typeof(allowed_hosts) = 'array');
grant select (allowed_hosts) on public.secrets to authenticated;

-- argument: that of append_events, with `secrets`, the rows that follow from the events, and their values.
-- returns: what append_events returns.
-- Of its own, so that the one way to write stays as it is for all that is written often. A value that does not come with
-- its row, as when rows are rebuilt from events, is kept; a deleted secret's is not. A binding is kept likewise: older
-- functions, which know of none, must not take it away.
create or replace function public.append_secrets(argument jsonb) returns jsonb
language plpgsql volatile security invoker set search_path = ''
as $$
declare
  answer jsonb := public.append_events(argument - 'secrets');
begin
  insert into public.secrets
    (id, tenant_id, name, value, status, stream_version, created_at, updated_at, allowed_hosts)
  select r.id, r.tenant_id, r.name, r.value, r.status, r.stream_version, r.created_at, r.updated_at, r.allowed_hosts
  from jsonb_populate_recordset(null::public.secrets, argument -> 'secrets') as r
  join jsonb_to_recordset(answer -> 'results') as o(stream_id uuid, status text)
    on o.stream_id = r.id and o.status = 'appended'
  order by r.id
  on conflict (id) do update set
    value = case excluded.status when 'deleted' then null else coalesce(excluded.value, secrets.value) end,
    allowed_hosts = case excluded.status when 'deleted' then null
      else coalesce(excluded.allowed_hosts, secrets.allowed_hosts) end,
    status = excluded.status, stream_version = excluded.stream_version, created_at = excluded.created_at,
    updated_at = excluded.updated_at;
  return answer;
end
$$;

revoke all on function public.append_secrets(jsonb) from public, anon, authenticated;
grant execute on function public.append_secrets(jsonb) to service_role;
