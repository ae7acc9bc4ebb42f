"""Encrypts secrets at rest: AES-256-GCM under a key from the environment or Secrets Manager, bound to a context.

A stored secret is `v1:<key id>:<base64 of nonce and ciphertext>`. The key id is the start of the key's own hash, so
that a key can be replaced: the configured text may hold several keys, of which the first encrypts and all decrypt.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import hashlib
import hmac
import os
import time
from dataclasses import dataclass

from shared.errors import SecretUnreadableError, UnavailableError
from shared.platform.deadline import seconds_left
from shared.settings import settings

NONCE_BYTES = 12
KEY_BYTES = 32
# How old our copy of the keys must be before an unknown key id has it read again.
REFRESH_SECONDS = 30.0
# The timeout for reading the keys, unless the caller has less time.
KEY_SECONDS = 8.0


@dataclass(frozen=True, slots=True)
class KeyRing:
    """The keys by id; the one named `newest` encrypts. `read_at` is the monotonic time they were read."""

    keys: dict[str, bytes]
    newest: str
    read_at: float


_ring: KeyRing | None = None


async def encrypt(text: str, context: str) -> str:
    """The text encrypted under the newest key; `decrypt` needs the same context (such as tenant and webhook id)."""
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

    ring = await _key_ring()
    nonce = os.urandom(NONCE_BYTES)
    sealed = nonce + AESGCM(ring.keys[ring.newest]).encrypt(nonce, text.encode(), context.encode())
    return f"v1:{ring.newest}:{base64.b64encode(sealed).decode()}"


async def decrypt(text: str, context: str) -> str:
    """The text that was encrypted in this context; any other raises `SecretUnreadableError`."""
    from cryptography.exceptions import InvalidTag
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

    try:
        version, key_id, encoded = text.split(":")
        sealed = base64.b64decode(encoded, validate=True)
    except (ValueError, binascii.Error) as error:
        raise SecretUnreadableError from error
    ring = await _key_ring(key_id)
    # `_key_ring` has looked for a key added since: this one is unknown.
    if version != "v1" or key_id not in ring.keys or len(sealed) <= NONCE_BYTES:
        raise SecretUnreadableError
    try:
        opened = AESGCM(ring.keys[key_id]).decrypt(sealed[:NONCE_BYTES], sealed[NONCE_BYTES:], context.encode())
    except InvalidTag as error:
        raise SecretUnreadableError from error
    return opened.decode()


async def newest_key_id() -> str:
    """The id of the key that encrypts, as it stands in what it has encrypted."""
    return (await _key_ring()).newest


async def authenticate(content: bytes, context: str) -> bytes:
    """The HMAC-SHA256 of the content (32 bytes) under the newest key, for this context."""
    ring = await _key_ring()
    return _mac(ring.keys[ring.newest], content, context)


async def is_authentic(content: bytes, mac: bytes, context: str) -> bool:
    """Whether `authenticate` made this MAC, under any of the keys. Tries every key, each in constant time."""
    ring = await _key_ring()
    matches = [hmac.compare_digest(_mac(key, content, context), mac) for key in ring.keys.values()]
    return any(matches)


def _mac(key: bytes, content: bytes, context: str) -> bytes:
    # The data key itself only encrypts; the MAC's key is derived from it.
    return hmac.digest(hmac.digest(key, context.encode(), "sha256"), content, "sha256")


def parse_keys(text: str) -> KeyRing:
    """The keys in a text of base64 keys of 32 bytes, separated by spaces or commas; others raise `ValueError`."""
    keys: dict[str, bytes] = {}
    for encoded in text.replace(",", " ").split():
        try:
            # Secrets Manager generates text without padding.
            key = base64.b64decode(encoded + "=" * (-len(encoded) % 4), validate=True)
        except binascii.Error:
            key = b""
        if len(key) != KEY_BYTES:
            raise ValueError(f"A secrets key must be {KEY_BYTES} bytes in base64.")  # the key itself is not for logs
        keys[hashlib.sha256(key).hexdigest()[:8]] = key
    if not keys:
        raise ValueError("Set SECRETS_KEY (32 bytes in base64) or SECRETS_KEY_ARN (a Secrets Manager secret).")
    return KeyRing(keys, next(iter(keys)), time.monotonic())


def forget_keys() -> None:
    """Makes the next use read the keys again."""
    global _ring  # one per process, by design
    _ring = None


async def _key_ring(wanted: str | None = None) -> KeyRing:
    """The process's keys, read once; read again when `wanted` is unknown and the copy is not fresh."""
    global _ring
    stale = _ring is not None and wanted is not None and wanted not in _ring.keys
    if _ring is None or (stale and time.monotonic() - _ring.read_at > REFRESH_SECONDS):
        configured = settings()
        if configured.secrets_key is not None:
            _ring = parse_keys(configured.secrets_key)
        else:
            # boto3 blocks: a thread keeps the event loop free.
            read = asyncio.to_thread(_from_secrets_manager, configured.secrets_key_arn or "")
            try:
                async with asyncio.timeout(seconds_left(KEY_SECONDS)):
                    _ring = parse_keys(await read)
            except TimeoutError as error:
                raise UnavailableError("The key of the secrets cannot be read just now; try again.") from error
    return _ring


def _from_secrets_manager(arn: str) -> str:
    if not arn:
        return ""
    import boto3
    from botocore.config import Config
    from botocore.exceptions import BotoCoreError, ClientError

    config = Config(connect_timeout=2, read_timeout=3, retries={"total_max_attempts": 2})
    try:
        return boto3.client("secretsmanager", config=config).get_secret_value(SecretId=arn)["SecretString"]
    except (BotoCoreError, ClientError) as error:
        raise UnavailableError("The key of the secrets cannot be read just now; try again.") from error
