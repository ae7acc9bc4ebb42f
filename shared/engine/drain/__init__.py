"""The consumer: one invocation's work, from the first claim to handing over what is left.

`loop` claims jobs and starts a `worker` for each: it runs the job and completes it, delays it (nack) or fails it (dead
letter). Beside it run `background_tasks`, each until it is stopped: `lock_keeper` renews locks and the drain's
heartbeat and recovers the jobs of dead drains; `autoscaler` decides whether a further drain would help; `sweep` finds
runs that are due and in no queue, and fires `schedules`; `delivery_log_writer` stores what intake left in Redis, and
where one item of a batch is refused, `bisection` finds it; `metrics` tells what the drain does.
"""
