-- An index in the order of each filtered list, so that a page costs the same however few rows the filter leaves.
--
-- Whole and not partial: PostgREST's statements are prepared with the values as parameters, and a plan made for any
-- value cannot use an index that holds only some of the values. A filter that is `is null` is no parameter.

create index executions_status on public.executions (tenant_id, status, created_at desc, id desc);
create index executions_workflow_status
  on public.executions (tenant_id, workflow_id, status, created_at desc, id desc);

-- With the tenant before the workflow: where only the workflow leads, the tenant's own index looks just as good.
create index executions_of_workflow on public.executions (tenant_id, workflow_id, created_at desc, id desc);
drop index public.executions_workflow;
create index webhooks_of_workflow on public.webhooks (tenant_id, workflow_id, created_at desc, id desc);

-- What a run has called, newest first: in place of an index that had no order.
create index executions_children on public.executions (tenant_id, parent_id, created_at desc, id desc)
  where parent_id is not null;
drop index public.executions_called;

create index webhook_deliveries_verdict
  on public.webhook_deliveries (webhook_id, verdict, received_at desc, id desc);
-- With the verdict at its end, so that both together are looked for in the index alone.
create index webhook_deliveries_type
  on public.webhook_deliveries (webhook_id, event_type, received_at desc, id desc, verdict);

create index api_keys_status on public.api_keys (tenant_id, status, created_at desc, id desc);
create index secrets_status on public.secrets (tenant_id, status, created_at desc, id desc);
create index workflow_versions_published on public.workflow_versions (tenant_id, workflow_id, version desc)
  where published_at is not null;
