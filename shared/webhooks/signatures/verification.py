"""Does this delivery come from who holds the secret? One engine for every provider, and one comparison.

Every key is tried against every candidate, in the same time whichever fits. Nothing of the body is parsed here, unless
the provider signs inside it.
"""

from __future__ import annotations

import hashlib
import hmac
import re
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

from shared.domain.json.values import parse_json
from shared.errors import InvalidRequestError
from shared.webhooks.delivery import Delivery
from shared.webhooks.signatures.encodings import DECODERS, decode_key, is_blank
from shared.webhooks.signatures.fields import SignatureContext
from shared.webhooks.signatures.json_path import values
from shared.webhooks.signatures.scheme import Key, Scheme, Signature, Timestamp
from shared.webhooks.signatures.template import Template
from shared.webhooks.signatures.timestamps import UNITS
from shared.webhooks.signatures.transforms import as_text

# Longer than any signature, and than any list of them.
MAX_SIGNATURE_CHARACTERS = 16_384
MAX_CANDIDATES = 32
MAX_ITEMS = 1000


class Verification(NamedTuple):
    """`reason` is unset for a delivery that verifies; else it says, for the webhook's owner and never for the sender,
    why not. `timestamp` is the text that was signed."""

    reason: str | None = None
    timestamp: str | None = None

    @property
    def accepted(self) -> bool:
        """Whether the delivery verifies."""
        return self.reason is None


class RefusedError(Exception):
    """Carries the reason out of the reading of a delivery."""


def verify(
    scheme: Scheme, delivery: Delivery, secrets: Sequence[str], now: float, public_keys: Sequence[Any] = ()
) -> Verification:
    """The verdict on a delivery, judged at Unix time `now` with any of the `secrets`; without a usable one, refused.

    `public_keys` are those that were fetched, where the scheme says so.
    """
    if scheme.kind == "none":
        return Verification()
    try:
        if scheme.kind == "jwt":
            from shared.webhooks.signatures.jwt import check_token

            check_token(scheme, delivery, secrets, now, public_keys)
            timestamp = _timestamp(scheme.timestamp, SignatureContext(delivery))
            return Verification(staleness(scheme.timestamp, timestamp, now), timestamp)
        items = _items(scheme, delivery)
        timestamps = [_judge(scheme, delivery, secrets, public_keys, item) for item in items]
        stale = (staleness(scheme.timestamp, timestamp, now) for timestamp in timestamps)
        return Verification(next((reason for reason in stale if reason), None), timestamps[0])
    except RefusedError as refused:
        if delivery.work.is_spent:
            return Verification("too_much_work: the scheme makes more of this delivery than is allowed")
        return Verification(str(refused))


def matches(expected: Sequence[bytes], candidates: Sequence[bytes]) -> bool:
    """Whether any candidate is any of the expected digests: the only place where secrets are compared."""
    found = False
    for digest in expected:
        for candidate in candidates:
            found |= hmac.compare_digest(digest, candidate)
    return found


def keys_of(key: Key, secrets: Sequence[str], delivery: Delivery) -> list[tuple[str, bytes]]:
    """The keys in the secrets, each with its secret's text; those that could open anything are none."""
    found = []
    for secret in secrets:
        if is_blank(secret):
            continue
        text = secret
        for prefix in key.prefixes:
            text = text.removeprefix(prefix)
        if is_blank(text):
            continue
        if key.template is not None:
            made = key.template.render(SignatureContext(delivery, secret=text))
            if made and len(key.encodings) == 1 and key.encodings[0] == "utf8":
                found.append((text, made))
                continue
            text = "" if made is None else as_text(made)
        found += [(text, raw) for encoding in key.encodings if (raw := decode_key(text, encoding))]
    return found


def public_keys_of(scheme: Scheme, secrets: Sequence[str], fetched: Sequence[Any]) -> list[Any]:
    """The public keys of a scheme that has them: fetched where it says so, else out of the secrets.

    Without one it raises `RefusedError`.
    """
    from shared.webhooks.signatures.public_keys import keys_in

    keys = list(fetched) if scheme.fetch else keys_in(secrets, scheme.key)
    if not keys:
        raise RefusedError("key_unavailable" if scheme.fetch else "secret_unusable")
    return keys


def check_public(algorithm: str, keys: Sequence[Any], signatures: Sequence[bytes], contents: Sequence[bytes]) -> None:
    """Passes where one of the signatures is of one of the contents by one of the keys; else raises `RefusedError`."""
    from shared.webhooks.signatures.public_keys import any_verifies

    if not any_verifies(algorithm, keys, signatures, contents):
        raise RefusedError("signature_mismatch")


def staleness(timestamp: Timestamp | None, text: str | None, now: float) -> str | None:
    """Why the timestamp is too far from `now`, with the distance; `None` where it is not."""
    if timestamp is None or text is None or timestamp.unit == "opaque":
        return None
    seconds = UNITS[timestamp.unit](text)
    if seconds is None:
        return "timestamp_malformed"
    age = now - seconds
    if age > timestamp.tolerance_seconds:
        return f"timestamp_too_old: {age:.0f} s"
    if age < -timestamp.future_seconds:
        return f"timestamp_in_future: {-age:.0f} s"
    return None


