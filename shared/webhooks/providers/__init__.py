"""The catalog of providers: one TOML file each in `data/`.

`catalog` reads a file when it is first asked for; `provider` compiles it and fits it to a webhook's configuration: its
scheme, its `handshake` with the `shapes` of texts in it, and its `provider_reply`. `configuration` checks what a
webhook says, by its provider's options; `custom` makes a provider of a tenant's own scheme. `rules` is what commands
need of a provider; `catalog_view` is the catalog as the API and the documentation show it.
"""
