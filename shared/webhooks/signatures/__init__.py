"""How a provider proves that a delivery is its own. What it does is data; here is the grammar and one verifier.

`scheme` compiles the `[scheme]` and `[timestamp]` of a provider's file: a `template` of `fields`, each with
`transforms`, read from one delivery and its context (`json_path`, `canonical_json`, `encodings`). `verification` tries
every key against every candidate, or leaves a token to `jwt`, and checks the time (`timestamps`); `comparison` has the
keys, and the one comparison of digests, in constant time. `public_keys` verify asymmetric signatures; `fetched_keys`
brings keys from where `fetch` allows.
"""
