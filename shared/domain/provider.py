"""What a webhook of one provider needs: its secret's form, and which configuration makes sense. Pure."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from shared.errors import Problem

# As many random bytes as the strongest digest in use needs; also what the Standard Webhooks specification advises.
SECRET_BYTES = 32


def _anything(_: dict[str, Any]) -> list[Problem]:
    return []


@dataclass(frozen=True, slots=True)
class ProviderRules:
    """The rules of one provider.

    `takes_secret`: the scheme knows a shared secret; `needs_secret`: it does not work without, so one that is not given
    is generated. `base64_key`: the text after `secret_prefix` is the key in base64. `config_problems` lists what is
    wrong with a configuration, with pointers into it.
    """

    id: str
    takes_secret: bool = True
    needs_secret: bool = True
    secret_prefix: str = ""
    base64_key: bool = False
    config_problems: Callable[[dict[str, Any]], list[Problem]] = _anything


def secret_problems(rules: ProviderRules, secret: str | None) -> list[Problem]:
    """What is wrong with a given secret; nothing where none is given."""
    if secret is None:
        return []
    if not rules.takes_secret:
        return [Problem("/secret", f"Webhooks of {rules.id} have no secret.", "Leave the secret out.")]
    if not rules.base64_key:
        return []
    try:
        key = base64.b64decode(secret.removeprefix(rules.secret_prefix), validate=True)
    except (binascii.Error, ValueError):
        key = b""
    if key:
        return []
    form = f"{rules.secret_prefix}<base64>"
    return [Problem("/secret", f"Secrets of {rules.id} have the form {form}.", "Leave it out to have one generated.")]


def new_secret(rules: ProviderRules, random: bytes) -> str | None:
    """A secret in the provider's form, out of `SECRET_BYTES` random bytes; `None` where the scheme wants none."""
    if not rules.needs_secret:
        return None
    if rules.base64_key:
        return rules.secret_prefix + base64.b64encode(random).decode()
    return rules.secret_prefix + base64.urlsafe_b64encode(random).decode().rstrip("=")


def secret_context(tenant_id: str, webhook_id: str) -> str:
    """What a webhook's encrypted secret is bound to: in another webhook's row it does not open."""
    return f"{tenant_id}:{webhook_id}"
