"""The version of the service: the one in pyproject.toml, which is not deployed."""

VERSION = "0.1.0"
