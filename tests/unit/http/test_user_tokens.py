"""Supabase user tokens: who gets in, and every way not to."""

from __future__ import annotations

import json
import time
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from jwt.algorithms import ECAlgorithm, RSAAlgorithm

from shared.domain.actor import Actor
from shared.errors import UnavailableError
from shared.http.user_tokens import LEEWAY_SECONDS, UserTokens
from shared.json_types import JsonObject
from shared.settings import Settings

URL = "https://project.supabase.test"
TENANT = "0199c000-0000-7000-8000-000000000001"
EC_KEY = ec.generate_private_key(ec.SECP256R1())
RSA_KEY = rsa.generate_private_key(65537, 2048)
STRANGER = ec.generate_private_key(ec.SECP256R1())


class Project:
    """A Supabase project's key set, which counts how often it is fetched."""

    def __init__(self) -> None:
        self.fetched: list[str] = []
        self.fails: Exception | None = None
        self.keys = [
            {**json.loads(ECAlgorithm.to_jwk(EC_KEY.public_key())), "kid": "ec", "alg": "ES256"},
            {**json.loads(RSAAlgorithm.to_jwk(RSA_KEY.public_key())), "kid": "rsa", "alg": "RS256"},
            {"kty": "oct", "k": "c2VjcmV0c2VjcmV0c2VjcmV0c2VjcmV0c2VjcmV0", "kid": "shared", "alg": "HS256"},
        ]

    async def fetch(self, url: str) -> JsonObject:
        """The key set."""
        self.fetched.append(url)
        if self.fails is not None:
            raise self.fails
        return {"keys": self.keys}


@pytest.fixture
def project() -> Project:
    """A project with an EC, an RSA and a shared key."""
    return Project()


@pytest.fixture
def tokens(project: Project) -> UserTokens:
    """The project's verifier."""
    return UserTokens(Settings(supabase_url=URL, supabase_key="unused"), project.fetch)


def claims(**changed: Any) -> JsonObject:
    """What Supabase says of a user; a claim changed to None is left out."""
    found = {
        "iss": f"{URL}/auth/v1",
        "aud": "authenticated",
        "role": "authenticated",
        "sub": "user-1",
        "exp": int(time.time()) + 60,
        "app_metadata": {"tenant_id": TENANT, "role": "editor"},
        "user_metadata": {"tenant_id": "0199c000-0000-7000-8000-00000000000f", "role": "admin"},
        **changed,
    }
    return {name: value for name, value in found.items() if value is not None}


def signed(key: Any = EC_KEY, algorithm: str = "ES256", kid: str = "ec", **changed: Any) -> str:
    """A token of these claims."""
    return jwt.encode(claims(**changed), key, algorithm, headers={"kid": kid})


async def test_user_is_who_app_metadata_says(tokens: UserTokens) -> None:
    """The tenant and the role come from `app_metadata`, never from what users write themselves."""
    exp = int(time.time()) + 60
    actor = await tokens.authenticate(signed(exp=exp))
    assert actor == Actor(TENANT, "user:user-1", "editor", expires_at=exp + LEEWAY_SECONDS)
    assert await tokens.authenticate(signed(RSA_KEY, "RS256", "rsa")) is not None


async def test_user_without_a_role_is_a_viewer(tokens: UserTokens) -> None:
    """Who is given no role may read."""
    actor = await tokens.authenticate(signed(app_metadata={"tenant_id": TENANT.upper()}))
    assert actor is not None
    assert (actor.tenant_id, actor.name, actor.role) == (TENANT, "user:user-1", "viewer")


@pytest.mark.parametrize(
    "changed",
    [
        {"exp": int(time.time()) - 31},
        {"exp": None},
        {"exp": "soon"},
        {"iss": "https://other.supabase.test/auth/v1"},
        {"iss": None},
        {"aud": "anon"},
        {"aud": None},
        {"sub": None},
        {"role": "anon"},
        {"role": "service_role"},
        {"role": None},
        {"nbf": int(time.time()) + 600},
        {"app_metadata": None},
        {"app_metadata": []},
        {"app_metadata": {"role": "admin"}},
        {"app_metadata": {"tenant_id": "mine"}},
        {"app_metadata": {"tenant_id": TENANT, "role": "root"}},
        {"app_metadata": {"tenant_id": TENANT, "role": ["admin"]}},
    ],
)
async def test_claim_that_is_not_right_is_refused(tokens: UserTokens, changed: JsonObject) -> None:
    """Every claim that the rules name is checked."""
    assert await tokens.authenticate(signed(**changed)) is None


