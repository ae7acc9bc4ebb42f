"""The queue: BullMQ on Redis, wire-compatible with Node BullMQ 6 and later, driven by hand instead of by its Worker."""
