"""A delivery's way from the request to its answer. Nothing of a body is parsed before it is verified.

`pipeline` reads the `request`, finds the webhook (`webhook_cache`: this process's memory, else Redis, else Supabase)
and examines the delivery: handshakes, signature, timestamp. A refused delivery gets a `diagnosis`; one that is not
wanted now is answered 410. `delivery_key` makes a delivery this one and no other, and the job of its run: `enqueue`
admits it once, under the webhook's rate limit; while Redis is out of reach, or where Redis alone must not have it,
`fallback_store` makes it a run in Supabase. `sync_response` waits for what the run responds. `delivery_log` leaves an
entry for each delivery that starts no run.
"""
