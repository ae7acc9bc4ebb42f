-- A chain without its last events is a whole chain: how many there were, the aggregate's row knows.

-- argument: {tenant_id, stream_id} → {valid, events_checked, first_difference?}: whether each event has the hash that
-- follows from the events before it, and whether there are as many as the row of the execution, workflow or webhook
-- says. `first_difference` is the version of the first event that does not fit or is missing. A row that is behind its
-- stream is no finding, for not every append writes it.
create or replace function public.verify_stream(argument jsonb) returns jsonb
language sql stable security invoker set search_path = ''
as $$
  with call as (
    select (argument ->> 'stream_id')::uuid as stream_id, (argument ->> 'tenant_id')::uuid as tenant_id
  ), chain as (
    select e.stream_version, e.hash = public.hash_chain(null::bytea, public.hash_content(
        e.tenant_id, e.stream_id, e.stream_version, e.id, e.event_type, e."timestamp", e.payload, e.metadata
      )) over (order by e.stream_version)
      and e.stream_version = row_number() over (order by e.stream_version) as sound
    from public.event_store e
    where e.stream_id = (argument ->> 'stream_id')::uuid and e.tenant_id = (argument ->> 'tenant_id')::uuid
  ), head as (
    select greatest(
      (select r.stream_version from public.executions r where r.id = c.stream_id and r.tenant_id = c.tenant_id),
      (select r.stream_version from public.workflows r where r.id = c.stream_id and r.tenant_id = c.tenant_id),
      (select r.stream_version from public.webhooks r where r.id = c.stream_id and r.tenant_id = c.tenant_id)
    ) as version from call c
  ), checked as (
    select count(*) as events, coalesce(max(stream_version), 0) as last,
      min(stream_version) filter (where not sound) as broken
    from chain
  )
  select jsonb_strip_nulls(jsonb_build_object(
    'valid', broken is null and coalesce(version <= last, true), 'events_checked', events,
    'first_difference', coalesce(broken, case when version > last then last + 1 end)))
  from checked, head
$$;
