-- The ledger says whether a delivery verified; a webhook may hold its deliveries; what an unpublished workflow was sent
-- has a line.

-- Unset in lines that are older than this column.
alter table public.webhook_deliveries add column verified boolean;
alter table public.webhook_deliveries drop constraint webhook_deliveries_verdict_check;
alter table public.webhook_deliveries add constraint webhook_deliveries_verdict_check
  check (verdict in ('accepted', 'duplicate', 'filtered', 'throttled', 'rejected_signature', 'rejected_stale',
                     'rejected_malformed', 'paused', 'unpublished', 'held', 'handshake'));

alter table public.webhooks drop constraint webhooks_status_check;
alter table public.webhooks add constraint webhooks_status_check
  check (status in ('active', 'paused', 'holding', 'awaiting_secret', 'deleted'));

-- A held delivery is a run that is queued and not due: what is stored is all that its release needs. The column is how
-- many bytes it was sent with, unset from the release on.
alter table public.executions add column held_bytes integer;
-- A run that was held for long is not one that nobody carries on: what counts from its release on is the release.
alter table public.executions add column released_at timestamptz;
create index executions_held on public.executions (webhook_id) include (held_bytes)
  where held_bytes is not null and status = 'queued';

-- argument: {webhook_id, execution_id, size_bytes, most, most_bytes, append: the argument of append_events}
-- → {status, results?}: `held` with the results of the append, `full` where the webhook holds as many deliveries or
-- bytes as it may, or the webhook's present status where that is no longer `holding`.
--
-- The webhook's row is locked against a change of its status, which releases what is held: the delivery is either seen
-- by that release or not held at all. Deliveries do not wait for each other, so that the bounds may be passed by as
-- many as come at once. The setting is for statements that Postgres plans while their tables are small, here and below:
-- it would take them for ones to read from the beginning for ever.
create function public.hold_delivery(argument jsonb) returns jsonb
language plpgsql volatile security invoker set search_path = '' set enable_seqscan = off
as $$
declare
  webhook uuid := (argument ->> 'webhook_id')::uuid;
  execution uuid := (argument ->> 'execution_id')::uuid;
  is_full boolean;
  present text;
  results jsonb;
begin
  select w.status into present from public.webhooks w where w.id = webhook for share;
  if present is distinct from 'holding' then
    return jsonb_build_object('status', coalesce(present, 'deleted'));
  end if;
  if not exists (select from public.executions e where e.id = execution) then
    select count(*) >= (argument ->> 'most')::bigint
      or coalesce(sum(e.held_bytes), 0) + (argument ->> 'size_bytes')::bigint > (argument ->> 'most_bytes')::bigint
    into is_full
    from public.executions e where e.webhook_id = webhook and e.held_bytes is not null and e.status = 'queued';
    if is_full then
      return jsonb_build_object('status', 'full');
    end if;
  end if;
  results := public.append_events(argument -> 'append') -> 'results';
  if results -> 0 ->> 'status' = 'appended' then
    update public.executions set held_bytes = (argument ->> 'size_bytes')::integer where id = execution;
  end if;
  return jsonb_build_object('status', 'held', 'results', results);
end
$$;

-- argument: {} → {}: after the rows of executions were made anew from the events, in which a hold has no part, what is
-- held is not due.
create function public.keep_held(argument jsonb) returns jsonb
language plpgsql volatile security invoker set search_path = ''
as $$
begin
  update public.executions set wake_at = '9999-01-01T00:00:00Z' where held_bytes is not null and status = 'queued';
  return '{}';
end
$$;

