"""Jobs whose drain has died: one of them may have killed it, the others were there by chance.

Nobody can tell which from a single death. So a job that has been in more than one is put off before it is tried again,
longer each time and at random: jobs that died together come back apart, an innocent one ends in another drain than the
culprit's, and the culprit kills a drain a minute at most. Only what is still there after `MAX_STALLED` deaths, minutes
after the first, is given up as `drain_died`: a storm of deployments or a machine that fails does not last so long, or
does not meet the same run each time.

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
    """For how many seconds a claimed job is to be put off because of the drains that died over it; 0 for not at all,
    or not again."""
    if not claimed.is_suspect:
        return 0.0
    longest = min(MAX_PAUSE_SECONDS, FIRST_PAUSE_SECONDS * 2 ** min(claimed.stalled - 2, 16))
    return random.uniform(longest / 2, longest)  # noqa: S311  # no secret
