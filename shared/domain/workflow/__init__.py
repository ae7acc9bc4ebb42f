"""A workflow: a draft, its published versions, and the graph in each. Pure.

`fold` applies facts to the `state`. `graph_parser` parses a tenant's JSON, in this service's shape or React Flow's,
into a `graph`; `reachability` computes each node's ancestors. `settings` are a version's timeout and error workflow.
`schedule` computes when a cron schedule is due; `schedule_rows` are written when a workflow is published.
"""
