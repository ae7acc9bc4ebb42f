"""What a process is made of, whatever it does; nothing here knows of workflows.

`runtime` keeps one event loop for the life of the process; `snapstart` prepares it before Lambda takes its snapshot.
`deadline` carries how much time a request has left to whatever waits on its behalf. `bulkhead` divides places among
tenants, so that none of them takes all; `slots` are how many runs a drain works on at once, of which a run that waits
for a server outside gives its own back; `turns` has long computations on the event loop wait for one another.
`lru_cache` keeps what was used last, as much as fits.
"""
