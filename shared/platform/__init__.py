"""What any process here needs; nothing in it knows of workflows.

`runtime` keeps one event loop for the life of the process; `snapstart` prepares it before Lambda takes its snapshot.
`deadline` propagates how much time a request has left to every call made for it. `bulkhead` shares a limited resource
among tenants, so that none takes all of it; `slots` limit how many runs a drain works on at once, and a run that waits
for a server outside gives its slot back; `turns` has long computations on the event loop take turns. `lru_cache` keeps
what was used last, as much as fits.
"""
