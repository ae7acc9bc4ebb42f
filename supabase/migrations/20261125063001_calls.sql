-- Runs that call others: a called run's end makes the run that waits for it due, in the same transaction.

-- The runs that a run has called.
create index executions_called on public.executions (parent_id) where parent_id is not null;

-- calls: [{caller_id, execution_id}]. Makes those callers due that wait for an execution which has ended by now: it may
-- have done so before its caller's row said that it waits. Whoever comes second of the two, the end and the wait, holds
-- the caller's row or has waited for it, and so sees what the first has written.
create function public.wake_callers(calls jsonb) returns void
language sql volatile security invoker set search_path = ''
as $$
  update public.executions e set wake_at = least(e.wake_at, now())
  where e.status = 'waiting' and e.id in (
    select c.caller_id from jsonb_to_recordset(calls) as c(caller_id uuid, execution_id uuid)
    join public.executions called on called.id = c.execution_id and called.wake_at is null
  )
$$;

-- argument:
--   streams   [{tenant_id, stream_id, stream_type, expected_version, first_event_id, size}], each stream once
--   events    [{stream_id, stream_version, id, event_type, timestamp, payload, metadata?}]
--   and rows that follow from them, each optional: payloads, workflows, versions, webhooks, api_keys, executions (the
--   aggregates as they are after their events) and deliveries; calls [{caller_id, execution_id}], what waiting
--   executions wait for, and ended [{caller_id, execution_id}], called executions that end here.
-- returns:
--   {results: [{stream_id, status: appended|duplicate|conflict, version}]} in the order of the streams.
--
-- Each stream is judged alone: a conflict in one fails no other, and none of its rows is written. The first event of
-- a stream is its fence: whoever inserts it owns the versions after it, so two writers at the same expected version
-- need no lock but the unique index. Inserts go in key order, so that two calls over the same streams wait for each
-- other but never in a circle.
create or replace function public.append_events(argument jsonb) returns jsonb
language plpgsql volatile security invoker set search_path = ''
as $$
declare
  winners uuid[];
  answer jsonb;
