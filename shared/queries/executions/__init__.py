"""Queries about runs and their events, and the reply that a client waits for: one file, one question, named after
it."""
