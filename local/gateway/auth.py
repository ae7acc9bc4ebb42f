"""Who sends a request: JWTs and API keys become a database role and the claims that policies read."""

from __future__ import annotations

import base64
import binascii
import json
import time
from dataclasses import dataclass
from typing import Any

import jwt

from local.gateway.errors import GatewayError
from shared.json_types import JsonObject

LEEWAY_SECONDS = 30
_MAX_CACHED = 1000
_ALGORITHMS = jwt.algorithms.get_default_algorithms()
_FAMILIES = {"HS": "oct", "RS": "RSA", "PS": "RSA", "ES": "EC"}
_PRIVATE_MEMBERS = {"d", "p", "q", "dp", "dq", "qi", "oth", "k"}


@dataclass(frozen=True, slots=True)
class Caller:
    """A verified caller. `claims` is JSON; `expires` is a Unix time, None when the token has no end."""

    role: bytes
    claims: bytes
    anonymous: bool
    expires: float | None = None


@dataclass(frozen=True, slots=True)
class _Key:
    kty: str
    kid: str | None
    key: Any


class Authenticator:
    """Verifies tokens with fixed keys; verified ones are cached until they expire."""

    def __init__(
        self,
        jwt_secret: str,
        jwks: JsonObject | None = None,
        *,
        anon_role: str = "anon",
        publishable_key: str | None = None,
        secret_key: str | None = None,
        require_apikey: bool = False,
    ) -> None:
        """`jwt_secret` is the secret of HS256 tokens, or a JSON Web Key Set as text; `jwks` adds keys.

        `publishable_key` and `secret_key` are opaque API keys that stand for the anonymous role and `service_role`.
        `require_apikey` refuses requests whose `apikey` header holds neither of them nor a valid token.
        """
        published = list((jwks or {}).get("keys", []))
        self._keys: list[_Key] = []
        if jwt_secret.lstrip().startswith("{"):
            published = [*json.loads(jwt_secret)["keys"], *published]
        else:
            self._keys.append(_Key("oct", None, jwt_secret.encode()))
        self._keys += [_Key(key["kty"], key.get("kid"), jwt.PyJWK(key).key) for key in published]
        public = [key for key in published if key["kty"] != "oct"]
        self.jwks = {"keys": [{k: v for k, v in key.items() if k not in _PRIVATE_MEMBERS} for key in public]}
        self._anon_role = anon_role
        self._anonymous = self._role(anon_role)
        self._api_keys: dict[bytes, Caller] = {}
        if publishable_key:
            self._api_keys[publishable_key.encode()] = self._anonymous
        if secret_key:
            self._api_keys[secret_key.encode()] = self._role("service_role")
        self._require_apikey = require_apikey
        self._verified: dict[bytes, Caller] = {}

    def identify(self, authorization: bytes | None, apikey: bytes | None) -> Caller:
        """The caller by its headers. Raises `GatewayError` (401) for an unknown API key or a token that is not valid.

        An opaque API key counts where no user's token is sent, as Supabase's gateway exchanges it.
        """
        known = self._api_keys.get(apikey) if apikey is not None else None
        if self._require_apikey and known is None:
            self._check_legacy_key(apikey)
        token = _bearer(authorization)
        if token is None or (token == apikey and known is not None):
            return known or self._anonymous
        caller = self._verified.get(token)
        if caller is None:
            caller = self._verify(token)
            # A signature costs far more than a look-up; the cache is emptied when it is full, which is rare and cheap.
            if len(self._verified) >= _MAX_CACHED:
                self._verified.clear()
            self._verified[token] = caller
        if caller.expires is not None and caller.expires + LEEWAY_SECONDS < time.time():
            raise _invalid_claim("JWT expired")
        return caller

    def _role(self, role: str) -> Caller:
        claims = json.dumps({"role": role}, separators=(",", ":")).encode()
        return Caller(role.encode(), claims, anonymous=role == self._anon_role)

    def _check_legacy_key(self, apikey: bytes | None) -> None:
        if apikey is None:
            raise GatewayError(401, "PGRST301", "No API key found in request", hint="Send it in the apikey header.")
        try:
            self._verify(apikey)
        except GatewayError as error:
            raise GatewayError(401, "PGRST301", "Invalid API key") from error

    def _verify(self, token: bytes) -> Caller:
        parts = token.split(b".")
        if len(parts) != 3:
            raise _invalid_token(f"Expected 3 parts in JWT; got {len(parts)}")
        header, text = _object(parts[0]), _decoded(parts[1])
        self._check_signature(header, b".".join(parts[:2]), _decoded(parts[2]))
        claims = _object(parts[1])
        _check_claims(claims, time.time())
        role = claims.get("role", self._anon_role)
        if not isinstance(role, str) or "\0" in role:
            raise _invalid_claim("The JWT 'role' claim must be a string")
        if "role" not in claims:
            text = json.dumps({**claims, "role": role}).encode()
        expires = claims.get("exp")
        return Caller(role.encode(), text, role == self._anon_role, None if expires is None else float(expires))

    def _check_signature(self, header: JsonObject, signed: bytes, signature: bytes) -> None:
        name = header.get("alg")
        family = _FAMILIES.get(name[:2]) if isinstance(name, str) and name in _ALGORITHMS else None
        if family is None:
            details = "JWT is unsecured but expected 'alg' was not 'none'" if name == "none" else f"alg is {name!r}"
            raise _invalid_token("Wrong or unsupported encoding algorithm", details)
        algorithm = _ALGORITHMS[str(name)]
        # The key decides which algorithms are possible, so a public key is never taken for a shared secret.
        keys = [key.key for key in self._keys if key.kty == family and header.get("kid") in (None, key.kid)]
        if not any(algorithm.verify(signed, key, signature) for key in keys):
            raise _invalid_token("No suitable key or wrong key type", "None of the keys was able to decode the JWT")


