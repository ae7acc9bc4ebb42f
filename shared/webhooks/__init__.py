"""Deliveries from providers: match, verify, dedupe, enqueue. What a provider does is data, in `providers/`."""
