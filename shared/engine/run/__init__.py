"""One run, from a job to its end or its next wait.

`executor` begins it or folds its events (`run_cache` for long runs, `partial_fold` for those that are too long), under
a `memory_limiter`. `scheduler` starts the nodes that `ready_nodes` names (also in `map_items`) and those whose wait is
over, until the run is blocked or has ended. `node_runner` makes a node's attempts: `node_inputs` are resolved first,
then it computes, performs (with what `secret_injection` puts in), waits (`timers`), or starts `child_runs`. `recorder`
applies each fact at once; `journal` commits those of concurrent runs together. `completion` ends the run, `sync_reply`
answers the client that waits. `graph_cache` has each version's `compiled_graph`, and `scopes` say where in it a node
stands.
"""
