-- A page of events is bounded by what its payloads take as well: of a hundred events with a megabyte each, what fits into
-- one answer was a twentieth of what was read, described and sent to whoever makes the answer.

-- What a stored payload takes, nearly: a large one says so itself, and of one that the table has compressed it is what it
-- takes there. Without a search_path, so that Postgres inlines it; what it names is Postgres's own.
create function public.payload_bytes(payload jsonb) returns integer
language sql stable security invoker
as $$
  select case when payload ? '$payload' then (payload ->> 'size_bytes')::integer else pg_column_size(payload) end
$$;

-- argument: {tenant_id, after, limit, max_bytes?, event_type?, stream_id?} → {events, position, more}: what the tenant's
-- feed holds above `after`, and where to go on from: nothing at or below it can still arrive. `more`: there may be more
-- already. All payloads but the first take `max_bytes` at most with it.
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

-- argument: {tenant_id, stream_id, after, limit, max_bytes} → {events, more}: the stream's events above version `after`, in
-- order, and whether there are more. All payloads but the first take `max_bytes` at most with it.
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

revoke all on function public.payload_bytes(jsonb) from public, anon;
grant execute on function public.payload_bytes(jsonb) to authenticated, service_role;
revoke all on function public.read_stream_page(jsonb) from public, anon, authenticated;
grant execute on function public.read_stream_page(jsonb) to service_role;
