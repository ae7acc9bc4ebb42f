"""The queue: BullMQ on Redis, wire-compatible with Node BullMQ 6 and later, driven by hand instead of by its Worker.

`producer` adds jobs (`job`, checked by `job_validation`): `lua/deduplicate_and_add.lua` admits a delivery once, and
under its limits. `consumer` claims, acknowledges and delays them, and renews their locks. `live_drains` has the drains'
heartbeats, by which a producer knows whether `wake` must invoke one. Beside the queue, in the same Redis: `cache` has
the webhooks and published versions that intake needs, `delivery_log` the entries that a drain writes to Supabase, and
`reply_channel` the answers that clients wait for. All of them share one `connection` and one runner of `scripts`;
`keys` are their names. Redis is not the source of truth: whatever is lost here, the sweep finds in Supabase.
"""