def _items(scheme: Scheme, delivery: Delivery) -> Sequence[Any]:
    """The items that must verify; a delivery as a whole is one."""
    if scheme.items is None:
        return (None,)
    from shared.webhooks.signatures.json_path import parse_path

    found = list(values(delivery.json, parse_path(scheme.items.text.removeprefix("json:"))))
    if not found or len(found) > MAX_ITEMS:
        raise RefusedError("signature_malformed: no items")
    return found


def _judge(
    scheme: Scheme, delivery: Delivery, secrets: Sequence[str], public_keys: Sequence[Any], item: Any
) -> str | None:
    """The timestamp's text of a delivery, or an item of it, that verifies; else `RefusedError`."""
    assert scheme.signature is not None, "only schemes of kind none have no signature"
    facts = SignatureContext(delivery, item=item)
    candidates = _candidates(scheme, scheme.signature, facts)
    facts.timestamp = _timestamp(scheme.timestamp, facts)
    facts.lets = scheme.lets
    if scheme.kind == "asymmetric":
        keys = public_keys_of(scheme, secrets, public_keys)
        check_public(scheme.algorithm, keys, candidates, list(_contents(scheme, facts)))
        return facts.timestamp
    keys_found = keys_of(scheme.key, secrets, delivery)
    if not keys_found:
        raise RefusedError("secret_unusable")
    expected = []
    for secret, key in keys_found:
        facts.secret, facts.key = secret, key
        expected += [_digest(scheme, key, content) for content in _contents(scheme, facts)]
    if not matches(expected, candidates):
        raise RefusedError("signature_mismatch")
    return facts.timestamp


def _digest(scheme: Scheme, key: bytes, content: bytes) -> bytes:
    if scheme.kind == "hmac":
        return hmac.digest(key, content, scheme.algorithm)
    if scheme.kind == "hash":
        return hashlib.new(scheme.algorithm, content, usedforsecurity=False).digest()
    # Tokens have any length; their hashes have one, so that comparing them tells nothing about it.
    return hashlib.sha256(content).digest()


def _contents(scheme: Scheme, facts: SignatureContext) -> Iterator[bytes]:
    """What may have been signed; `RefusedError` where the delivery lacks what every content names."""
    found = False
    for content in scheme.contents:
        rendered = content.template.render(facts)
        if rendered is not None and all(_equal(word.as_text(facts), text, facts) for word, text in content.equal):
            found = True
            yield rendered
    if not found:
        missing = scheme.contents[0].template.missing(facts) or "what is signed"
        raise RefusedError(f"header_missing: {missing}")


def _equal(found: str | None, wanted: Template, facts: SignatureContext) -> bool:
    text = wanted.render(facts)
    return found is not None and text is not None and matches([text], [found.encode("utf-8", "surrogatepass")])


def _candidates(scheme: Scheme, signature: Signature, facts: SignatureContext) -> list[bytes]:
    texts = [text for source in signature.sources if (text := source.as_text(facts)) is not None]
    if not texts:
        raise RefusedError(f"header_missing: {signature.place}")
    candidates: list[bytes] = []
    for text in texts:
        if len(text) > MAX_SIGNATURE_CHARACTERS:
            raise RefusedError("signature_malformed: too long")
        candidates += _decoded(scheme, signature, written(signature, text, facts))
    if not candidates or len(candidates) > MAX_CANDIDATES:
        raise RefusedError("signature_malformed")
    return candidates


def written(signature: Signature, text: str, facts: SignatureContext) -> list[str]:
    """The signatures' texts in the text of one place; what else stands beside them goes into `facts.pairs`."""
    prefix = signature.prefix
    match signature.format:
        case "single":
            # Some gateways fold repeated headers into one with commas; which of them would be meant is not ours to say.
            if text.startswith(prefix):
                return [text[len(prefix) :]]
            is_scheme = prefix.endswith(" ") and text[: len(prefix)].lower() == prefix.lower()
            return [text[len(prefix) :]] if is_scheme else []
        case "list":
            items = [item.strip() for item in _split(signature, text)]
            facts.pairs = [*facts.pairs, *((str(place), item) for place, item in enumerate(items))]
            return [item[len(prefix) :] for item in items if item.startswith(prefix)]
        case "pairs":
            pairs = [_pair(item, signature.assign) for item in _split(signature, text)]
        case _:
            pairs = _members(text)
    facts.pairs = [*facts.pairs, *pairs]
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
    raw = DECODERS["base64"](text)
    try:
        found = parse_json(raw or b"", refuse_unstorable=False, refuse_duplicates=True)
    except InvalidRequestError:
        return []
    pairs = found.items() if isinstance(found, dict) else ()
    return [(name, value) for name, value in pairs if isinstance(value, str)]


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
        elif len(raw) == scheme.digest_size or (scheme.digest_size == 0 and len(raw) <= 1024):
            yield raw


def _timestamp(timestamp: Timestamp | None, facts: SignatureContext) -> str | None:
    if timestamp is None:
        return None
    text = timestamp.source.as_text(facts)
    if text is None:
        name = timestamp.place.removeprefix("signature:")
        if timestamp.from_signature and any(name == pair for pair, _ in facts.pairs):
            raise RefusedError("timestamp_malformed")
        raise RefusedError(f"header_missing: {timestamp.place}")
    return text
