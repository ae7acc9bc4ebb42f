-- The ledger takes deliveries that started no run: refused, filtered, repeated, throttled. Floods come as counts.

-- How many deliveries a line stands for: more than one where a flood was counted instead of listed.
alter table public.webhook_deliveries add column count integer not null default 1;

-- Bodies of such deliveries as they were sent, once per tenant and hash; those that started a run are in its events.
create table public.delivery_bodies (
  tenant_id uuid not null,
  sha256 text not null,
  -- Base64 of the bytes.
  body text not null,
  created_at timestamptz not null default now(),
  primary key (tenant_id, sha256)
);

alter table public.delivery_bodies enable row level security;
create policy delivery_bodies_of_tenant on public.delivery_bodies for select to authenticated
  using (tenant_id = ((select auth.jwt()) -> 'app_metadata' ->> 'tenant_id')::uuid);
revoke all on public.delivery_bodies from anon, authenticated, service_role;
grant select on public.delivery_bodies to authenticated;
grant select, insert on public.delivery_bodies to service_role;

-- argument: {deliveries: [row of webhook_deliveries, with body where it is kept, and with the count that it adds]}
-- → {written}. Each line is written once by its id, so that a batch may be repeated; a count's line (execution_id,
-- body and key unset, count above one) is made anew for every batch.
create function public.record_deliveries(argument jsonb) returns jsonb
language plpgsql security invoker set search_path = ''
as $$
declare
  written integer;
begin
  insert into public.delivery_bodies (tenant_id, sha256, body)
  select distinct on ((d ->> 'tenant_id'), (d ->> 'body_sha256'))
    (d ->> 'tenant_id')::uuid, d ->> 'body_sha256', d ->> 'body'
  from jsonb_array_elements(argument -> 'deliveries') as d
  where d ->> 'body' is not null
  on conflict do nothing;

  insert into public.webhook_deliveries (id, tenant_id, webhook_id, received_at, verdict, reason, delivery_key,
    event_type, execution_id, headers, body_sha256, size_bytes, count)
  select d.id, d.tenant_id, d.webhook_id, d.received_at, d.verdict, d.reason, d.delivery_key, d.event_type,
    d.execution_id, coalesce(d.headers, '{}'), d.body_sha256, coalesce(d.size_bytes, 0), coalesce(d.count, 1)
  from jsonb_populate_recordset(null::public.webhook_deliveries, argument -> 'deliveries') as d
  on conflict (id) do nothing;
  get diagnostics written = row_count;
  return jsonb_build_object('written', written);
end
$$;

revoke all on function public.record_deliveries(jsonb) from public, anon, authenticated;
grant execute on function public.record_deliveries(jsonb) to service_role;
