-- What the API refuses to a role, Supabase's REST API refuses as well; and no function is open to anybody but the
-- service, whatever default privileges the project has.

-- Keys are for administrators, names of secrets for those who draw workflows: as in the API. A user without a role is a
-- viewer.
alter policy api_keys_of_tenant on public.api_keys using (
  tenant_id = ((select auth.jwt()) -> 'app_metadata' ->> 'tenant_id')::uuid
  and (select auth.jwt()) -> 'app_metadata' ->> 'role' = 'admin'
);
alter policy secrets_of_tenant on public.secrets using (
  tenant_id = ((select auth.jwt()) -> 'app_metadata' ->> 'tenant_id')::uuid
  and (select auth.jwt()) -> 'app_metadata' ->> 'role' in ('admin', 'editor')
);

-- A hosted project grants new functions and sequences to anon and authenticated. By name, since the project may have
-- functions of its own.
do $$
declare
  ours record;
begin
  for ours in
    select p.oid::regprocedure as signature from pg_catalog.pg_proc p
    where p.pronamespace = 'public'::regnamespace and p.proname in (
      'advance_schedules', 'append_events', 'append_secrets', 'cancel_called', 'claim_due', 'event_json', 'feed_mark',
      'hash_chain', 'hash_content', 'hash_link', 'hold_delivery', 'invariant_violations', 'keep_held', 'payload_bytes',
      'read_feed', 'read_history', 'read_outcomes', 'read_stream', 'read_stream_page', 'record_deliveries',
      'rest_execution', 'use_api_key', 'verify_stream', 'wake_callers', 'webhook_for_intake', 'write_api_keys',
      'write_deliveries', 'write_webhooks', 'write_workflows'
    )
  loop
    execute format('revoke all on routine %s from public, anon, authenticated', ours.signature);
    execute format('grant execute on routine %s to service_role', ours.signature);
  end loop;
end
$$;

do $$
declare
  ours record;
begin
  for ours in
    select c.oid::regclass as name from pg_catalog.pg_depend d join pg_catalog.pg_class c on c.oid = d.objid
    where c.relkind = 'S' and d.refobjid in ('public.event_store'::regclass, 'public.webhook_deliveries'::regclass)
  loop
    execute format('revoke all on sequence %s from public, anon, authenticated', ours.name);
  end loop;
end
$$;
