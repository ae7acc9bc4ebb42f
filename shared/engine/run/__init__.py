"""One run, from a job to its end or its next wait.

`executor` begins it (`start`) or folds its events (`run_cache` for long runs, `partial_fold` for those that are too
long), under a `memory_limiter`. `scheduler` starts whatever `ready_nodes` and `due_nodes` name, until the run is
blocked or has ended. `node_runner` makes a node's attempts: `node_inputs` are resolved first, then it computes,
performs (with what `secret_injection` puts in), waits, or starts `child_runs`; `recorder` applies each fact at once;
`journal` commits those of concurrent runs together; `signal_matching` gives signals to the nodes that wait for them.
`completion` ends the run, `sync_reply` tells the client that waits. `graph_cache` has each version's `compiled_graph`,
and `scopes` say where in it a node stands.
"""
