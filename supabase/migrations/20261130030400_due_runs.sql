-- What is due, and what should have gone on. These functions' statements ask for a few rows by an index, and Postgres
-- plans them before it knows the table: it would take a small table for one to read from the beginning, and keep that
-- plan while the table grows.

-- argument: {limit, lease_seconds, now?} → [{tenant_id, execution_id} | {tenant_id, workflow_id, node_id, version,
-- cron, timezone, due_at}]: the runs and the schedules that are due, each to one caller per lease. `now` is the
-- caller's clock, by which wake_at and next_at were set as well.
create or replace function public.claim_due(argument jsonb) returns jsonb
language sql volatile security invoker set search_path = '' set enable_seqscan = off
as $$
  with call as (
    select coalesce((argument ->> 'now')::timestamptz, now()) as now,
      make_interval(secs => (argument ->> 'lease_seconds')::double precision) as lease,
      least(coalesce((argument ->> 'limit')::integer, 100), 1000) as "limit"
  ), due as (
    select id from public.executions where wake_at <= (select now from call)
    order by wake_at limit (select "limit" from call)
    for update skip locked
  ), claimed as (
    update public.executions e set wake_at = call.now + call.lease
    from call where e.id = any (array(select id from due))
    returning e.tenant_id, e.id
  ), due_schedules as (
    select workflow_id, node_id from public.schedules
    where next_at <= (select now from call) and (claimed_until is null or claimed_until <= (select now from call))
    order by next_at limit (select "limit" from call)
    for update skip locked
  ), claimed_schedules as (
    update public.schedules s set claimed_until = call.now + call.lease
    from due_schedules due, call where s.workflow_id = due.workflow_id and s.node_id = due.node_id
    returning s.*
  ), found as (
    select jsonb_build_object('tenant_id', tenant_id, 'execution_id', id) as item from claimed
    union all
    select jsonb_build_object('tenant_id', tenant_id, 'workflow_id', workflow_id, 'node_id', node_id,
      'version', version, 'cron', cron, 'timezone', timezone, 'due_at', next_at) from claimed_schedules
  )
  select coalesce(jsonb_agg(item), '[]') from found
$$;

alter function public.advance_schedules(jsonb) set enable_seqscan = off;

-- argument: {overdue_seconds, tenant_id?} → [{invariant, execution_id?, workflow_id?, detail}]: what breaks a promise,
-- of one tenant or of all, the longest overdue first, at most 100.
--
-- A run that nobody carries on does not show in its wake_at: the sweep moves that by a lease each time it brings the
-- run back, in vain. What shows is how long ago something last happened in it.
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
