"""The rules of the engine, pure: no I/O, clock, randomness, environment or logging."""
