"""Queries about secrets, of which values are never shown: one file, one question, named after it."""
