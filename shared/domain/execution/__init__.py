"""A run (execution): its state, how its facts lead to it, and what follows from it. Pure.

`fold` applies facts to the `state`; `node_fold` applies those of nodes, each of which has a `node_record`, by the path
that `node_paths` parses. `node_readiness` decides from settled nodes which others run, which are skipped, and how the
run ends. `map_record`, `signals` and `timer_heap` are the parts of the state for maps, signals and waiting nodes.
`run_budget` limits how much a run may record, `run_error` makes its errors. `redrive` and `fork` choose which nodes run
again or keep their outcome; `comparison` compares two runs node by node. `row` is the read model's row, `view` what the
API shows.
"""
