-- A run that nobody carries on does not show in its wake_at: the sweep moves that by a lease each time it brings the run
-- back, in vain. What shows is how long ago something last happened in it.

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
    (select last.created_at, jsonb_build_object('invariant', 'begun_run_goes_on', 'execution_id', run.id,
      'detail', run.status || ', and nothing has happened since ' || last.created_at::text)
    from public.executions run
    join public.event_store last on last.stream_id = run.id and last.stream_version = run.stream_version
    where run.wake_at >= (select before from call) and run.wake_at < now() + interval '15 minutes'
      and run.status in ('queued', 'running')
      and last.created_at < case run.status when 'queued' then (select before from call)
        else least((select before from call), now() - interval '30 minutes') end
      and ((select tenant from call) is null or run.tenant_id = (select tenant from call))
    order by last.created_at limit 100)
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
