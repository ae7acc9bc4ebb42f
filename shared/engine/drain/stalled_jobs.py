"""Jobs whose drain has died: one of them may have killed it, the others were there by chance.

A single death does not tell which. So a job that has been in two or more is delayed before it is tried again, with an
exponential, random backoff: jobs that died together come back apart, a harmless one ends in another drain than the
harmful one, and that one kills a drain a minute at most. Only a job that has seen `MAX_STALLED` deaths, minutes after
the first, is given up as `drain_died`: a series of deployments or a failing machine does not last so long, or does not
meet the same run each time.

Rejected: running suspects alone in a drain. It would stop that drain's other work for as long as an effect lasts, and
tells no more, since a drain with one job is killed by a deployment just as well.
"""

from __future__ import annotations

import random

from shared.queue.job import ClaimedJob

# After the second death; doubled with each further one.
FIRST_PAUSE_SECONDS = 2.0
MAX_PAUSE_SECONDS = 60.0


def stall_backoff(claimed: ClaimedJob) -> float:
    """By how many seconds a claimed job is delayed because of the drains that died over it; 0 where none, or only one,
    has died since it was last delayed for that."""
    if not claimed.is_suspect:
        return 0.0
    longest = min(MAX_PAUSE_SECONDS, FIRST_PAUSE_SECONDS * 2 ** min(claimed.stalled - 2, 16))
    return random.uniform(longest / 2, longest)  # noqa: S311  # no secret
