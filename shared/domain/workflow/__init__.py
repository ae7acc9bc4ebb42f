"""A workflow: a draft, its published versions, and the graph in each. Pure.

`fold` applies facts to the `state`. `graph_parser` reads a tenant's JSON, of this service's shape or of React Flow's,
into a `graph`; `reachability` knows which nodes come before which. `settings` bound the runs of a version. `schedule`
computes when a cron schedule is due, and `schedule_rows` are what publishing leaves for it.
"""
