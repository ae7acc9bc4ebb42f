"""Queries about API keys, of which the keys are never shown: one file, one question, named after it."""
