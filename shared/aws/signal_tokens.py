"""The token in a signal's URL: tenant, run and signal, authenticated by a MAC."""

from __future__ import annotations

import base64
import binascii
import uuid
from dataclasses import dataclass

from shared.aws.secrets import authenticate, is_authentic
from shared.errors import NotFoundError
from shared.settings import settings

_MAC_BYTES = 32
_CONTEXT = "signal-url"


@dataclass(frozen=True, slots=True)
class SignalToken:
    """The right to send this run this signal."""

    tenant_id: str
    execution_id: str
    name: str


async def token_text(token: SignalToken) -> str:
    """The token for a URL: the signal's name in plain text, the rest authenticated and not guessable."""
    mac = await authenticate(_signed(token), _CONTEXT)
    ids = uuid.UUID(token.tenant_id).bytes + uuid.UUID(token.execution_id).bytes
    return f"{base64.urlsafe_b64encode(ids + mac).rstrip(b'=').decode()}.{token.name}"


async def read_token(text: str) -> SignalToken:
    """The token in a text that `token_text` made; any other raises `NotFoundError`, without saying why."""
    encoded, _, name = text.partition(".")
    try:
        raw = base64.b64decode(encoded + "=" * (-len(encoded) % 4), altchars=b"-_", validate=True)
    except (binascii.Error, ValueError):
        raw = b""
    if len(raw) != 32 + _MAC_BYTES:
        raise NotFoundError
    token = SignalToken(str(uuid.UUID(bytes=raw[:16])), str(uuid.UUID(bytes=raw[16:32])), name)
    if not await is_authentic(_signed(token), raw[32:], _CONTEXT):
        raise NotFoundError
    return token


def _signed(token: SignalToken) -> bytes:
    return f"{token.tenant_id} {token.execution_id} {token.name}".encode("utf-8", "surrogatepass")


async def signal_url(tenant_id: str, execution_id: str, name: str) -> str:
    """`<public URL>/signals/<token>`; without PUBLIC_URL a relative URL, as the host is unknown."""
    return f"{settings().public_url or ''}/signals/{await token_text(SignalToken(tenant_id, execution_id, name))}"
