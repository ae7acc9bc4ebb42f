"""Deliveries: match, verify, dedupe, enqueue."""
