"""What a webhook of one provider needs: its secret's form, and which configuration makes sense. Pure."""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Callable
from dataclasses import dataclass

from shared.errors import Problem
from shared.json_types import JsonObject

# As many random bytes as the strongest digest in use needs; also what the Standard Webhooks specification advises.
SECRET_BYTES = 32


def _usable(_: str) -> bool:
    return True


def _anything(_: JsonObject) -> list[Problem]:
    return []


@dataclass(frozen=True, slots=True)
class ProviderRules:
    """The rules of one provider.

    `takes_secret`: the scheme knows a secret or a public key. `needs_secret`: one that is not given is generated;
    `must_be_given`: it is the provider's, or has two parts, and cannot be made here. With neither, the provider hands
    it over in a handshake. `base64_key`, `hex_key`: the text after `secret_prefixes` is the key in this form. `where`
    says where the provider shows the secret, `pattern` what all of it looks like, `form` the same in words, `is_usable`
    whether a key is in it. `config_problems` lists what is wrong with a configuration, with pointers into it.
    """

    id: str
    takes_secret: bool = True
    needs_secret: bool = True
    secret_prefixes: tuple[str, ...] = ()
    base64_key: bool = False
    hex_key: bool = False
    where: str = ""
    pattern: str = ""
    form: str = ""
    must_be_given: bool = False
    is_usable: Callable[[str], bool] = _usable
    config_problems: Callable[[JsonObject], list[Problem]] = _anything


def secret_problems(rules: ProviderRules, secret: str | None) -> list[Problem]:
    """What is wrong with a given secret; nothing where none is given."""
    if secret is None:
        return []
    if not rules.takes_secret:
        return [Problem("/secret", f"Webhooks of {rules.id} have no secret.", "Leave the secret out.")]
    if not secret.strip(" \t\r\n\v\f\x00"):
        return [Problem("/secret", "The secret is blank: it would let anybody in.", rules.where or None)]
    bare = secret
    for prefix in rules.secret_prefixes:
        bare = bare.removeprefix(prefix)
    try:
        key = (
            base64.b64decode(bare, validate=True)
            if rules.base64_key
            else bytes.fromhex(bare)
            if rules.hex_key
            else b"k"
        )
    except (binascii.Error, ValueError):
        key = b""
    if key and (not rules.pattern or re.fullmatch(rules.pattern, secret)) and rules.is_usable(secret):
        return []
    kind = "hex" if rules.hex_key else "base64" if rules.base64_key else "their own"
    form = rules.form or f"{''.join(rules.secret_prefixes)}<{kind}>"
    suggestion = rules.where or "Leave it out to have one generated."
    return [Problem("/secret", f"Secrets of {rules.id} have the form {form}.", suggestion)]


def missing_secret(rules: ProviderRules) -> Problem:
    """What is said where a secret is missing that only the provider can make."""
    later = 'To learn the URL first, create the webhook with "status": "awaiting_secret".'
    return Problem("/secret", f"The secret of {rules.id} must be given.", f"{rules.where} {later}".strip())


def new_secret(rules: ProviderRules, random: bytes) -> str | None:
    """A secret in the provider's form, out of `SECRET_BYTES` random bytes; `None` where the scheme wants none."""
    if not rules.needs_secret:
        return None
    prefix = "".join(rules.secret_prefixes)
    if rules.hex_key:
        return prefix + random.hex()
    if rules.base64_key:
        return prefix + base64.b64encode(random).decode()
    return prefix + base64.urlsafe_b64encode(random).decode().rstrip("=")


def secret_context(tenant_id: str, webhook_id: str) -> str:
    """What a webhook's encrypted secret is bound to: in another webhook's row it does not open."""
    return f"{tenant_id}:{webhook_id}"
