-- The one way to write: facts, the rows that follow from them and due work, in one transaction.

-- One link of a stream's chain: the hash before it, or the stream's last stored one where this is the first.
-- These two name nothing outside pg_catalog and set no search_path, so that Postgres can inline them.
create function public.hash_link(state bytea, stored bytea, content bytea) returns bytea
language sql immutable parallel safe
as $$ select sha256(coalesce(state, stored, ''::bytea) || content) $$;

create aggregate public.hash_chain(stored bytea, content bytea) (sfunc = public.hash_link, stype = bytea);

-- What an event's hash covers, independent of the session's time zone and of how the client wrote its JSON.
create function public.hash_content(
  tenant_id uuid, stream_id uuid, stream_version integer, event_id uuid, event_type text, happened timestamptz,
  payload jsonb, metadata jsonb
) returns bytea
language sql stable parallel safe
as $$
  select convert_to(concat_ws(' ',
    tenant_id, stream_id, stream_version, event_id, event_type, (extract(epoch from happened) * 1000000)::bigint,
    payload, metadata
  ), 'UTF8')
$$;

-- argument:
--   streams   [{tenant_id, stream_id, stream_type, expected_version, first_event_id, size}], each stream once
--   events    [{stream_id, stream_version, id, event_type, timestamp, payload, metadata?}]
--   and rows that follow from them, each optional: payloads, workflows, versions, webhooks, api_keys, executions (the
--   aggregates as they are after their events) and deliveries.
-- returns:
--   {results: [{stream_id, status: appended|duplicate|conflict, version}]} in the order of the streams.
--
-- Each stream is judged alone: a conflict in one fails no other, and none of its rows is written. The first event of
-- a stream is its fence: whoever inserts it owns the versions after it, so two writers at the same expected version
-- need no lock but the unique index. Inserts go in key order, so that two calls over the same streams wait for each
-- other but never in a circle.
create function public.append_events(argument jsonb) returns jsonb
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

  if argument ? 'executions' then
    insert into public.executions
    select r.* from jsonb_populate_recordset(null::public.executions, argument -> 'executions') as r
    where r.id = any (winners) order by r.id
    on conflict (id) do update set
      workflow_version = excluded.workflow_version, status = excluded.status, error = excluded.error,
      wake_at = excluded.wake_at, stream_version = excluded.stream_version, started_at = excluded.started_at,
      finished_at = excluded.finished_at;
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

-- The ledger, each delivery once, and the hint of when its webhook was last used.
create function public.write_deliveries(deliveries jsonb, winners uuid[]) returns void
language plpgsql volatile security invoker set search_path = ''
as $$
begin
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
    -- A hint is not worth waiting for: a webhook that another drain is writing keeps that drain's time.
    select w.id from public.webhooks w where w.id in (select webhook_id from latest) for update skip locked
  )
  update public.webhooks w set last_triggered_at = greatest(w.last_triggered_at, latest.received_at)
  from latest join free on free.id = latest.webhook_id
  where w.id = latest.webhook_id;
end
$$;

create function public.write_workflows(workflows jsonb, versions jsonb, winners uuid[]) returns void
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
end
$$;

-- Secrets are no facts: they come beside the webhook's row and are kept where none is given, so that a rebuild from
-- events leaves them alone.
create function public.write_webhooks(webhooks jsonb, winners uuid[]) returns void
language plpgsql volatile security invoker set search_path = ''
as $$
begin
  insert into public.webhooks (id, tenant_id, name, workflow_id, node_id, provider, config, status, secret,
    previous_secret, previous_secret_expires_at, stream_version, created_at, updated_at)
  select r.id, r.tenant_id, r.name, r.workflow_id, r.node_id, r.provider, r.config, r.status, r.secret,
    r.previous_secret, r.previous_secret_expires_at, r.stream_version, r.created_at, r.updated_at
  from jsonb_populate_recordset(null::public.webhooks, webhooks) as r
  where r.id = any (winners) order by r.id
  on conflict (id) do update set
    name = excluded.name, workflow_id = excluded.workflow_id, node_id = excluded.node_id,
    provider = excluded.provider, config = excluded.config, status = excluded.status,
    previous_secret = case when excluded.secret is null then webhooks.previous_secret
                           else excluded.previous_secret end,
    secret = coalesce(excluded.secret, webhooks.secret),
    previous_secret_expires_at = excluded.previous_secret_expires_at,
    stream_version = excluded.stream_version, updated_at = excluded.updated_at;
end
$$;

create function public.write_api_keys(api_keys jsonb, winners uuid[]) returns void
language plpgsql volatile security invoker set search_path = ''
as $$
begin
  insert into public.api_keys (id, tenant_id, name, role, scopes, key_hash, status, expires_at, stream_version,
    created_at, updated_at)
  select r.id, r.tenant_id, r.name, r.role, r.scopes, r.key_hash, r.status, r.expires_at, r.stream_version,
    r.created_at, r.updated_at
  from jsonb_populate_recordset(null::public.api_keys, api_keys) as r
  where r.id = any (winners) order by r.id
  on conflict (id) do update set
    name = excluded.name, role = excluded.role, scopes = excluded.scopes, status = excluded.status,
    expires_at = excluded.expires_at, key_hash = coalesce(excluded.key_hash, api_keys.key_hash),
    stream_version = excluded.stream_version, updated_at = excluded.updated_at;
end
$$;

revoke all on function public.append_events(jsonb) from public, anon, authenticated;
revoke all on function public.write_deliveries(jsonb, uuid[]) from public, anon, authenticated;
revoke all on function public.write_workflows(jsonb, jsonb, uuid[]) from public, anon, authenticated;
revoke all on function public.write_webhooks(jsonb, uuid[]) from public, anon, authenticated;
revoke all on function public.write_api_keys(jsonb, uuid[]) from public, anon, authenticated;
grant execute on function public.append_events(jsonb) to service_role;
grant execute on function public.write_deliveries(jsonb, uuid[]) to service_role;
grant execute on function public.write_workflows(jsonb, jsonb, uuid[]) to service_role;
grant execute on function public.write_webhooks(jsonb, uuid[]) to service_role;
grant execute on function public.write_api_keys(jsonb, uuid[]) to service_role;
