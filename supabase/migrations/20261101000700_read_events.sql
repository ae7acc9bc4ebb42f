-- Reading the event store, and the drain's sweep.

-- One event as the clients see it, its payload whole wherever it is kept. No search_path is set, so that Postgres can
-- inline it; every name is qualified.
create function public.event_json(e public.event_store) returns jsonb
language sql stable security invoker
as $$
  select jsonb_build_object(
    'id', e.id, 'tenant_id', e.tenant_id, 'stream_id', e.stream_id, 'stream_type', e.stream_type,
    'stream_version', e.stream_version, 'sequence_number', e.sequence_number, 'event_type', e.event_type,
    'timestamp', to_char(e."timestamp" at time zone 'utc', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'),
    'payload', case
      when e.payload ? '$payload' then (
        select p.body from public.payloads p where p.tenant_id = e.tenant_id and p.sha256 = e.payload ->> '$payload'
      )
      else e.payload
    end,
    'metadata', e.metadata)
$$;

-- argument: {tenant_id, stream_id, after, limit} → the stream's events above version `after`, in order.
create function public.read_stream(argument jsonb) returns jsonb
language sql stable security invoker set search_path = ''
as $$
  select coalesce(jsonb_agg(public.event_json(e) order by e.stream_version), '[]')
  from (
    select * from public.event_store
    where stream_id = (argument ->> 'stream_id')::uuid and tenant_id = (argument ->> 'tenant_id')::uuid
      and stream_version > coalesce((argument ->> 'after')::integer, 0)
    order by stream_version limit least(coalesce((argument ->> 'limit')::integer, 1000), 1000)
  ) as e
$$;

-- argument: {tenant_id, after, limit, event_type?, stream_id?} → {events, position}: what the tenant's feed holds
-- above `after`, and where to go on from. Sequence numbers are drawn before their transactions commit; for an
-- instant no appender is at work while the exclusive lock is held, so nothing at or below `high` can still arrive.
create function public.read_feed(argument jsonb) returns jsonb
language plpgsql volatile security invoker set search_path = '' set lock_timeout = '2s'
as $$
declare
  high bigint;
  size integer := least(coalesce((argument ->> 'limit')::integer, 50), 1000);
  found_events jsonb;
begin
  perform pg_advisory_xact_lock(7310001);
  select coalesce(max(e.sequence_number), 0) into high from public.event_store e;
  select coalesce(jsonb_agg(public.event_json(e) order by e.sequence_number), '[]') into found_events
  from (
    select * from public.event_store f
    where f.tenant_id = (argument ->> 'tenant_id')::uuid
      and f.sequence_number > coalesce((argument ->> 'after')::bigint, 0) and f.sequence_number <= high
      and (argument ->> 'event_type' is null or f.event_type = argument ->> 'event_type')
      and (argument ->> 'stream_id' is null or f.stream_id = (argument ->> 'stream_id')::uuid)
    order by f.sequence_number limit size
  ) as e;
  return jsonb_build_object('events', found_events, 'position', case
    when jsonb_array_length(found_events) = size then (found_events -> -1 ->> 'sequence_number')::bigint
    else greatest(high, coalesce((argument ->> 'after')::bigint, 0))
  end);
end
$$;

-- argument: {after, limit} → every tenant's events in order, for rebuilding the read models.
create function public.read_history(argument jsonb) returns jsonb
language sql stable security invoker set search_path = ''
as $$
  select coalesce(jsonb_agg(public.event_json(e) order by e.sequence_number), '[]')
  from (
    select * from public.event_store where sequence_number > coalesce((argument ->> 'after')::bigint, 0)
    order by sequence_number limit least(coalesce((argument ->> 'limit')::integer, 1000), 1000)
  ) as e
$$;

-- argument: {tenant_id, stream_id} → {valid, events_checked, first_difference?}: re-computes the stream's hash chain.
create function public.verify_stream(argument jsonb) returns jsonb
language sql stable security invoker set search_path = ''
as $$
  with chain as (
    select e.stream_version, e.hash = public.hash_chain(null::bytea, public.hash_content(
        e.tenant_id, e.stream_id, e.stream_version, e.id, e.event_type, e."timestamp", e.payload, e.metadata
      )) over (order by e.stream_version)
      and e.stream_version = row_number() over (order by e.stream_version) as sound
    from public.event_store e
    where e.stream_id = (argument ->> 'stream_id')::uuid and e.tenant_id = (argument ->> 'tenant_id')::uuid
  )
  select jsonb_strip_nulls(jsonb_build_object(
    'valid', coalesce(bool_and(sound), true), 'events_checked', count(*),
    'first_difference', min(stream_version) filter (where not sound)))
  from chain
$$;

-- argument: {limit, lease_seconds} → [{tenant_id, execution_id}]: the runs that are due, each given to one caller;
-- their wake_at moves a lease ahead, so that a caller who dies is followed by another.
create function public.claim_due(argument jsonb) returns jsonb
language sql volatile security invoker set search_path = ''
as $$
  with due as (
    select id from public.executions where wake_at <= now()
    order by wake_at limit least(coalesce((argument ->> 'limit')::integer, 100), 1000)
    for update skip locked
  ), claimed as (
    update public.executions e
    set wake_at = now() + make_interval(secs => (argument ->> 'lease_seconds')::double precision)
    from due where e.id = due.id
    returning e.tenant_id, e.id
  )
  select coalesce(jsonb_agg(jsonb_build_object('tenant_id', tenant_id, 'execution_id', id)), '[]') from claimed
$$;

-- argument: {overdue_seconds} → [{invariant, execution_id, tenant_id, detail}]: runs that break a promise.
create function public.invariant_violations(argument jsonb) returns jsonb
language sql stable security invoker set search_path = ''
as $$
  select coalesce(jsonb_agg(jsonb_build_object(
    'invariant', 'due_run_is_picked_up', 'execution_id', id, 'detail', 'due since ' || wake_at::text)), '[]')
  from (
    select id, wake_at from public.executions
    where wake_at < now() - make_interval(secs => coalesce((argument ->> 'overdue_seconds')::double precision, 300))
    order by wake_at limit 100
  ) as overdue
$$;

revoke all on function public.event_json(public.event_store) from public, anon;
revoke all on function public.read_stream(jsonb) from public, anon;
revoke all on function public.read_feed(jsonb) from public, anon, authenticated;
revoke all on function public.read_history(jsonb) from public, anon, authenticated;
revoke all on function public.verify_stream(jsonb) from public, anon;
revoke all on function public.claim_due(jsonb) from public, anon, authenticated;
revoke all on function public.invariant_violations(jsonb) from public, anon, authenticated;
grant execute on function public.event_json(public.event_store) to authenticated, service_role;
grant execute on function public.read_stream(jsonb) to authenticated, service_role;
grant execute on function public.verify_stream(jsonb) to service_role;
grant execute on function public.read_feed(jsonb) to service_role;
grant execute on function public.read_history(jsonb) to service_role;
grant execute on function public.claim_due(jsonb) to service_role;
grant execute on function public.invariant_violations(jsonb) to service_role;
