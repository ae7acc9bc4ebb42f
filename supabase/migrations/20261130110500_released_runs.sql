-- A run that was held for long is not one that nobody carries on: what counts from its release on is the release.

alter table public.executions add column released_at timestamptz;

-- As it was, and the release is noted. The settings are for functions that Postgres plans while their tables are small:
-- it would take them for ones to read from the beginning for ever.
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

alter function public.hold_delivery(jsonb) set enable_seqscan = off;

-- argument: {overdue_seconds, tenant_id?} → [{invariant, execution_id?, workflow_id?, detail}]: what breaks a promise,
-- the longest overdue first, at most 100.
create or replace function public.invariant_violations(argument jsonb) returns jsonb
language sql stable security invoker set search_path = '' set enable_seqscan = off
as $$
  with call as (
    select now() - make_interval(secs => coalesce((argument ->> 'overdue_seconds')::double precision, 300)) as before,
      (argument ->> 'tenant_id')::uuid as tenant
  ), overdue as (
    (select wake_at as since, jsonb_build_object('invariant', 'due_run_is_picked_up', 'execution_id', id,
      'detail', 'due since ' || wake_at::text) as violation
    from public.executions where wake_at < (select before from call)
      and ((select tenant from call) is null or tenant_id = (select tenant from call))
    order by wake_at limit 100)
    union all
    -- An unfinished run that waits for nobody is looked at within a lease, or a little more than its effect's timeout, so
    -- the index of what is due leads to it without those that wait for long. An effect may take 10 minutes and be
    -- repeated by another drain; half an hour without any event is no effect's.
    (select moved.at, jsonb_build_object('invariant', 'begun_run_goes_on', 'execution_id', run.id,
      'detail', run.status || ', and nothing has happened since ' || moved.at::text)
    from public.executions run
    join public.event_store last on last.stream_id = run.id and last.stream_version = run.stream_version
    -- A run that was held begins anew with its release.
    cross join lateral (select greatest(last.created_at, run.released_at) as at) as moved
    where run.wake_at >= (select before from call) and run.wake_at < now() + interval '15 minutes'
      and run.status in ('queued', 'running')
      and moved.at < case run.status when 'queued' then (select before from call)
        else least((select before from call), now() - interval '30 minutes') end
      and ((select tenant from call) is null or run.tenant_id = (select tenant from call))
    order by moved.at limit 100)
    union all
    (select next_at, jsonb_build_object('invariant', 'due_schedule_is_fired', 'workflow_id', workflow_id,
      'detail', 'node ' || node_id || ' due since ' || next_at::text)
    from public.schedules where next_at < (select before from call)
      and ((select tenant from call) is null or tenant_id = (select tenant from call))
    order by next_at limit 100)
  )
  select coalesce(jsonb_agg(violation order by since), '[]') from (
    select * from overdue order by since limit 100
  ) as first
$$;
