-- Appends say which sequence numbers they may draw, and write less. After the reads: those know what an append says
-- here, and what an older one does not say.

-- One link of a stream's chain: the hash before it, or the stream's last stored one where this is the first. As SQL it
-- was not inlined, for an aggregate calls it, and a function's call in SQL costs more than one in PL/pgSQL.
create or replace function public.hash_link(state bytea, stored bytea, content bytea) returns bytea
language plpgsql immutable parallel safe
as $$ begin return sha256(coalesce(state, stored, ''::bytea) || content); end $$;

-- calls: [{caller_id, execution_id}]. Makes those callers due that wait for an execution which has ended by now: it may
-- have done so before its caller's row said that it waits. Whoever comes second of the two, the end and the wait, holds
-- the caller's row or has waited for it, and so sees what the first has written.
create or replace function public.wake_callers(calls jsonb) returns void
language sql volatile security invoker set search_path = ''
as $$
  update public.executions e set wake_at = least(e.wake_at, now())
  where e.status = 'waiting' and e.id = any (array(
    select c.caller_id from jsonb_to_recordset(calls) as c(caller_id uuid, execution_id uuid)
    cross join lateral (
      select from public.executions called where called.id = c.execution_id and called.wake_at is null offset 0
    ) as ended
  ))
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
  callers uuid[];
  answer jsonb;
begin
  -- Says until the end of the transaction that all the sequence numbers drawn below are above this one: see feed_mark.
  -- Everybody shares this lock, so nobody waits for it.
  perform pg_advisory_xact_lock_shared(7310001, (
    (coalesce(pg_sequence_last_value('public.event_store_sequence_number_seq'), 0) << 32) >> 32
  )::integer);

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
    -- A look into the index for each stream that is not new. As a join, it was planned while the table was empty, and
    -- read all of the table from then on.
    left join lateral (
      select l.id, l.hash from public.event_store l
      where s.expected_version > 0 and l.stream_id = s.stream_id and l.stream_version = s.expected_version
        and l.tenant_id = s.tenant_id
      offset 0
    ) as last on true
    where s.expected_version = 0 or last.id is not null
  ), incoming as materialized (
    select s.tenant_id, s.stream_id, s.stream_type, e.stream_version, e.id, e.event_type, e."timestamp", e.payload,
      coalesce(e.metadata, '{}') as metadata, e.stream_version = s.expected_version + 1 as is_first,
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
                                    stream_version, metadata, hash)
    select i.id, i.event_type, i.tenant_id, i.payload, i."timestamp", i.stream_id, i.stream_type,
      i.stream_version, i.metadata, i.hash
    from incoming i where i.is_first order by i.stream_id
    on conflict do nothing
    returning stream_id
  ), rest as (
    insert into public.event_store (id, event_type, tenant_id, payload, "timestamp", stream_id, stream_type,
                                    stream_version, metadata, hash)
    select i.id, i.event_type, i.tenant_id, i.payload, i."timestamp", i.stream_id, i.stream_type,
      i.stream_version, i.metadata, i.hash
    from fence join incoming i on i.stream_id = fence.stream_id
    where not i.is_first order by i.stream_id, i.stream_version
  )
  select coalesce(array_agg(stream_id), '{}') into winners from fence;

  if argument ? 'ended' then
    -- Callers' rows are written after the others. So that two calls wait for each other but never in a circle, each
    -- locks all the rows that it will write in one order first.
    callers := array(
      select c.caller_id from jsonb_to_recordset(argument -> 'ended') as c(caller_id uuid, execution_id uuid)
      where c.execution_id = any (winners)
    );
    perform from public.executions e where e.id = any (winners || callers) order by e.id for update;
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
    where e.id = any (callers) and e.status = 'waiting';
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

-- The hash of an event covers that of the one before it, which stands beside it in the stream: a second copy of it told
-- nothing that is checked, and took 33 bytes an event and a pass over all that is appended.
alter table public.event_store drop column previous_hash;

-- argument: {tenant_id, execution_id, itself, event_type, payload, metadata, timestamp} → {cancelled, is_complete}:
-- cancels what the execution has called, all the way down, and with itself the execution too. Runs of error workflows
-- are let be: they are about what has happened. One that gets further meanwhile is tried again as it is then. The fact
-- is the caller's, in the form in which it is stored; earlier callers tell a `reason` only.
create or replace function public.cancel_called(argument jsonb) returns jsonb
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
      select child.id, true from called cross join lateral (
        select e.id from public.executions e
        where e.parent_id = called.id and e.tenant_id = (argument ->> 'tenant_id')::uuid
          and e.trigger ->> 'type' is distinct from 'error'
        offset 0
      ) as child
    )
    select jsonb_agg(n.whole) into open from (
      select unfinished.whole from called cross join lateral (
        select to_jsonb(e) as whole from public.executions e
        where called.is_meant and e.id = called.id and e.wake_at is not null
        offset 0
      ) as unfinished
      order by called.id limit 500
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
        'stream_id', id, 'stream_version', version + 1, 'id', event_id,
        'event_type', coalesce(argument ->> 'event_type', 'ExecutionCancelled'), 'timestamp', argument ->> 'timestamp',
        'payload', coalesce(argument -> 'payload', jsonb_build_object('reason', argument ->> 'reason')),
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