begin
  -- Readers of the feed take this lock alone to learn a position below which nothing can still arrive.
  perform pg_advisory_xact_lock_shared(7310001);

  if argument ? 'payloads' then
    insert into public.payloads (tenant_id, sha256, body, size_bytes)
    select p.tenant_id, p.sha256, p.body, p.size_bytes
    from jsonb_to_recordset(argument -> 'payloads') as p(tenant_id uuid, sha256 text, body jsonb, size_bytes integer)
    order by p.tenant_id, p.sha256
    on conflict do nothing;
  end if;

  with streams as materialized (
    select s.*, last.hash as stored_hash
    from jsonb_to_recordset(argument -> 'streams')
      as s(tenant_id uuid, stream_id uuid, stream_type text, expected_version integer)
    left join public.event_store last
      on last.stream_id = s.stream_id and last.stream_version = s.expected_version and last.tenant_id = s.tenant_id
    where s.expected_version = 0 or last.id is not null
  ), incoming as materialized (
    select s.tenant_id, s.stream_id, s.stream_type, e.stream_version, e.id, e.event_type, e."timestamp", e.payload,
      coalesce(e.metadata, '{}') as metadata, s.stored_hash, e.stream_version = s.expected_version + 1 as is_first,
      public.hash_chain(s.stored_hash, public.hash_content(
        s.tenant_id, s.stream_id, e.stream_version, e.id, e.event_type, e."timestamp", e.payload,
        coalesce(e.metadata, '{}')
      )) over (partition by s.stream_id order by e.stream_version) as hash
    from streams s
    join jsonb_to_recordset(argument -> 'events')
      as e(stream_id uuid, stream_version integer, id uuid, event_type text, "timestamp" timestamptz, payload jsonb,
           metadata jsonb) on e.stream_id = s.stream_id
  ), fence as (
    insert into public.event_store (id, event_type, tenant_id, payload, "timestamp", stream_id, stream_type,
                                    stream_version, metadata, previous_hash, hash)
    select i.id, i.event_type, i.tenant_id, i.payload, i."timestamp", i.stream_id, i.stream_type,
      i.stream_version, i.metadata, i.stored_hash, i.hash
    from incoming i where i.is_first order by i.stream_id
    on conflict do nothing
    returning stream_id
  ), rest as (
    insert into public.event_store (id, event_type, tenant_id, payload, "timestamp", stream_id, stream_type,
                                    stream_version, metadata, previous_hash, hash)
    select i.id, i.event_type, i.tenant_id, i.payload, i."timestamp", i.stream_id, i.stream_type,
      i.stream_version, i.metadata, i.previous_hash, i.hash
    from fence
    join (
      select *, lag(hash) over (partition by stream_id order by stream_version) as previous_hash from incoming
    ) as i on i.stream_id = fence.stream_id
    where not i.is_first order by i.stream_id, i.stream_version
  )
  select coalesce(array_agg(stream_id), '{}') into winners from fence;

  if argument ? 'ended' then
    -- Callers' rows are written after the others. So that two calls wait for each other but never in a circle, each
    -- locks all the rows that it will write in one order first.
    perform from public.executions e
    where e.id = any (winners) or e.id in (
      select c.caller_id from jsonb_to_recordset(argument -> 'ended') as c(caller_id uuid, execution_id uuid)
      where c.execution_id = any (winners)
    )
    order by e.id for update;
  end if;
  if argument ? 'executions' then
    insert into public.executions
    select r.* from jsonb_populate_recordset(null::public.executions, argument -> 'executions') as r
    where r.id = any (winners) order by r.id
    on conflict (id) do update set
      workflow_version = excluded.workflow_version, status = excluded.status, error = excluded.error,
      wake_at = excluded.wake_at, stream_version = excluded.stream_version, started_at = excluded.started_at,
      finished_at = excluded.finished_at;
  end if;
  if argument ? 'ended' then
    -- One that is not waiting is in a drain's hands, which looks for itself before it lets go.
    update public.executions e set wake_at = least(e.wake_at, now())
    from jsonb_to_recordset(argument -> 'ended') as c(caller_id uuid, execution_id uuid)
    where e.id = c.caller_id and c.execution_id = any (winners) and e.status = 'waiting';
  end if;
  if argument ? 'calls' then
    perform public.wake_callers(argument -> 'calls');
  end if;
  if argument ? 'deliveries' then
    perform public.write_deliveries(argument -> 'deliveries', winners);
  end if;
  if argument ? 'workflows' then
    perform public.write_workflows(argument -> 'workflows', coalesce(argument -> 'versions', '[]'), winners);
  end if;
  if argument ? 'webhooks' then
    perform public.write_webhooks(argument -> 'webhooks', winners);
  end if;
  if argument ? 'api_keys' then
    perform public.write_api_keys(argument -> 'api_keys', winners);
  end if;

  -- A statement of its own, so that it sees what a concurrent winner has committed meanwhile.
  select jsonb_agg(jsonb_build_object('stream_id', s.stream_id, 'status', v.status, 'version', case v.status
      when 'conflict' then coalesce((
        select e.stream_version from public.event_store e
        where e.stream_id = s.stream_id and e.tenant_id = s.tenant_id order by e.stream_version desc limit 1
      ), 0)
      else s.expected_version + s.size
    end) order by s.position)
  into answer
  from rows from (
    jsonb_to_recordset(argument -> 'streams')
      as (tenant_id uuid, stream_id uuid, expected_version integer, first_event_id uuid, size integer)
  ) with ordinality as s(tenant_id, stream_id, expected_version, first_event_id, size, position)
  cross join lateral (
    select case
      when s.stream_id = any (winners) then 'appended'
      when exists (
        select from public.event_store e
        where e.stream_id = s.stream_id and e.stream_version = s.expected_version + 1 and e.id = s.first_event_id
          and e.tenant_id = s.tenant_id
      ) then 'duplicate'
      else 'conflict'
    end as status
  ) as v;
  return jsonb_build_object('results', coalesce(answer, '[]'));
end
$$;

-- argument: {tenant_id, execution_ids} → the last event of each of these executions that has ended.
create function public.read_outcomes(argument jsonb) returns jsonb
language sql stable security invoker set search_path = ''
as $$
  select coalesce(jsonb_agg(public.event_json(e)), '[]')
  from public.executions x
  join public.event_store e on e.stream_id = x.id and e.stream_version = x.stream_version
  where x.tenant_id = (argument ->> 'tenant_id')::uuid and x.wake_at is null
    and x.id in (select value::uuid from jsonb_array_elements_text(argument -> 'execution_ids'))
