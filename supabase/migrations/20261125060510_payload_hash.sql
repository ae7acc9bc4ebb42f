-- An event tells under which hash its payload is kept, so that a reader can tell whether it still is what was recorded:
-- the chain of hashes covers the reference, and the reference covers the payload.
create or replace function public.event_json(e public.event_store) returns jsonb
language sql stable security invoker
as $$
  select jsonb_build_object(
    'id', e.id, 'tenant_id', e.tenant_id, 'stream_id', e.stream_id, 'stream_type', e.stream_type,
    'stream_version', e.stream_version, 'sequence_number', e.sequence_number, 'event_type', e.event_type,
    'timestamp', to_char(e."timestamp" at time zone 'utc', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'),
    'payload_sha256', e.payload ->> '$payload',
    'payload', case
      when e.payload ? '$payload' then (
        select p.body from public.payloads p where p.tenant_id = e.tenant_id and p.sha256 = e.payload ->> '$payload'
      )
      else e.payload
    end,
    'metadata', e.metadata)
$$;
