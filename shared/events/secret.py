"""Facts about secrets (stream type `secret`). Values are nowhere in them; encrypted, they are in the row alone."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class SecretSet:
    """The secret of this name was set, for the first time or again."""

    name: str


@dataclass(frozen=True, slots=True)
class SecretDeleted:
    """The secret was deleted, with its value."""


SecretFact = SecretSet | SecretDeleted
