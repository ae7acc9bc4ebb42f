"""The signatures in a delivery, the keys of its webhook, and the one comparison, in constant time."""

from __future__ import annotations

import hashlib
import hmac
import re
from collections.abc import Iterator, Sequence
from typing import Any

from shared.domain.json.values import parse_json
from shared.errors import InvalidRequestError
from shared.webhooks.delivery import Delivery, SignatureContext
from shared.webhooks.signatures.encodings import DECODERS, as_text
from shared.webhooks.signatures.scheme import Key, Scheme, Signature

# Longer than any signature, and than any list of them.
MAX_SIGNATURE_CHARACTERS = 16_384
MAX_CANDIDATES = 32
# What a blank text is made of.
BLANK = " \t\r\n\v\f\x00"


class RefusedError(Exception):
    """The delivery is refused, for the reason in its text."""


def matches(expected: Sequence[bytes], candidates: Sequence[bytes]) -> bool:
    """Whether any candidate is any of the expected digests: the only place where secrets are compared."""
    # No early return: the time must not say which of them fitted.
    is_equal = False
    for digest in expected:
        for candidate in candidates:
            is_equal |= hmac.compare_digest(digest, candidate)
    return is_equal


def keys_of(key: Key, secrets: Sequence[str], delivery: Delivery) -> list[tuple[str, bytes]]:
    """The keys in the secrets, each with its secret's text; blank ones, which anybody could guess, are left out."""
    keys = []
    for secret in secrets:
        if _is_blank(secret):
            continue
        text = secret
        for prefix in key.prefixes:
            text = text.removeprefix(prefix)
        if _is_blank(text):
            continue
        if key.template is not None:
            # Bytes that need no decoding are the key as they are: they may be no text.
            made = key.template.render(SignatureContext(delivery, secret=text))
            if made and len(key.encodings) == 1 and key.encodings[0] == "utf8":
                keys.append((text, made))
                continue
            text = "" if made is None else as_text(made)
        keys += [(text, raw) for encoding in key.encodings if (raw := _decoded_key(text, encoding))]
    return keys


def _is_blank(text: str) -> bool:
    """Whether there is nothing in the text: it is empty, blank or only NULs."""
    return not text.strip(BLANK)


def _decoded_key(text: str, encoding: str) -> bytes | None:
    """The key in a text (`encoding` utf8, or one of the digests'); `None` for one that is not in its encoding, or that
    anybody could guess: blank, nothing once decoded, or only NULs."""
    if _is_blank(text):
        return None
    key = text.encode("utf-8", "surrogatepass") if encoding == "utf8" else DECODERS[encoding](text)
    return key if key and key.strip(BLANK.encode()) else None


def public_keys_of(scheme: Scheme, secrets: Sequence[str], fetched: Sequence[object]) -> list[Any]:
    """The public keys of an asymmetric scheme: those that were fetched, where it says so, else those in the secrets.

    Without one it raises `RefusedError`.
    """
    from shared.webhooks.signatures.public_keys import keys_in

    keys = list(fetched) if scheme.fetch else keys_in(secrets, scheme.key)
    if not keys:
        raise RefusedError("key_unavailable" if scheme.fetch else "secret_unusable")
    return keys


def check_public(algorithm: str, keys: Sequence[Any], signatures: Sequence[bytes], contents: Sequence[bytes]) -> None:
    """Returns where one of the keys verifies one of the signatures over one of the contents; else `RefusedError`."""
    from shared.webhooks.signatures.public_keys import any_verifies

    if not any_verifies(algorithm, keys, signatures, contents):
        raise RefusedError("signature_mismatch")


def candidates_of(scheme: Scheme, signature: Signature, context: SignatureContext) -> list[bytes]:
    """The signatures that the delivery brings, decoded; tokens as their hashes. Raises `RefusedError` without any."""
    texts = [text for source in signature.sources if (text := source.as_text(context)) is not None]
    if not texts:
        raise RefusedError(f"header_missing: {signature.place}")
    candidates: list[bytes] = []
    for text in texts:
        if len(text) > MAX_SIGNATURE_CHARACTERS:
            raise RefusedError("signature_malformed: too long")
        candidates += _decoded(scheme, signature, written(signature, text, context))
    if not candidates or len(candidates) > MAX_CANDIDATES:
        raise RefusedError("signature_malformed")
    return candidates


def _decoded(scheme: Scheme, signature: Signature, texts: Sequence[str]) -> Iterator[bytes]:
    for text in texts:
        if signature.encoding == "text":
            raw: bytes | None = text.encode("utf-8", "surrogatepass")
        else:
            raw = DECODERS[signature.encoding](text)
        if not raw:
            continue
        if scheme.kind in ("token", "basic"):
            yield hashlib.sha256(raw).digest()
        # A digest of another length cannot be equal. Dropping it says nothing new: the sender chose its length.
        elif len(raw) == scheme.digest_size or (scheme.digest_size == 0 and len(raw) <= 1024):
            yield raw


def written(signature: Signature, text: str, context: SignatureContext) -> list[str]:
    """The signatures' texts in the text of one place; all its pairs or items are added to `context.pairs`."""
    prefix = signature.prefix
    match signature.format:
        case "single":
            # Some gateways join repeated headers with commas. Which of them counts is not ours to decide: not split.
            if text.startswith(prefix):
                return [text[len(prefix) :]]
            # An authentication scheme, like `Bearer`, is the same in any case (RFC 9110, section 11.1).
            is_scheme = prefix.endswith(" ") and text[: len(prefix)].lower() == prefix.lower()
            return [text[len(prefix) :]] if is_scheme else []
        case "list":
            items = [item.strip() for item in _split(signature, text)]
            context.pairs = [*context.pairs, *((str(place), item) for place, item in enumerate(items))]
            return [item[len(prefix) :] for item in items if item.startswith(prefix)]
        case "pairs":
            pairs = [_pair(item, signature.assign) for item in _split(signature, text)]
        case _:
            pairs = _members(text)
    context.pairs = [*context.pairs, *pairs]
    return [value for name, value in pairs if name in signature.names]


def _split(signature: Signature, text: str) -> list[str]:
    if len(signature.separators) == 1:
        return text.split(signature.separators[0])
    return re.split("|".join(map(re.escape, signature.separators)), text)


def _pair(item: str, assign: str) -> tuple[str, str]:
    name, _, value = item.strip().partition(assign)
    value = value.strip() if assign == "=" and value[:1] in ('"', " ") else value
    quoted = len(value) > 1 and value[0] == value[-1] == '"'
    return name.strip(), value[1:-1] if quoted else value


def _members(text: str) -> list[tuple[str, str]]:
    # Of a member that stands there twice, readers may take either: it is refused.
    raw = DECODERS["base64"](text)
    try:
        members = parse_json(raw or b"", refuse_unstorable=False, refuse_duplicates=True)
    except InvalidRequestError:
        return []
    pairs = members.items() if isinstance(members, dict) else ()
    return [(name, value) for name, value in pairs if isinstance(value, str)]
