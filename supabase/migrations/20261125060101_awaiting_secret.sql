-- A webhook may wait for a secret that its provider shows only once it knows the URL: no delivery is taken before.
alter table public.webhooks drop constraint webhooks_status_check;
alter table public.webhooks add constraint webhooks_status_check
  check (status in ('active', 'paused', 'awaiting_secret', 'deleted'));
