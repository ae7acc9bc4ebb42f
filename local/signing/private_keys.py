"""Signing with a private key, for demos, tools and tests: nothing of the service holds a provider's private key."""

from __future__ import annotations

from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa

from shared.json_types import JsonObject

_HASHES: JsonObject = {
    "sha1": hashes.SHA1,
    "sha256": hashes.SHA256,
    "sha384": hashes.SHA384,
    "sha512": hashes.SHA512,
}


def sign_with(algorithm: str, private_pem: str, content: bytes) -> bytes:
    """The signature of the content; `ValueError` where the PEM has no private key of the algorithm's kind."""
    try:
        key = serialization.load_pem_private_key(private_pem.encode(), None)
    except (ValueError, TypeError) as error:
        raise ValueError(f"Signing by {algorithm} needs the private key in PEM.") from error
    family, _, digest = algorithm.rpartition("-")
    if isinstance(key, ed25519.Ed25519PrivateKey) and algorithm == "ed25519":
        return key.sign(content)
    if isinstance(key, ec.EllipticCurvePrivateKey) and family in ("ecdsa-p256", "es-p256"):
        signature = key.sign(content, ec.ECDSA(_HASHES[digest]()))
        return _side_by_side(signature) if family == "es-p256" else signature
    if isinstance(key, rsa.RSAPrivateKey) and family == "rsa":
        return key.sign(content, padding.PKCS1v15(), _HASHES[digest]())
    if isinstance(key, rsa.RSAPrivateKey) and family == "rsa-pss":
        hashed = _HASHES[digest]()
        return key.sign(content, padding.PSS(padding.MGF1(hashed), padding.PSS.DIGEST_LENGTH), hashed)
    raise ValueError(f"The private key is not one for {algorithm}.")


def _side_by_side(signature: bytes) -> bytes:
    from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature

    r, s = decode_dss_signature(signature)
    return r.to_bytes(32, "big") + s.to_bytes(32, "big")
