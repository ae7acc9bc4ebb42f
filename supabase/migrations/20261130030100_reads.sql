-- Reading never makes a writer wait; a page is bounded by what its payloads take; one look into an index for each thing
-- that is looked for, whatever the table held when the statement was planned.

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

-- What a stored payload takes, nearly: a large one says so itself, and of one that the table has compressed it is what
-- it takes there. Without a search_path, so that Postgres inlines it; what it names is Postgres's own.
create function public.payload_bytes(payload jsonb) returns integer
language sql stable security invoker
as $$
  select case when payload ? '$payload' then (payload ->> 'size_bytes')::integer else pg_column_size(payload) end
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

-- argument: {tenant_id, stream_id, after, limit, max_bytes} → {events, more}: the stream's events above version
-- `after`, in order, and whether there are more. All payloads but the first take `max_bytes` at most with it.
create function public.read_stream_page(argument jsonb) returns jsonb
language plpgsql stable security invoker set search_path = '' set plan_cache_mode = force_custom_plan
as $$
declare
  size integer := least((argument ->> 'limit')::integer, 1000);
  fitting integer;
  found integer;
begin
  select count(*) filter (
    where sized.position = 1 or (sized.position <= size and sized.bytes <= (argument ->> 'max_bytes')::bigint)
  ), count(*) into fitting, found
  from (
    select row_number() over in_order as position, sum(public.payload_bytes(e.payload)) over in_order as bytes
    from (
      select stream_version, payload from public.event_store
      where stream_id = (argument ->> 'stream_id')::uuid and tenant_id = (argument ->> 'tenant_id')::uuid
        and stream_version > coalesce((argument ->> 'after')::integer, 0)
      order by stream_version limit size + 1
    ) as e
    window in_order as (order by e.stream_version)
  ) as sized;
  return jsonb_build_object(
    'events', public.read_stream(argument || jsonb_build_object('limit', fitting)), 'more', fitting < found
  );
end
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

-- argument: {tenant_id, after, limit, max_bytes?, event_type?, stream_id?} → {events, position, more}: what the
-- tenant's feed holds above `after`, and where to go on from: nothing at or below it can still arrive. `more`: there
-- may be more already. All payloads but the first take `max_bytes` at most with it: of a hundred events with a megabyte
-- each, what fits into one answer was a twentieth of what was read, described and sent to whoever makes the answer.
--
-- Each page has one way to be read, which its bounds and its order spell out as whole keys of one index, and the
-- settings leave no other. By column, the index of all sequence numbers looks cheapest to Postgres wherever a tenant
-- has most of the events, and then it walks through all of them for the few that are wanted.
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
  fitting integer;
  is_more boolean;
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

  is_more := coalesce(cardinality(numbers), 0) = size;
  if argument ? 'max_bytes' then
    select count(*) into fitting from (
      select n.position, sum(public.payload_bytes(e.payload)) over (order by n.position) as bytes
      from unnest(numbers) with ordinality as n(sequence_number, position)
      cross join lateral (
        select f.payload from public.event_store f where f.sequence_number = n.sequence_number offset 0
      ) as e
    ) as sized
    where sized.position = 1 or sized.bytes <= (argument ->> 'max_bytes')::bigint;
    is_more := is_more or fitting < cardinality(numbers);
    numbers := numbers[:fitting];
  end if;

  select coalesce(jsonb_agg(public.event_json(e, p.body) order by n.position), '[]') into found_events
  from unnest(numbers) with ordinality as n(sequence_number, position)
  cross join lateral (
    select * from public.event_store f where f.sequence_number = n.sequence_number offset 0
  ) as e
  left join lateral (
    select body from public.payloads where tenant_id = e.tenant_id and sha256 = e.payload ->> '$payload' offset 0
  ) as p on true;
  return jsonb_build_object('events', found_events, 'more', coalesce(is_more, false), 'position', case
    when is_more then numbers[cardinality(numbers)]
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

revoke all on function public.event_json(public.event_store, jsonb) from public, anon;
revoke all on function public.payload_bytes(jsonb) from public, anon;
revoke all on function public.read_stream_page(jsonb) from public, anon, authenticated;
revoke all on function public.feed_mark() from public, anon, authenticated;
grant execute on function public.event_json(public.event_store, jsonb) to authenticated, service_role;
grant execute on function public.payload_bytes(jsonb) to authenticated, service_role;
grant execute on function public.read_stream_page(jsonb) to service_role;
grant execute on function public.feed_mark() to service_role;
grant select on sequence public.event_store_sequence_number_seq to service_role;