-- Secrets are no facts: they come beside the webhook's row and are kept where none is given, so that a rebuild from
-- events leaves them alone. A webhook that is active again, or deleted, has its held deliveries run, in the order in
-- which they came: they are due, and their release is noted, by the same transaction that changes its status.
create or replace function public.write_webhooks(webhooks jsonb, winners uuid[]) returns void
language plpgsql volatile security invoker set search_path = '' set enable_seqscan = off
as $$
begin
  insert into public.webhooks (id, tenant_id, name, workflow_id, node_id, provider, config, status, secret,
    previous_secret, previous_secret_expires_at, stream_version, created_at, updated_at)
  select r.id, r.tenant_id, r.name, r.workflow_id, r.node_id, r.provider, r.config, r.status, r.secret,
    r.previous_secret, r.previous_secret_expires_at, r.stream_version, r.created_at, r.updated_at
  from jsonb_populate_recordset(null::public.webhooks, webhooks) as r
  where r.id = any (winners) order by r.id
  on conflict (id) do update set
    name = excluded.name, workflow_id = excluded.workflow_id, node_id = excluded.node_id,
    provider = excluded.provider, config = excluded.config, status = excluded.status,
    previous_secret = case when excluded.secret is null then webhooks.previous_secret
                           else excluded.previous_secret end,
    secret = coalesce(excluded.secret, webhooks.secret),
    previous_secret_expires_at = excluded.previous_secret_expires_at,
    stream_version = excluded.stream_version, updated_at = excluded.updated_at;

  -- A statement of its own, so that it sees what was held while the row's lock was waited for.
  update public.executions e
  set held_bytes = null, released_at = now(), wake_at = now() + held.place * interval '1 microsecond'
  from (
    select x.id, row_number() over (order by x.created_at, x.id) as place
    from jsonb_populate_recordset(null::public.webhooks, webhooks) as r
    join public.executions x on x.webhook_id = r.id
    where r.id = any (winners) and r.status in ('active', 'deleted')
      and x.held_bytes is not null and x.status = 'queued'
  ) as held
  where e.id = held.id and e.status = 'queued';
end
$$;

-- argument: {deliveries: [row of webhook_deliveries, with body where it is kept, and with the count that it adds]}
-- → {written}. Each line is written once by its id, so that a batch may be repeated; a count's line (execution_id,
-- body and key unset, count above one) is made anew for every batch.
create or replace function public.record_deliveries(argument jsonb) returns jsonb
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
  order by d ->> 'tenant_id', d ->> 'body_sha256'
  on conflict do nothing;

  insert into public.webhook_deliveries (id, tenant_id, webhook_id, received_at, verdict, reason, delivery_key,
    event_type, execution_id, headers, body_sha256, size_bytes, count, method, query, verified)
  select d.id, d.tenant_id, d.webhook_id, d.received_at, d.verdict, d.reason, d.delivery_key, d.event_type,
    d.execution_id, coalesce(d.headers, '{}'), d.body_sha256, coalesce(d.size_bytes, 0), coalesce(d.count, 1),
    d.method, d.query, d.verified
  from jsonb_populate_recordset(null::public.webhook_deliveries, argument -> 'deliveries') as d
  order by d.id
  on conflict (id) do nothing;
  get diagnostics written = row_count;
  return jsonb_build_object('written', written);
end
$$;

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
      event_type, execution_id, headers, body_sha256, size_bytes, verified)
    select d.id, d.tenant_id, d.webhook_id, d.received_at, d.verdict, d.reason, d.delivery_key, d.event_type,
      d.execution_id, coalesce(d.headers, '{}'), d.body_sha256, d.size_bytes, d.verified
    from jsonb_populate_recordset(null::public.webhook_deliveries, deliveries) as d
    where d.execution_id = any (winners) order by d.id
    on conflict (id) do nothing
    returning webhook_id, received_at
  ), latest as (
    select webhook_id, max(received_at) as received_at from delivered group by webhook_id
  ), free as (
    -- A hint is not worth waiting for: a webhook that another drain is writing keeps that drain's time. Nor is it worth
    -- a row for each batch: under load a webhook's time is up to five seconds behind.
    select w.id from public.webhooks w join latest on latest.webhook_id = w.id
    where w.last_triggered_at is null or w.last_triggered_at < latest.received_at - interval '5 seconds'
    for update of w skip locked
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

revoke all on function public.hold_delivery(jsonb) from public, anon, authenticated;
revoke all on function public.keep_held(jsonb) from public, anon, authenticated;
grant execute on function public.hold_delivery(jsonb) to service_role;
grant execute on function public.keep_held(jsonb) to service_role;
