-- Reading never makes a writer wait; one look into an index for each thing that is looked for, whatever the table held
-- when the statement was planned; and events are described without a function call for each.

-- As SQL it was not inlined, for an aggregate calls it, and a function's call in SQL costs more than one in PL/pgSQL.
create or replace function public.hash_link(state bytea, stored bytea, content bytea) returns bytea
language plpgsql immutable parallel safe
as $$ begin return sha256(coalesce(state, stored, ''::bytea) || content); end $$;

-- One event as the clients see it; `body` is its payload where that is kept in payloads. Without a search_path and
-- without a sub-select, so that Postgres inlines it; every name is qualified.
drop function public.event_json(public.event_store);
create function public.event_json(e public.event_store, body jsonb) returns jsonb
language sql stable security invoker
as $$
  select jsonb_build_object(
    'id', e.id, 'tenant_id', e.tenant_id, 'stream_id', e.stream_id, 'stream_type', e.stream_type,
    'stream_version', e.stream_version, 'sequence_number', e.sequence_number, 'event_type', e.event_type,
    'timestamp', to_char(e."timestamp" at time zone 'utc', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'),
    'payload_sha256', e.payload ->> '$payload',
    'payload', case when e.payload ? '$payload' then body else e.payload end,
    'metadata', e.metadata)
$$;

-- argument: {tenant_id, stream_id, after, limit} → the stream's events above version `after`, in order.
create or replace function public.read_stream(argument jsonb) returns jsonb
language sql stable security invoker set search_path = '' set plan_cache_mode = force_custom_plan
as $$
  select coalesce(jsonb_agg(public.event_json(e, p.body) order by e.stream_version), '[]')
  from (
    select * from public.event_store
    where stream_id = (argument ->> 'stream_id')::uuid and tenant_id = (argument ->> 'tenant_id')::uuid
      and stream_version > coalesce((argument ->> 'after')::integer, 0)
    order by stream_version limit least(coalesce((argument ->> 'limit')::integer, 1000), 1000)
  ) as e
  left join lateral (
    select body from public.payloads where tenant_id = e.tenant_id and sha256 = e.payload ->> '$payload' offset 0
  ) as p on true
$$;

-- → the highest sequence number below which nothing can still arrive. Numbers are drawn before their transactions
-- commit, and may be committed in any order. But every appender holds, from before it draws until it has committed, a
-- lock whose second key is (the low half of) a number that was the last one then. So, looking first at the last number
-- and then at the locks: whoever has drawn a number up to that one either still says so, or has ended, and the
-- statement after this function sees what he wrote. That needs a new snapshot for each statement.
create function public.feed_mark() returns bigint
language plpgsql volatile security invoker set search_path = ''
as $$
declare
  high bigint := coalesce(pg_sequence_last_value('public.event_store_sequence_number_seq'), 0);
begin
  if current_setting('transaction_isolation') <> 'read committed' then
    raise exception 'the feed is read in read committed transactions' using errcode = '25001';
  end if;
  return least(high, (
    select min(case
      -- An appender that began before this migration tells no number.
      when l.objsubid = 1 then 0
      else high - ((high - l.objid::bigint + 2147483648) % 4294967296 - 2147483648)
    end)
    from pg_locks l
    where l.locktype = 'advisory' and l.granted
      and l.database = (select d.oid from pg_database d where d.datname = current_database())
      and ((l.objsubid = 2 and l.classid = 7310001) or (l.objsubid = 1 and l.classid = 0 and l.objid = 7310001))
  ));
end
$$;

-- argument: {tenant_id, after, limit, event_type?, stream_id?} → {events, position}: what the tenant's feed holds
-- above `after`, and where to go on from: nothing at or below it can still arrive.
--
-- Each page has one way to be read, which its bounds and its order spell out as whole keys of one index, and the settings
-- leave no other. By column, the index of all sequence numbers looks cheapest to Postgres wherever a tenant has most of
-- the events, and then it walks through all of them for the few that are wanted.
create or replace function public.read_feed(argument jsonb) returns jsonb
language plpgsql volatile security invoker
set search_path = '' set enable_seqscan = off set enable_bitmapscan = off set enable_sort = off
as $$
declare
  high bigint := public.feed_mark();
  tenant uuid := (argument ->> 'tenant_id')::uuid;
  stream uuid := (argument ->> 'stream_id')::uuid;
  wanted_type text := argument ->> 'event_type';
  after bigint := coalesce((argument ->> 'after')::bigint, 0);
  size integer := least(coalesce((argument ->> 'limit')::integer, 50), 1000);
  -- The stream's last version that is not above `after`.
  passed integer := 0;
  last integer;
  middle integer;
  numbers bigint[];
  found_events jsonb;
begin
  if stream is null and wanted_type is null then
    numbers := array(
      select f.sequence_number from public.event_store f
      where (f.tenant_id, f.sequence_number) > (tenant, after) and (f.tenant_id, f.sequence_number) <= (tenant, high)
      order by f.tenant_id, f.sequence_number limit size
    );
  elsif stream is null then
    numbers := array(
      select f.sequence_number from public.event_store f
      where (f.tenant_id, f.event_type, f.sequence_number) > (tenant, wanted_type, after)
        and (f.tenant_id, f.event_type, f.sequence_number) <= (tenant, wanted_type, high)
      order by f.tenant_id, f.event_type, f.sequence_number limit size
    );
  elsif exists (
    select from public.event_store e where e.stream_id = stream and e.stream_version = 1 and e.tenant_id = tenant
  ) then
    if after > 0 then
      -- A stream's versions have no gaps and their numbers rise with them, so halving finds where to begin.
      select coalesce(max(e.stream_version), 0) into last from public.event_store e where e.stream_id = stream;
      while passed < last loop
        middle := (passed + last + 1) / 2;
        if (
          select e.sequence_number <= after from public.event_store e
          where e.stream_id = stream and e.stream_version = middle
        ) then
          passed := middle;
        else
          last := middle - 1;
        end if;
      end loop;
    end if;
    numbers := array(
      select f.sequence_number from public.event_store f
      where (f.stream_id, f.stream_version) > (stream, passed)
        and (f.stream_id, f.stream_version) <= (stream, 2147483647)
        and f.sequence_number + 0 between after + 1 and high
        and (wanted_type is null or f.event_type = wanted_type)
      order by f.stream_id, f.stream_version limit size
    );
  end if;

  select coalesce(jsonb_agg(public.event_json(e, p.body) order by n.position), '[]') into found_events
  from unnest(numbers) with ordinality as n(sequence_number, position)
  cross join lateral (
    select * from public.event_store f where f.sequence_number = n.sequence_number offset 0
  ) as e
  left join lateral (
    select body from public.payloads where tenant_id = e.tenant_id and sha256 = e.payload ->> '$payload' offset 0
  ) as p on true;
  return jsonb_build_object('events', found_events, 'position', case
    when cardinality(numbers) = size then numbers[size]
    else greatest(high, after)
  end);
end
$$;

-- argument: {after, limit} → every tenant's events in order, for rebuilding the read models.
create or replace function public.read_history(argument jsonb) returns jsonb
language sql stable security invoker set search_path = '' set enable_seqscan = off
as $$
  select coalesce(jsonb_agg(public.event_json(e, p.body) order by e.sequence_number), '[]')
  from (
    select * from public.event_store where sequence_number > coalesce((argument ->> 'after')::bigint, 0)
    order by sequence_number limit least(coalesce((argument ->> 'limit')::integer, 1000), 1000)
  ) as e
  left join lateral (
    select body from public.payloads where tenant_id = e.tenant_id and sha256 = e.payload ->> '$payload' offset 0
  ) as p on true
$$;

-- argument: {tenant_id, execution_ids} → the last event of each of these executions that has ended.
create or replace function public.read_outcomes(argument jsonb) returns jsonb
language sql stable security invoker set search_path = ''
as $$
  select coalesce(jsonb_agg(public.event_json(e, p.body)), '[]')
  from (select distinct value::uuid as id from jsonb_array_elements_text(argument -> 'execution_ids')) as wanted
  cross join lateral (
    select x.stream_version from public.executions x
    where x.id = wanted.id and x.tenant_id = (argument ->> 'tenant_id')::uuid and x.wake_at is null
    offset 0
  ) as ended
  cross join lateral (
    select * from public.event_store l
    where l.stream_id = wanted.id and l.stream_version = ended.stream_version
    offset 0
  ) as e
  left join lateral (
    select body from public.payloads where tenant_id = e.tenant_id and sha256 = e.payload ->> '$payload' offset 0
  ) as p on true
$$;

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

-- argument: {limit, lease_seconds, now?} → [{tenant_id, execution_id} | {tenant_id, workflow_id, node_id, version, cron,
-- timezone, due_at}]: the runs and the schedules that are due, each to one caller per lease. `now` is the caller's
-- clock, by which wake_at and next_at were set as well.
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

-- argument: {tenant_id, execution_id, itself, reason, metadata, timestamp} → {cancelled, is_complete}: cancels what the
-- execution has called, all the way down, and with itself the execution too. Runs of error workflows are let be: they
-- are about what has happened. One that gets further meanwhile is tried again as it is then.
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

revoke all on function public.event_json(public.event_store, jsonb) from public, anon;
revoke all on function public.feed_mark() from public, anon, authenticated;
grant execute on function public.event_json(public.event_store, jsonb) to authenticated, service_role;
grant execute on function public.feed_mark() to service_role;
grant select on sequence public.event_store_sequence_number_seq to service_role;
