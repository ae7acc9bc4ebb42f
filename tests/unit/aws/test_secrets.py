"""Secrets at rest can be read back in their own place, and nowhere else."""

import base64
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING

import boto3
import pytest
from moto import mock_aws

from shared.aws import secrets
from shared.errors import SecretUnreadableError, UnavailableError
from shared.platform.deadline import within
from shared.settings import settings
from tests.faults.hanging_servers import silent_host

if TYPE_CHECKING:
    from mypy_boto3_secretsmanager import SecretsManagerClient

KEY, OTHER_KEY = (base64.b64encode(bytes([number]) * 32).decode() for number in (1, 2))
CONTEXT = "tenant:webhook"


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> Iterator[pytest.MonkeyPatch]:
    """An environment with one secrets key, and no key or setting left from another test."""
    monkeypatch.setenv("SUPABASE_URL", "http://127.0.0.1:9")
    monkeypatch.setenv("SUPABASE_KEY", "unused")
    monkeypatch.setenv("SECRETS_KEY", KEY)
    monkeypatch.delenv("SECRETS_KEY_ARN", raising=False)
    _forget()
    yield monkeypatch
    _forget()


def _forget() -> None:
    settings.cache_clear()
    secrets.forget_keys()


async def test_decrypt_gives_back_what_was_encrypted() -> None:
    """A secret comes back whole, characters beyond ASCII too."""
    assert await secrets.decrypt(await secrets.encrypt("s3cret 🔑", CONTEXT), CONTEXT) == "s3cret 🔑"


async def test_encrypt_never_gives_the_same_text_twice() -> None:
    """Equal secrets cannot be told from their stored texts, which name the version and the key."""
    first, second = [await secrets.encrypt("same", CONTEXT) for _ in range(2)]
    assert first != second
    assert first.startswith("v1:")
    assert "same" not in first


async def test_decrypt_in_another_context_is_refused() -> None:
    """A stored secret that was moved to another webhook's row does not open there."""
    stored = await secrets.encrypt("s3cret", CONTEXT)
    with pytest.raises(SecretUnreadableError):
        await secrets.decrypt(stored, "tenant:another")


@pytest.mark.parametrize("stored", ["", "plain", "v1:x", "v1:00000000:AAAA", "v1:00000000:!", "v1:a:b:c", "v2:{}:{}"])
async def test_decrypt_of_what_we_never_stored_is_refused(stored: str) -> None:
    """Text of another shape is refused, not guessed at."""
    with pytest.raises(SecretUnreadableError):
        await secrets.decrypt(stored, CONTEXT)


async def test_decrypt_of_changed_text_is_refused() -> None:
    """One changed character is noticed."""
    version, key_id, encoded = (await secrets.encrypt("s3cret", CONTEXT)).split(":")
    changed = ("B" if encoded[0] != "B" else "C") + encoded[1:]
    with pytest.raises(SecretUnreadableError):
        await secrets.decrypt(f"{version}:{key_id}:{changed}", CONTEXT)


async def test_replaced_key_still_decrypts(environment: pytest.MonkeyPatch) -> None:
    """After a new key is put in front, old secrets open and new ones are under the new key."""
    old = await secrets.encrypt("s3cret", CONTEXT)
    environment.setenv("SECRETS_KEY", f"{OTHER_KEY},{KEY}")
    _forget()
    assert await secrets.decrypt(old, CONTEXT) == "s3cret"
    assert (await secrets.encrypt("s3cret", CONTEXT)).split(":")[1] != old.split(":")[1]


@pytest.mark.parametrize("text", ["", "short", base64.b64encode(b"16 bytes of key!").decode()])
def test_parse_keys_refuses_other_sizes_without_showing_them(text: str) -> None:
    """A key of the wrong size is a configuration error whose message does not hold the key."""
    with pytest.raises(ValueError, match=r"SECRETS_KEY|32 bytes") as refused:
        secrets.parse_keys(text)
    assert not text or text not in str(refused.value)


def test_parse_keys_takes_base64_without_padding() -> None:
    """A key that Secrets Manager generated has no padding; it is the same key."""
    assert secrets.parse_keys(KEY.rstrip("=")).keys == secrets.parse_keys(KEY).keys


async def test_unknown_key_is_looked_for_again_after_a_while(environment: pytest.MonkeyPatch) -> None:
    """A secret under a key that was added since is read once the keys may be read again."""
    old = await secrets.encrypt("s3cret", CONTEXT)
    environment.setenv("SECRETS_KEY", OTHER_KEY)
    _forget()
    new = await secrets.encrypt("s3cret", CONTEXT)
    environment.setenv("SECRETS_KEY", KEY)
    _forget()
    assert await secrets.decrypt(old, CONTEXT) == "s3cret"
    environment.setenv("SECRETS_KEY", f"{OTHER_KEY} {KEY}")
    settings.cache_clear()
    with pytest.raises(SecretUnreadableError):
        await secrets.decrypt(new, CONTEXT)
    environment.setattr(secrets, "REFRESH_SECONDS", 0.0)
    assert await secrets.decrypt(new, CONTEXT) == "s3cret"


@pytest.fixture
def secrets_manager(environment: pytest.MonkeyPatch) -> Iterator["SecretsManagerClient"]:
    """An empty Secrets Manager, in an environment without a key of its own."""
    environment.setenv("AWS_DEFAULT_REGION", "eu-central-1")
    environment.delenv("SECRETS_KEY")
    with mock_aws():
        yield boto3.client("secretsmanager")


async def test_key_comes_from_secrets_manager(
    environment: pytest.MonkeyPatch, secrets_manager: "SecretsManagerClient"
) -> None:
    """With an ARN set, the key is read from Secrets Manager, once for the life of the process."""
    arn = secrets_manager.create_secret(Name="secrets-key", SecretString=KEY)["ARN"]
    environment.setenv("SECRETS_KEY_ARN", arn)
    _forget()
    stored = await secrets.encrypt("s3cret", CONTEXT)
    secrets_manager.delete_secret(SecretId=arn, ForceDeleteWithoutRecovery=True)
    assert await secrets.decrypt(stored, CONTEXT) == "s3cret"


async def test_unreadable_key_is_an_outage(
    environment: pytest.MonkeyPatch, secrets_manager: "SecretsManagerClient"
) -> None:
    """When Secrets Manager does not give the key, callers are told to try again."""
    environment.setenv("SECRETS_KEY_ARN", "arn:aws:secretsmanager:eu-central-1:123456789012:secret:none")
    _forget()
    with pytest.raises(UnavailableError):
        await secrets.encrypt("s3cret", CONTEXT)


async def test_secrets_manager_that_hangs_is_an_outage_in_time(environment: pytest.MonkeyPatch) -> None:
    """No longer than the caller has time; once it answers, the key is read."""
    environment.setenv("AWS_DEFAULT_REGION", "eu-central-1")
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        environment.setenv(name, "testing")
    environment.delenv("SECRETS_KEY")
    environment.setenv("SECRETS_KEY_ARN", "arn:aws:secretsmanager:eu-central-1:123456789012:secret:key")
    _forget()
    with silent_host() as port:
        environment.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{port}")
        began = time.monotonic()
        with within(0.5), pytest.raises(UnavailableError):
            await secrets.encrypt("s3cret", CONTEXT)
        assert time.monotonic() - began < 3  # botocore itself waits for three seconds, twice
    environment.setenv("SECRETS_KEY", KEY)
    _forget()
    assert await secrets.decrypt(await secrets.encrypt("s3cret", CONTEXT), CONTEXT) == "s3cret"
