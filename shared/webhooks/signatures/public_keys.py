"""Signatures by public keys: Ed25519, ECDSA on P-256, RSA. Imported only where a provider signs so."""

from __future__ import annotations

import base64
import json
from collections.abc import Sequence
from functools import lru_cache

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature

from shared.webhooks.signatures.encodings import DECODERS
from shared.webhooks.signatures.scheme import Key

PublicKey = ed25519.Ed25519PublicKey | ec.EllipticCurvePublicKey | rsa.RSAPublicKey

MIN_RSA_BITS = 1024
MAX_RSA_BITS = 8192

_P = 2**255 - 19
# The y of the points of small order on edwards25519 (RFC 8032, section 5.1), and the encodings of y at or above p.
# Under such a key anybody can make a signature that verifies for any message, and OpenSSL accepts the key.
_LOW_ORDER_Y = frozenset(
    {
        0,
        1,
        _P - 1,
        2707385501144840649318225287225658788936804267575313519463743609750303021079,
        _P - 2707385501144840649318225287225658788936804267575313519463743609750303021079,
        55188659117513257062467267217118295137698188065244968500265048394206261417927,
        _P - 55188659117513257062467267217118295137698188065244968500265048394206261417927,
    }
)

_HASHES: dict[str, hashes.HashAlgorithm] = {
    "sha1": hashes.SHA1(),  # noqa: S303  # what some providers sign with; weak is said in their files
    "sha256": hashes.SHA256(),
    "sha384": hashes.SHA384(),
    "sha512": hashes.SHA512(),
}


def keys_in(secrets: Sequence[str], key: Key) -> list[PublicKey]:
    """The public keys in a webhook's secrets; anything else, and keys under which anything verifies, are left out."""
    keys = []
    for secret in secrets:
        text = secret
        for prefix in key.prefixes:
            text = text.removeprefix(prefix)
        keys += [
            loaded
            for encoding in key.encodings
            if (loaded := _load_cached(text.strip(" \t\r\n\v\f\x00"), encoding)) is not None
        ]
    return keys


def load(text: str, encoding: str) -> PublicKey | None:
    """The public key in a text: PEM (a key or a certificate), or base64 or hex of DER or of Ed25519's 32 bytes; `None`
    where there is none that can be trusted."""
    if not text:
        return None
    if encoding == "pem":
        # Settings pages and environment variables break lines in several ways.
        return _from_pem(text.replace("\\n", "\n").encode("utf-8", "surrogatepass"))
    raw = DECODERS[encoding]("".join(text.split()))
    if not raw:
        return None
    # Ed25519's bare bytes: DER of any key is longer.
    if len(raw) == 32:
        return ed25519_key(raw)
    try:
        return _trusted(serialization.load_der_public_key(raw))
    except (ValueError, TypeError, UnsupportedAlgorithm):
        return None


_load_cached = lru_cache(maxsize=256)(load)


def from_jwk(jwk: object) -> PublicKey | None:
    """The public key in a JWK (RFC 7517), `None` where there is none."""
    if not isinstance(jwk, dict):
        return None
    try:
        match jwk.get("kty"), jwk.get("crv"):
            case "RSA", _:
                numbers = rsa.RSAPublicNumbers(_whole(jwk["e"]), _whole(jwk["n"]))
                return _trusted(numbers.public_key())
            case "EC", "P-256":
                return ec.EllipticCurvePublicNumbers(_whole(jwk["x"]), _whole(jwk["y"]), ec.SECP256R1()).public_key()
            case "OKP", "Ed25519":
                return ed25519_key(DECODERS["base64url"](jwk["x"]) or b"")
    except (KeyError, ValueError, TypeError, AttributeError, UnsupportedAlgorithm):
        return None
    return None


def jwks(document: bytes) -> list[tuple[str | None, PublicKey]]:
    """The keys in a JWK set, each with its `kid`."""
    value = json.loads(document)
    keys = value.get("keys") if isinstance(value, dict) else None
    pairs = [(jwk.get("kid"), from_jwk(jwk)) for jwk in keys or () if isinstance(jwk, dict)]
    return [(kid if isinstance(kid, str) else None, key) for kid, key in pairs if key is not None]


