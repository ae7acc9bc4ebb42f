"""Commands: everything that changes state, one file per use case, in a folder per aggregate.

`command` is the base of their request bodies. `optimistic_retry` is the loop of every change: read, decide, append, and
again where another writer was faster; `new_events` makes the events. `write_through` updates what Redis caches for
intake, `enqueue_resume` puts runs into the queue. `replacement` is what bodies of PUT requests share.
"""
