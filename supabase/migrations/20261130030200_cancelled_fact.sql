-- The fact that says that a called execution was cancelled is made where facts are made, not here.

-- argument: {tenant_id, execution_id, itself, event_type, payload, metadata, timestamp} → {cancelled, is_complete}:
-- cancels what the execution has called, all the way down, and with itself the execution too. Runs of error workflows are
-- let be: they are about what has happened. One that gets further meanwhile is tried again as it is then. The fact is the
-- caller's, in the form in which it is stored; earlier callers tell a `reason` only.
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
