-- Functions whose statements ask for a few rows by an index, and that Postgres plans before it knows the table: it would
-- take a small table for one to read from the beginning, and keep that plan while the table grows.
alter function public.advance_schedules(jsonb) set enable_seqscan = off;
alter function public.claim_due(jsonb) set enable_seqscan = off;
alter function public.invariant_violations(jsonb) set enable_seqscan = off;