@pytest.mark.parametrize(
    "token",
    [
        signed(STRANGER),
        signed(kid="unknown"),
        signed(RSA_KEY, "RS256", "ec"),
        signed(RSA_KEY, "PS256", "rsa"),
        jwt.encode(claims(), "secretsecretsecretsecretsecretse", "HS256", headers={"kid": "shared"}),
        jwt.encode(claims(), None, "none", headers={"kid": "ec"}),
        signed()[:-4] + "AAAA",
        signed().rsplit(".", 1)[0] + ".",
        "",
        "a.b.c",
        "e30.e30.",
        "x" * 9000,
    ],
)
async def test_signature_that_is_not_right_is_refused(tokens: UserTokens, token: str) -> None:
    """The key decides the algorithm; another key, another algorithm, none, and no token at all are refused."""
    assert await tokens.authenticate(token) is None


async def test_keys_are_fetched_once(tokens: UserTokens, project: Project) -> None:
    """The key set is cached; unknown keys do not make it fetched again and again."""
    for kid in ("ec", "ec", "unknown", "another"):
        await tokens.authenticate(signed(kid=kid))
    assert project.fetched == [f"{URL}/auth/v1/.well-known/jwks.json"]


async def test_a_new_key_is_found(tokens: UserTokens, project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    """After a rotation a token with the new key is let in as soon as the key set may be fetched again."""
    await tokens.authenticate(signed())
    project.keys.append({**json.loads(ECAlgorithm.to_jwk(STRANGER.public_key())), "kid": "new"})
    later = time.monotonic() + 11
    monkeypatch.setattr(time, "monotonic", lambda: later)
    assert await tokens.authenticate(signed(STRANGER, kid="new")) is not None
    assert len(project.fetched) == 2


def pass_time(monkeypatch: pytest.MonkeyPatch, seconds: float) -> None:
    """So much later."""
    later = time.monotonic() + seconds
    monkeypatch.setattr(time, "monotonic", lambda: later)


@pytest.mark.parametrize("fails", [UnavailableError(), TimeoutError(), ValueError("HTML")])
async def test_last_copy_counts_while_the_keys_cannot_be_fetched(
    tokens: UserTokens, project: Project, monkeypatch: pytest.MonkeyPatch, fails: Exception
) -> None:
    """For a day, and the place is asked again every ten seconds at most; a day later nobody can say."""
    await tokens.authenticate(signed())
    project.fails = fails
    pass_time(monkeypatch, 700)
    for _ in range(3):
        assert await tokens.authenticate(signed()) is not None
    assert len(project.fetched) == 2
    pass_time(monkeypatch, 86_400)
    with pytest.raises(UnavailableError):
        await tokens.authenticate(signed(exp=int(time.time()) + 100_000))


async def test_unknown_key_is_no_denial_while_the_keys_cannot_be_fetched(
    tokens: UserTokens, project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It may be new. Once the place answers again it is a denial, and until then each such token costs no request."""
    with monkeypatch.context() as patch:
        project.fails = UnavailableError()
        for kid in ("ec", "unknown", "another"):
            with pytest.raises(UnavailableError):
                await tokens.authenticate(signed(kid=kid))
        assert len(project.fetched) == 1
        project.fails = None
        pass_time(patch, 11)
        assert await tokens.authenticate(signed(kid="unknown")) is None
        assert await tokens.authenticate(signed()) is not None
    assert len(project.fetched) == 2


@pytest.mark.parametrize("answered", [{}, {"keys": "none"}, {"keys": [1]}, [], {"message": "rate limit"}])
async def test_answer_that_is_no_key_set_is_a_failure(tokens: UserTokens, project: Project, answered: Any) -> None:
    """A page that says something else does not deny everybody."""

    async def fetch(_url: str) -> Any:
        return answered

    with pytest.raises(UnavailableError):
        await UserTokens(Settings(supabase_url=URL, supabase_key="unused"), fetch).authenticate(signed())
