"""Tenants' expressions, evaluated outside of the process that holds secrets and connections.

`evaluator` takes `requests` and puts each into the `request_queue` of one of two child processes: one that all tenants
share, and one for tenants that hold it up. `evaluator_process` starts a child, feeds and watches it, and kills it when
an expression takes too long or too much memory; `evaluator_main` is what runs in the child,
in the `confinement` of a process that can open nothing.
"""