$$;

-- argument: {tenant_id, execution_id, stream_version, wake_at, calls} → {}: a waiting execution is looked at again then,
-- unless it has got further than this version, or what it calls has ended.
create function public.rest_execution(argument jsonb) returns jsonb
language plpgsql volatile security invoker set search_path = ''
as $$
begin
  update public.executions set wake_at = (argument ->> 'wake_at')::timestamptz
  where id = (argument ->> 'execution_id')::uuid and tenant_id = (argument ->> 'tenant_id')::uuid
    and stream_version = (argument ->> 'stream_version')::integer and status = 'waiting';
  perform public.wake_callers(argument -> 'calls');
  return '{}';
end
$$;

-- argument: {tenant_id, execution_id, itself, reason, metadata, timestamp} → {cancelled, is_complete}: cancels what the
-- execution has called, all the way down, and with itself the execution too. Runs of error workflows are let be: they
-- are about what has happened. One that gets further meanwhile is tried again as it is then.
create function public.cancel_called(argument jsonb) returns jsonb
language plpgsql volatile security invoker set search_path = ''
as $$
declare
  open jsonb;
  answer jsonb;
  count_cancelled integer := 0;
begin
  for turn in 1..20 loop
    with recursive called as (
      select e.id, e.id <> (argument ->> 'execution_id')::uuid or (argument ->> 'itself')::boolean as is_meant
      from public.executions e
      where e.id = (argument ->> 'execution_id')::uuid and e.tenant_id = (argument ->> 'tenant_id')::uuid
      union
      select e.id, true from public.executions e join called on e.parent_id = called.id
      where e.tenant_id = (argument ->> 'tenant_id')::uuid and e.trigger ->> 'type' is distinct from 'error'
    )
    select jsonb_agg(n.whole) into open from (
      select to_jsonb(e) as whole from public.executions e join called on called.id = e.id and called.is_meant
      where e.wake_at is not null order by e.id limit 500
    ) as n;
    if open is null then
      return jsonb_build_object('cancelled', count_cancelled, 'is_complete', true);
    end if;
    with one as materialized (
      select e, e ->> 'id' as id, (e ->> 'stream_version')::integer as version, gen_random_uuid() as event_id
      from jsonb_array_elements(open) as e
    )
    select public.append_events(jsonb_build_object(
      'streams', jsonb_agg(jsonb_build_object(
        'tenant_id', e ->> 'tenant_id', 'stream_id', id, 'stream_type', 'execution', 'expected_version', version,
        'first_event_id', event_id, 'size', 1)),
      'events', jsonb_agg(jsonb_build_object(
        'stream_id', id, 'stream_version', version + 1, 'id', event_id, 'event_type', 'ExecutionCancelled',
        'timestamp', argument ->> 'timestamp', 'payload', jsonb_build_object('reason', argument ->> 'reason'),
        'metadata', argument -> 'metadata')),
      'executions', jsonb_agg(e || jsonb_build_object(
        'status', 'cancelled', 'wake_at', null, 'finished_at', argument ->> 'timestamp', 'stream_version', version + 1)),
      'ended', jsonb_agg(jsonb_build_object('caller_id', e ->> 'parent_id', 'execution_id', id))
    )) into answer from one;
    count_cancelled := count_cancelled + (
      select count(*) from jsonb_array_elements(answer -> 'results') as r where r ->> 'status' = 'appended'
    );
  end loop;
  return jsonb_build_object('cancelled', count_cancelled, 'is_complete', false);
end
$$;

revoke all on function public.wake_callers(jsonb) from public, anon, authenticated;
revoke all on function public.read_outcomes(jsonb) from public, anon, authenticated;
revoke all on function public.rest_execution(jsonb) from public, anon, authenticated;
revoke all on function public.cancel_called(jsonb) from public, anon, authenticated;
grant execute on function public.wake_callers(jsonb) to service_role;
grant execute on function public.read_outcomes(jsonb) to service_role;
grant execute on function public.rest_execution(jsonb) to service_role;
grant execute on function public.cancel_called(jsonb) to service_role;
