-- Schedules of published workflows: each row is one schedule trigger and the tick that it is due at next.

create table public.schedules (
  workflow_id uuid not null,
  node_id text not null,
  tenant_id uuid not null,
  -- The published version that has it; the runs that it starts are pinned to this one.
  version integer not null,
  cron text not null,
  timezone text not null,
  -- Unset while no published version has the node, and when the schedule never comes again.
  next_at timestamptz,
  -- Until then one drain takes care of the tick.
  claimed_until timestamptz,
  primary key (workflow_id, node_id)
);

create index schedules_due on public.schedules (next_at) where next_at is not null;
create index schedules_tenant on public.schedules (tenant_id);

alter table public.schedules enable row level security;
create policy schedules_of_tenant on public.schedules for select to authenticated
  using (tenant_id = ((select auth.jwt()) -> 'app_metadata' ->> 'tenant_id')::uuid);
revoke all on public.schedules from anon, authenticated, service_role;
grant select on public.schedules to authenticated;
grant select, insert, update on public.schedules to service_role;

-- A workflow's row may bring `schedules`, those of what is published now: [{node_id, version, cron, timezone, next_at}].
create or replace function public.write_workflows(workflows jsonb, versions jsonb, winners uuid[]) returns void
language plpgsql volatile security invoker set search_path = ''
as $$
begin
  insert into public.workflows
  select r.* from jsonb_populate_recordset(null::public.workflows, workflows) as r
  where r.id = any (winners) order by r.id
  on conflict (id) do update set
    name = excluded.name, description = excluded.description, nodes = excluded.nodes, edges = excluded.edges,
    version = excluded.version, status = excluded.status, tags = excluded.tags, settings = excluded.settings,
    published_version = excluded.published_version, stream_version = excluded.stream_version,
    updated_at = excluded.updated_at;

  insert into public.workflow_versions
  select v.* from jsonb_populate_recordset(null::public.workflow_versions, versions) as v
  where v.workflow_id = any (winners) order by v.workflow_id, v.version
  on conflict (workflow_id, version) do update set published_at = excluded.published_at;

  update public.schedules s set next_at = null, claimed_until = null
  from jsonb_array_elements(workflows) as w
  where w ? 'schedules' and s.workflow_id = (w ->> 'id')::uuid and s.workflow_id = any (winners)
    and not exists (select from jsonb_array_elements(w -> 'schedules') as n where n ->> 'node_id' = s.node_id);

  insert into public.schedules (workflow_id, node_id, tenant_id, version, cron, timezone, next_at)
  select (w ->> 'id')::uuid, n.node_id, (w ->> 'tenant_id')::uuid, n.version, n.cron, n.timezone, n.next_at
  from jsonb_array_elements(workflows) as w
  cross join lateral jsonb_populate_recordset(null::public.schedules, coalesce(w -> 'schedules', '[]')) as n
  where (w ->> 'id')::uuid = any (winners) order by 1, 2
  on conflict (workflow_id, node_id) do update set
    version = excluded.version, cron = excluded.cron, timezone = excluded.timezone,
    -- The tick that an unchanged schedule is waiting for stays: it may be due at this moment.
    next_at = case when (schedules.cron, schedules.timezone) = (excluded.cron, excluded.timezone)
              then coalesce(schedules.next_at, excluded.next_at) else excluded.next_at end,
    claimed_until = null;
end
$$;

-- argument: {limit, lease_seconds, now?} → [{tenant_id, execution_id} | {tenant_id, workflow_id, node_id, version, cron,
-- timezone, due_at}]: the runs and the schedules that are due, each to one caller per lease. `now` is the caller's
-- clock, by which wake_at and next_at were set as well.
create or replace function public.claim_due(argument jsonb) returns jsonb
language sql volatile security invoker set search_path = ''
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
    from due, call where e.id = due.id
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

-- argument: {schedules: [{workflow_id, node_id, due_at, next_at}]} → {advanced}: the ticks at `due_at` have started
-- their runs. A schedule that has changed meanwhile stays as it is.
create function public.advance_schedules(argument jsonb) returns jsonb
language plpgsql volatile security invoker set search_path = ''
as $$
declare
  advanced integer;
begin
  update public.schedules s set next_at = a.next_at, claimed_until = null
  from jsonb_to_recordset(argument -> 'schedules')
    as a(workflow_id uuid, node_id text, due_at timestamptz, next_at timestamptz)
  where s.workflow_id = a.workflow_id and s.node_id = a.node_id and s.next_at = a.due_at;
  get diagnostics advanced = row_count;
  return jsonb_build_object('advanced', advanced);
end
$$;

-- argument: {overdue_seconds} → [{invariant, execution_id?, workflow_id?, detail}]: what breaks a promise.
create or replace function public.invariant_violations(argument jsonb) returns jsonb
language sql stable security invoker set search_path = ''
as $$
  with call as (
    select now() - make_interval(secs => coalesce((argument ->> 'overdue_seconds')::double precision, 300)) as before
  ), overdue as (
    (select wake_at as since, jsonb_build_object('invariant', 'due_run_is_picked_up', 'execution_id', id,
      'detail', 'due since ' || wake_at::text) as violation
    from public.executions where wake_at < (select before from call) order by wake_at limit 100)
    union all
    (select next_at, jsonb_build_object('invariant', 'due_schedule_is_fired', 'workflow_id', workflow_id,
      'detail', 'node ' || node_id || ' due since ' || next_at::text)
    from public.schedules where next_at < (select before from call) order by next_at limit 100)
  )
  select coalesce(jsonb_agg(violation order by since), '[]') from (
    select * from overdue order by since limit 100
  ) as first
$$;

revoke all on function public.advance_schedules(jsonb) from public, anon, authenticated;
grant execute on function public.advance_schedules(jsonb) to service_role;
