"""Lambda entry points: parse, call one command or query, answer."""

import gc

# What a cold start imports is kept, up to 75,000 objects, so that looking for garbage in it, as Python does for every
# 2,000 new ones, is in vain and costs a tenth of the start. Later on it is as vain: what is done with is in no cycles.
gc.set_threshold(100_000)
