"""Facts about secrets (stream type `secret`). Values are nowhere in them; encrypted, they are in the row alone."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class SecretSet:
    """The secret of this name was set, for the first time or again.

    It may be sent to `allowed_hosts`; `None` leaves a binding as it was, and a secret that had none without one.
    """

    name: str
    allowed_hosts: list[str] | None = None


@dataclass(frozen=True, slots=True)
class SecretDeleted:
    """The secret was deleted, with its value."""


SecretFact = SecretSet | SecretDeleted