def certificate_key(pem: bytes, now: float) -> PublicKey | None:
    """The key of the first certificate in a PEM, `None` where it is not valid at Unix time `now`."""
    from datetime import UTC, datetime

    from cryptography import x509

    try:
        certificate = x509.load_pem_x509_certificate(pem)
        at = datetime.fromtimestamp(now, UTC)
        if not certificate.not_valid_before_utc <= at <= certificate.not_valid_after_utc:
            return None
        return _trusted(certificate.public_key())
    except (ValueError, UnsupportedAlgorithm):
        return None


def ed25519_key(raw: bytes) -> ed25519.Ed25519PublicKey | None:
    """The key of these 32 bytes, unless its point has a small order or its encoding is not canonical."""
    y = int.from_bytes(raw, "little") & (2**255 - 1)
    if len(raw) != 32 or y >= _P or y in _LOW_ORDER_Y:
        return None
    try:
        return ed25519.Ed25519PublicKey.from_public_bytes(raw)
    except (ValueError, UnsupportedAlgorithm):
        return None


def any_verifies(
    algorithm: str, keys: Sequence[PublicKey], signatures: Sequence[bytes], contents: Sequence[bytes]
) -> bool:
    """Whether any of the keys verifies any of the signatures over any of the contents; all are tried."""
    is_verified = False
    for key in keys:
        for signature in signatures:
            for content in contents:
                is_verified |= verifies(algorithm, key, signature, content)
    return is_verified


def verifies(algorithm: str, key: PublicKey, signature: bytes, content: bytes) -> bool:
    """Whether the key, which must be of the algorithm's kind, verifies this signature over the content."""
    family, _, digest = algorithm.rpartition("-")
    try:
        if algorithm == "ed25519" and isinstance(key, ed25519.Ed25519PublicKey):
            key.verify(signature, content)
            return True
        if family in ("ecdsa-p256", "es-p256") and isinstance(key, ec.EllipticCurvePublicKey):
            if family == "es-p256":  # JOSE writes r and s side by side (RFC 7518, section 3.4)
                if len(signature) != 64:
                    return False
                signature = encode_dss_signature(
                    int.from_bytes(signature[:32], "big"), int.from_bytes(signature[32:], "big")
                )
            key.verify(signature, content, ec.ECDSA(_HASHES[digest]))
            return True
        if family in ("rsa", "rsa-pss") and isinstance(key, rsa.RSAPublicKey):
            hashed = _HASHES[digest]
            padded: padding.AsymmetricPadding = padding.PKCS1v15()
            if family == "rsa-pss":
                # The signer chooses the salt's length.
                padded = padding.PSS(padding.MGF1(hashed), padding.PSS.AUTO)
            key.verify(signature, content, padded, hashed)
            return True
    except (InvalidSignature, ValueError, UnsupportedAlgorithm):
        return False
    return False


def _from_pem(pem: bytes) -> PublicKey | None:
    try:
        if b"BEGIN CERTIFICATE" in pem:
            from cryptography import x509

            return _trusted(x509.load_pem_x509_certificate(pem).public_key())
        if b"BEGIN" not in pem:
            pem = b"-----BEGIN PUBLIC KEY-----\n" + pem + b"\n-----END PUBLIC KEY-----\n"
        return _trusted(serialization.load_pem_public_key(pem))
    except (ValueError, TypeError, UnsupportedAlgorithm):
        return None


def _trusted(key: object) -> PublicKey | None:
    if isinstance(key, ed25519.Ed25519PublicKey):
        raw = key.public_bytes(serialization.Encoding.Raw, serialization.PublicFormat.Raw)
        return ed25519_key(raw)
    if isinstance(key, ec.EllipticCurvePublicKey):
        return key if isinstance(key.curve, ec.SECP256R1) else None
    if isinstance(key, rsa.RSAPublicKey):
        # Under e = 1 every text is its own signature; an even e is no RSA key. A smaller modulus can be factored, and a
        # larger one costs more time than a delivery may take.
        exponent = key.public_numbers().e
        return key if MIN_RSA_BITS <= key.key_size <= MAX_RSA_BITS and exponent > 1 and exponent % 2 else None
    return None


def _whole(text: str) -> int:
    raw = base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
    return int.from_bytes(raw, "big")
