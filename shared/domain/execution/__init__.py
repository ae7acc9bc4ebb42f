"""A run (execution): its state, how its facts lead to it, and what follows from it. Pure.

`fold` applies facts to the `state`; `node_fold` those of nodes, each of which has a `node_record`, at a path that
`node_paths` reads. `node_readiness` decides from settled nodes which others run and which are skipped, and how the run
ends. `map_items`, `signals` and `timers` are the parts of the state that maps, signals and waiting nodes need.
`run_budget` bounds what a run may record, `run_error` what an error may say. `redrive` and `fork` say which nodes are
done again or taken over; `comparison` holds two runs side by side. `row` is the read model's row, `view` what the API
shows.
"""
