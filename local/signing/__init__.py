"""Signing as providers do, for tools, demos and tests: nothing that is deployed holds a provider's key.

`deliveries` signs by the data by which a delivery is verified; `tokens` makes JSON Web Tokens, `private_keys` signs
with a private key, and `field_writer` puts a text where a field of a template is read.
"""
