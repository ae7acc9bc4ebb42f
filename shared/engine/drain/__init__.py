"""The consumer: one invocation's work, from the first claim to handing back what is left.

`loop` claims jobs and has `worker` run each, then complete it, delay it (nack) or fail it (dead letter); a job over
which drains have died is delayed by `stalled_jobs`. Beside it run `background_tasks`, each until it is stopped:
`lock_keeper` renews locks and the drain's heartbeat and recovers the jobs of dead drains; `autoscaler` starts another
drain when that would help; `sweep` brings back runs that are due and whose job was lost, and fires `schedules`;
`delivery_log_writer` stores what intake left in Redis, and where an item of a batch is refused, `bisection` finds it;
`metrics` writes what the drain does.
"""
