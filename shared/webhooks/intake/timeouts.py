"""How long intake waits for Supabase: less than its client would, for a provider waits for the answer."""

from __future__ import annotations

# Where an older answer, another way or the sender's next attempt does as well.
SHORT_SECONDS = 1.5
# Where the delivery cannot be taken without it. A function may take 29 seconds, and asks at most four times.
LONG_SECONDS = 3.0
