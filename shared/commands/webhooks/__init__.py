"""Commands about webhooks and their deliveries: one file, one command, named after it.

`changes` has what they share: the checks of a configuration, the secret, and the append. `redelivery` makes a new run
of a delivery in the log. Intake calls `go_live` and `keep_handshake_secret` when a provider's requests require it.
"""
