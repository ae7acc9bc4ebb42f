-- What breaks a promise, of one tenant or of all: an administrator is shown his own, with their ids.

-- argument: {overdue_seconds, tenant_id?} → [{invariant, execution_id?, workflow_id?, detail}]: what breaks a promise,
-- the longest overdue first, at most 100.
create or replace function public.invariant_violations(argument jsonb) returns jsonb
language sql stable security invoker set search_path = ''
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
