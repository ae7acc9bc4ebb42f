"""The service's name, and its version: the one in pyproject.toml, which is not deployed."""

TITLE = "Workflow engine"
VERSION = "0.1.0"
