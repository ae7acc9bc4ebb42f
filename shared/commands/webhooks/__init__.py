"""Commands about webhooks and their deliveries: one file, one command, named after it.

`changes` has what they share: the checks of a configuration, the secret, and the append. `redelivery` makes a run of a
delivery in the log once more. `go_live` and `keep_handshake_secret` are intake's: they follow from what a provider
sends.
"""
