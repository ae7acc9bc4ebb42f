"""Keys and tokens of the local stack: the API keys of its Supabase gateway and signed-in users' tokens."""

from __future__ import annotations

import base64
import json
import secrets
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jwt
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from local.stack.tenant import write_private
from shared.json_types import JsonObject

_TEN_YEARS_SECONDS = 10 * 365 * 86_400
_KEY_ID = "local"


@dataclass(frozen=True, slots=True)
class LocalKeys:
    """The secrets of one stack, made at its first start and kept in its folder."""

    jwt_secret: str
    secrets_key: str
    user_key: ec.EllipticCurvePrivateKey

    @classmethod
    def of(cls, folder: Path) -> LocalKeys:
        """The keys kept in `folder`; missing ones are made, readable by this user alone."""
        folder.mkdir(parents=True, exist_ok=True)
        return cls(
            jwt_secret=_kept(folder / "jwt_secret", lambda: secrets.token_hex(32)),
            secrets_key=_kept(folder / "secrets_key", lambda: base64.b64encode(secrets.token_bytes(32)).decode()),
            user_key=_load(_kept(folder / "user_key.pem", _new_user_key)),
        )

    def api_key(self, role: str) -> str:
        """The gateway's key for `anon` or `service_role`: a JWT that holds for ten years, as Supabase's legacy keys."""
        # Not before 2026: the same second of the same folder gives the same key, so that a restart changes nothing.
        claims = {"iss": "supabase", "role": role, "iat": 1_767_225_600, "exp": 1_767_225_600 + _TEN_YEARS_SECONDS}
        return jwt.encode(claims, self.jwt_secret, algorithm="HS256")

    def user_token(
        self, supabase_url: str, tenant_id: str, *, role: str = "admin", user_id: str, lifetime_seconds: int = 3600
    ) -> str:
        """The token that Supabase Auth would give to a signed-in user of the tenant (ES256)."""
        now = int(time.time())
        claims = {
            "iss": f"{supabase_url}/auth/v1",
            "aud": "authenticated",
            "role": "authenticated",
            "sub": user_id,
            "iat": now,
            "exp": now + lifetime_seconds,
            "app_metadata": {"tenant_id": tenant_id, "role": role},
        }
        return self.sign(claims)

    def sign(self, claims: JsonObject) -> str:
        """Any claims as a token of this stack's user key."""
        return jwt.encode(claims, self.user_key, algorithm="ES256", headers={"kid": _KEY_ID})

    def jwks(self) -> JsonObject:
        """The public half of the user key as a JSON Web Key Set (RFC 7517)."""
        public = json.loads(jwt.algorithms.ECAlgorithm.to_jwk(self.user_key.public_key()))
        return {"keys": [{**public, "kid": _KEY_ID, "alg": "ES256", "use": "sig"}]}

    def gateway_keys(self) -> JsonObject:
        """All that the gateway accepts, as one key set: the secret behind the API keys and the users' public key."""
        secret = base64.urlsafe_b64encode(self.jwt_secret.encode()).rstrip(b"=").decode()
        return {"keys": [{"kty": "oct", "k": secret, "alg": "HS256"}, *self.jwks()["keys"]]}


def _kept(path: Path, make: Any) -> str:
    try:
        return path.read_text()
    except FileNotFoundError:
        write_private(path, make())
        return path.read_text()


def _new_user_key() -> str:
    return (
        ec.generate_private_key(ec.SECP256R1())
        .private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
        .decode()
    )


def _load(pem: str) -> ec.EllipticCurvePrivateKey:
    key = serialization.load_pem_private_key(pem.encode(), password=None)
    assert isinstance(key, ec.EllipticCurvePrivateKey)
    return key
