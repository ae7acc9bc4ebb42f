-- Less to write for each append.

-- The hash of an event covers that of the one before it, which stands beside it in the stream: a second copy of it told
-- nothing that is checked, and took 33 bytes an event and a pass over all that is appended.

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

-- The ledger, each delivery once, and the hint of when its webhook was last used. Lines of deliveries that started no
-- run (execution_id unset) belong to no stream, and are written whoever wins.
create or replace function public.write_deliveries(deliveries jsonb, winners uuid[]) returns void
language plpgsql volatile security invoker set search_path = ''
as $$
declare
  lines jsonb;
begin
  insert into public.delivery_bodies (tenant_id, sha256, body)
  select distinct on ((d ->> 'tenant_id'), (d ->> 'body_sha256'))
    (d ->> 'tenant_id')::uuid, d ->> 'body_sha256', d ->> 'body'
  from jsonb_array_elements(deliveries) as d
  where d ->> 'body' is not null and (d ->> 'execution_id')::uuid = any (winners)
  order by d ->> 'tenant_id', d ->> 'body_sha256'
  on conflict do nothing;

  with delivered as (
    insert into public.webhook_deliveries (id, tenant_id, webhook_id, received_at, verdict, reason, delivery_key,
      event_type, execution_id, headers, body_sha256, size_bytes)
    select d.id, d.tenant_id, d.webhook_id, d.received_at, d.verdict, d.reason, d.delivery_key, d.event_type,
      d.execution_id, coalesce(d.headers, '{}'), d.body_sha256, d.size_bytes
    from jsonb_populate_recordset(null::public.webhook_deliveries, deliveries) as d
    where d.execution_id = any (winners) order by d.id
    on conflict (id) do nothing
    returning webhook_id, received_at
  ), latest as (
    select webhook_id, max(received_at) as received_at from delivered group by webhook_id
  ), free as (
    -- A hint is not worth waiting for: a webhook that another drain is writing keeps that drain's time. Nor is it worth
    -- a row for each batch: under load a webhook's time is up to five seconds behind.
    select w.id from public.webhooks w join latest on latest.webhook_id = w.id
    where w.last_triggered_at is null or w.last_triggered_at < latest.received_at - interval '5 seconds'
    for update of w skip locked
  )
  update public.webhooks w set last_triggered_at = greatest(w.last_triggered_at, latest.received_at)
  from latest join free on free.id = latest.webhook_id
  where w.id = latest.webhook_id;

  select jsonb_agg(d) into lines from jsonb_array_elements(deliveries) as d where d ->> 'execution_id' is null;
  if lines is not null then
    perform public.record_deliveries(jsonb_build_object('deliveries', lines));
  end if;
end
$$;

alter table public.event_store drop column previous_hash;
