"""Lambda entry points, one folder each: parse the event, call one command or query, respond."""

import gc

# A cold start imports up to 75,000 objects, all of which live on: collecting garbage for every 2,000 new ones, Python's
# default, finds none and costs a tenth of the start. Later collections find little either, as we make no cycles.
gc.set_threshold(100_000)
