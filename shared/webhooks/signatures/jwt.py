"""JSON Web Tokens as proofs: compact JWS (RFC 7515), one algorithm that the provider's file fixes."""

from __future__ import annotations

import hmac
from collections.abc import Sequence

from shared.domain.json.values import parse_json
from shared.errors import InvalidRequestError
from shared.json_types import JsonObject
from shared.webhooks.delivery import Delivery, SignatureContext
from shared.webhooks.signatures.comparison import (
    MAX_SIGNATURE_CHARACTERS,
    RefusedError,
    check_public,
    keys_of,
    matches,
    public_keys_of,
    written,
)
from shared.webhooks.signatures.encodings import DECODERS
from shared.webhooks.signatures.json_path import parse_path, text_of, values
from shared.webhooks.signatures.scheme import Scheme

HMACS = {"HS256": "sha256", "HS384": "sha384", "HS512": "sha512"}
PUBLIC = {
    "RS256": "rsa-sha256",
    "RS384": "rsa-sha384",
    "RS512": "rsa-sha512",
    "ES256": "es-p256-sha256",
    "EdDSA": "ed25519",
}


def check_token(
    scheme: Scheme, delivery: Delivery, secrets: Sequence[str], now: float, public_keys: Sequence[object]
) -> None:
    """Fills the delivery's claims in when its token verifies; else raises `RefusedError`."""
    head, payload, signature, signed = _parts(scheme, delivery)
    protected = _object(head)
    if protected.get("alg") != scheme.algorithm:
        # The sender must not choose the algorithm: it could say `none`, or use a public key as an HMAC's.
        raise RefusedError(f"signature_malformed: its alg is not {scheme.algorithm}")
    # A token with an extension that is not understood must be refused (RFC 7515, section 4.1.11); `b64` is RFC 7797's.
    if set(protected.get("crit") or ()) - {"b64"}:
        raise RefusedError("signature_malformed: crit")
    _check_signature(scheme, delivery, secrets, public_keys, signature, signed)
    # The payload is parsed once its signature has verified. It is put into the delivery before it is checked, since the
    # checks read it there.
    claims = {} if scheme.detached else _object(payload)
    delivery.protected.update(protected)
    delivery.claims.update(claims)
    _check_times(scheme, claims, now)
    _check_claims(scheme, delivery)


def key_id(scheme: Scheme, delivery: Delivery) -> str | None:
    """The unverified `kid` of the token, which only says which of several published keys to try first."""
    try:
        kid = _object(_parts(scheme, delivery)[0]).get("kid")
    except RefusedError:
        return None
    return kid if isinstance(kid, str) else None


def _parts(scheme: Scheme, delivery: Delivery) -> tuple[bytes, bytes, bytes, bytes]:
    """The token's header, payload and signature, and what was signed."""
    assert scheme.signature is not None, "a token stands somewhere"
    context = SignatureContext(delivery)
    text = scheme.signature.sources[0].as_text(context)
    if text is None:
        raise RefusedError(f"header_missing: {scheme.signature.place}")
    is_body = scheme.signature.place.partition("|")[0] == "body"
    if len(text) > MAX_SIGNATURE_CHARACTERS and not is_body:
        raise RefusedError("signature_malformed: too long")
    tokens = written(scheme.signature, text.strip() if is_body else text, context)
    parts = tokens[0].split(".") if len(tokens) == 1 else []
    if len(parts) != 3 or not text.isascii():
        raise RefusedError("signature_malformed")
    decoded = [DECODERS["base64url"](part) for part in parts]
    head, payload, signature = decoded
    if not head or not signature or payload is None:
        raise RefusedError("signature_malformed")
    if scheme.detached:
        if parts[1]:
            raise RefusedError("signature_malformed: not detached")
        # What was signed is the body as it is, not in base64 (RFC 7797, section 3).
        return head, b"", signature, parts[0].encode() + b"." + delivery.body
    return head, payload, signature, f"{parts[0]}.{parts[1]}".encode()


def _object(raw: bytes) -> JsonObject:
    try:
        # Of two members with one name, another reader could take the other one (RFC 7515, section 4).
        value = parse_json(raw, refuse_unstorable=False, refuse_duplicates=True)
    except InvalidRequestError:
        value = None
    if not isinstance(value, dict):
        raise RefusedError("signature_malformed")
    return value


def _check_signature(
    scheme: Scheme,
    delivery: Delivery,
    secrets: Sequence[str],
    public_keys: Sequence[object],
    signature: bytes,
    signed: bytes,
) -> None:
    if scheme.algorithm in HMACS:
        keys = [key for _, key in keys_of(scheme.key, secrets, delivery)]
        if not keys:
            raise RefusedError("secret_unusable")
        if not matches([hmac.digest(key, signed, HMACS[scheme.algorithm]) for key in keys], [signature]):
            raise RefusedError("signature_mismatch")
        return
    keys_found = public_keys_of(scheme, secrets, public_keys)
    check_public(PUBLIC[scheme.algorithm], keys_found, [signature], [signed])


def _check_times(scheme: Scheme, claims: JsonObject, now: float) -> None:
    for name in scheme.requires:
        if claims.get(name) is None:
            raise RefusedError(f"claim_missing: {name}")
    for name in ("exp", "nbf"):
        value = claims.get(name)
        if value is None:
            continue
        if not isinstance(value, (int, float)) or isinstance(value, bool):
            raise RefusedError("timestamp_malformed")
        if name == "exp" and now >= value + scheme.leeway_seconds:
            raise RefusedError(f"timestamp_too_old: {now - value:.0f} s")
        if name == "nbf" and now < value - scheme.leeway_seconds:
            raise RefusedError(f"timestamp_in_future: {value - now:.0f} s")


def _check_claims(scheme: Scheme, delivery: Delivery) -> None:
    context = SignatureContext(delivery)
    context.lets = scheme.lets
    for name, templates in scheme.claims:
        wanted = [text for template in templates if (text := template.render(context))]
        if not wanted:
            # An option that was left empty must not match an empty claim.
            raise RefusedError(f"claim_mismatch: {name}")
        claim = next(values(delivery.claims, parse_path(name)), None)
        # A claim like `aud` is a text or a list of texts (RFC 7519, section 4.1.3), of which one must fit.
        texts = [text_of(item) for item in (claim if isinstance(claim, list) else [claim])]
        candidates = [text.encode("utf-8", "surrogatepass") for text in texts if text is not None]
        if not matches(wanted, candidates):
            covered = any("body" in template.fields for template in templates)
            raise RefusedError("body_modified" if covered else f"claim_mismatch: {name}")