def _bearer(authorization: bytes | None) -> bytes | None:
    """The token of an Authorization header; None when there is none of the scheme Bearer."""
    if authorization is None:
        return None
    scheme, _, token = authorization.partition(b" ")
    if scheme.lower() != b"bearer":
        return None
    token = token.strip()
    if not token:
        raise _invalid_token("Empty JWT is sent in Authorization header")
    return token


def _check_claims(claims: JsonObject, now: float) -> None:
    for name in ("exp", "nbf", "iat"):
        value = claims.get(name)
        if value is not None and (isinstance(value, bool) or not isinstance(value, int | float)):
            raise _invalid_claim(f"The JWT '{name}' claim must be a number")
    audience = claims.get("aud")
    members = audience if isinstance(audience, list) else [audience]
    if audience is not None and not all(isinstance(member, str) for member in members):
        raise _invalid_claim("The JWT 'aud' claim must be a string or an array of strings")
    if claims.get("exp") is not None and claims["exp"] + LEEWAY_SECONDS < now:
        raise _invalid_claim("JWT expired")
    if claims.get("nbf") is not None and claims["nbf"] - LEEWAY_SECONDS > now:
        raise _invalid_claim("JWT not yet valid")
    if claims.get("iat") is not None and claims["iat"] - LEEWAY_SECONDS > now:
        raise _invalid_claim("JWT issued at future")


def _decoded(part: bytes) -> bytes:
    try:
        return base64.urlsafe_b64decode(part + b"=" * (-len(part) % 4))
    except (binascii.Error, ValueError):
        raise _invalid_token("JWT cryptographic operation failed") from None


def _object(part: bytes) -> JsonObject:
    try:
        value = json.loads(_decoded(part))
    except ValueError:
        raise _invalid_token("JWT cryptographic operation failed") from None
    if not isinstance(value, dict):
        raise _invalid_token("JWT cryptographic operation failed")
    return value


def _invalid_token(message: str, details: str | None = None) -> GatewayError:
    return _unauthorized("PGRST301", message, details)


def _invalid_claim(message: str) -> GatewayError:
    return _unauthorized("PGRST303", message, None)


def _unauthorized(code: str, message: str, details: str | None) -> GatewayError:
    challenge = f'Bearer error="invalid_token", error_description="{message}"'.encode()
    return GatewayError(401, code, message, details=details, headers=[(b"www-authenticate", challenge)])
