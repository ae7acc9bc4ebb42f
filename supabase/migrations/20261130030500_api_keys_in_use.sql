-- When a key was last used, for those who want to know which ones nobody needs any more.

-- argument: {api_key_id, every_seconds} → {}: notes that the key is used now, unless that was noted within that time.
create function public.use_api_key(argument jsonb) returns jsonb
language plpgsql volatile security invoker set search_path = ''
as $$
begin
  update public.api_keys set last_used_at = now()
  where id = (argument ->> 'api_key_id')::uuid and (
    last_used_at is null
    or last_used_at <= now() - make_interval(secs => (argument ->> 'every_seconds')::double precision)
  );
  return '{}';
end
$$;

revoke all on function public.use_api_key(jsonb) from public, anon, authenticated;
grant execute on function public.use_api_key(jsonb) to service_role;
