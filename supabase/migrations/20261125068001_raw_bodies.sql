-- Raw bytes of accepted deliveries, once per tenant and hash, where their webhook keeps them.

-- The ledger, each delivery once, and the hint of when its webhook was last used. Lines of deliveries that started no
-- run (execution_id unset) belong to no stream, and are written whoever wins.
create or replace function public.write_deliveries(deliveries jsonb, winners uuid[]) returns void
language plpgsql volatile security invoker set search_path = ''
as $$
declare
  lines jsonb;
begin
  insert into public.delivery_bodies (tenant_id, sha256, body)
  select distinct on ((d ->> 'tenant_id'), (d ->> 'body_sha256'))
    (d ->> 'tenant_id')::uuid, d ->> 'body_sha256', d ->> 'body'
  from jsonb_array_elements(deliveries) as d
  where d ->> 'body' is not null and (d ->> 'execution_id')::uuid = any (winners)
  order by d ->> 'tenant_id', d ->> 'body_sha256'
  on conflict do nothing;

  with delivered as (
    insert into public.webhook_deliveries (id, tenant_id, webhook_id, received_at, verdict, reason, delivery_key,
      event_type, execution_id, headers, body_sha256, size_bytes)
    select d.id, d.tenant_id, d.webhook_id, d.received_at, d.verdict, d.reason, d.delivery_key, d.event_type,
      d.execution_id, coalesce(d.headers, '{}'), d.body_sha256, d.size_bytes
    from jsonb_populate_recordset(null::public.webhook_deliveries, deliveries) as d
    where d.execution_id = any (winners) order by d.id
    on conflict (id) do nothing
    returning webhook_id, received_at
  ), latest as (
    select webhook_id, max(received_at) as received_at from delivered group by webhook_id
  ), free as (
    -- A hint is not worth waiting for: a webhook that another drain is writing keeps that drain's time.
    select w.id from public.webhooks w where w.id in (select webhook_id from latest) for update skip locked
  )
  update public.webhooks w set last_triggered_at = greatest(w.last_triggered_at, latest.received_at)
  from latest join free on free.id = latest.webhook_id
  where w.id = latest.webhook_id;

  select jsonb_agg(d) into lines from jsonb_array_elements(deliveries) as d where d ->> 'execution_id' is null;
  if lines is not null then
    perform public.record_deliveries(jsonb_build_object('deliveries', lines));
  end if;
end
$$;
