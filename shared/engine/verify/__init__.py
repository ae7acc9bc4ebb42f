"""Verifies that a run follows from its inputs, and tries another version on them. Nothing is stored.

`verify_execution` reads the run's events; `verification` folds them one by one and compares each with the fact that
`derivation` derives from the state before it: `node_derivation` for nodes, with `call_derivation` and
`failure_derivation`, each from a `context`. `dry_run` runs a version on the trigger of another run; `dry_run_nodes`
computes its pure nodes and takes the results of effects from that run.
"""
