"""The BullMQ queue on Redis: enqueue, claim, acknowledge, wake a drain."""
