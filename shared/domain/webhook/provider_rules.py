"""The rules of a provider's webhooks: the form of its secrets, and which configuration is valid. Pure."""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Callable
from dataclasses import dataclass

from shared.errors import Problem
from shared.json_types import JsonObject

# As many random bytes as the strongest digest in use needs; the Standard Webhooks specification advises it too.
SECRET_BYTES = 32


def _usable(_: str) -> bool:
    return True


def _anything(_: JsonObject) -> list[Problem]:
    return []


@dataclass(frozen=True, slots=True)
class ProviderRules:
    """The rules of one provider.

    `takes_secret`: the scheme uses a secret or a public key. `needs_secret`: one that is not given is generated;
    `must_be_given`: the provider makes it, or it has two parts, so that it cannot be generated. With neither, the
    provider sends it in a handshake. `base64_key`, `hex_key`: the text after `secret_prefixes` is the key in this
    encoding. `where` says where the provider shows the secret, `pattern` is a regular expression for all of it, `form`
    says the same in words, `is_usable` whether it holds a valid key. `config_problems` lists the problems of a
    configuration, with pointers into it.
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
    """The problems of a secret; none where no secret is given."""
    if secret is None:
        return []
    if not rules.takes_secret:
        return [Problem("/secret", f"Webhooks of {rules.id} have no secret.", "Leave the secret out.")]
    if not secret.strip(" \t\r\n\v\f\x00"):
        return [Problem("/secret", "The secret is blank: it would let anybody in.", rules.where or None)]
    # The key without its prefix must decode; schemes with plain text take any.
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
    """The problem of a missing secret that only the provider can make."""
    later = 'To learn the URL first, create the webhook with "status": "awaiting_secret".'
    return Problem("/secret", f"The secret of {rules.id} must be given.", f"{rules.where} {later}".strip())


def new_secret(rules: ProviderRules, random: bytes) -> str | None:
    """A secret in the provider's form, from `SECRET_BYTES` random bytes; `None` where the scheme needs none."""
    if not rules.needs_secret:
        return None
    prefix = "".join(rules.secret_prefixes)
    if rules.hex_key:
        return prefix + random.hex()
    if rules.base64_key:
        return prefix + base64.b64encode(random).decode()
    return prefix + base64.urlsafe_b64encode(random).decode().rstrip("=")


def secret_context(tenant_id: str, webhook_id: str) -> str:
    """The encryption context of a webhook's secret: it cannot be decrypted in another webhook's row."""
    return f"{tenant_id}:{webhook_id}"
