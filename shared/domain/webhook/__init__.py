"""A webhook and its deliveries, without anything about how signatures are verified. Pure.

`state` is the aggregate; `config` and `intake_config` are its configuration as tenants see it and as intake needs it;
`provider_rules` say what a provider's webhooks must be given. A `delivery` becomes the first fact of its run, and an
entry of the `delivery_log` with its verdict.
"""
