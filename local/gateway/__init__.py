"""A gateway that serves a Postgres database as Supabase's REST API: the subset of PostgREST that our clients speak."""
