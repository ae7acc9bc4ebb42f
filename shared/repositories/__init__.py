"""Access to Supabase: one repository per aggregate, the tenant first in every method.

`transport` is the HTTP client of `database`, which calls PostgREST, translates its errors and repeats calls. The
`event_store` takes an `append` (`run_append` makes a run's), whose payloads `payload` encodes; the other repositories
read the read models. `rows` has what they share, `row_types` the columns of their rows.
"""
