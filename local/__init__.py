"""The zero-setup stack: embedded Postgres and Valkey, the Supabase gateway, and API Gateway and Lambda in miniature."""
