"""Queries about webhooks and their deliveries: one file, one question, named after it."""
