"""The rules of the engine. Pure: no I/O, clock, randomness, environment or logging."""
