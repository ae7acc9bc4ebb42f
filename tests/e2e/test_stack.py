"""The running stack as other processes find it."""

from __future__ import annotations

import json
import os
import signal
import stat
import time
import uuid

import boto3
import httpx
import pytest

from local.stack.stack import LocalStack
from local.stack.tenant import Tenant
from shared.json_types import JsonObject


def workflows(stack: LocalStack, token: str) -> httpx.Response:
    """The API's answer to a reader with this token."""
    headers = {"Authorization": f"Bearer {token}"}
    return httpx.get(f"{stack.api_url}/api/workflows", headers=headers, timeout=30, trust_env=False)


def test_stack_signs_in_users(stack: LocalStack) -> None:
    """A user's token, verified by the stack's key set, opens the API; one with another signature does not."""
    token = stack.user_token(stack.tenant_id, user_id=str(uuid.uuid4()))
    assert workflows(stack, token).status_code == 200
    assert workflows(stack, f"{token[:-4]}AAAA").status_code == 403


def test_tenants_have_keys_of_their_own(stack: LocalStack, other_tenant: Tenant) -> None:
    """Both keys work, for two tenants."""
    assert other_tenant.tenant_id != stack.tenant_id
    assert workflows(stack, other_tenant.api_key).status_code == 200


def test_boto3_finds_the_drain(stack: LocalStack, monkeypatch: pytest.MonkeyPatch) -> None:
    """The variables of the `env` file are all that boto3 needs."""
    for name, value in stack.environment.items():
        monkeypatch.setenv(name, value)
    answer = boto3.client("lambda").invoke(FunctionName="local-health", Payload=json.dumps(health_event()))
    assert "FunctionError" not in answer
    assert json.load(answer["Payload"])["statusCode"] == 200


def health_event() -> JsonObject:
    """A request for /health."""
    http = {"method": "GET", "path": "/health", "protocol": "HTTP/1.1", "sourceIp": "127.0.0.1", "userAgent": ""}
    context = {"http": http, "requestId": "x", "routeKey": "GET /health", "stage": "$default"}
    return {
        "version": "2.0",
        "routeKey": "GET /health",
        "rawPath": "/health",
        "rawQueryString": "",
        "headers": {},
        "requestContext": context,
        "isBase64Encoded": False,
    }


def test_one_function_can_be_killed_alone(stack: LocalStack) -> None:
    """The pids of a function's workers are known, and killing one costs the others nothing."""
    assert workflows(stack, stack.api_key).status_code == 200
    before = stack.workers()
    killed = before["local-workflows"][0]["pid"]
    os.kill(killed, signal.SIGKILL)
    # Until the kernel has ended it, an invocation may still be sent to it, and ends with it, as on Lambda.
    deadline = time.monotonic() + 10
    while killed in [worker["pid"] for worker in stack.workers().get("local-workflows", ())]:
        assert time.monotonic() < deadline, "the killed worker has not ended"
        time.sleep(0.01)
    assert workflows(stack, stack.api_key).status_code == 200
    after = stack.workers()
    assert after["local-authorizer"][0]["pid"] == before["local-authorizer"][0]["pid"]
    assert after["local-workflows"][-1]["pid"] != killed
    assert stack.log("workflows").exists()


def test_keys_are_readable_by_their_owner_alone(stack: LocalStack) -> None:
    """The files with secrets in them are private."""
    secret = [stack.folder / "env", stack.folder / "tenant.json", *(stack.folder / "keys").iterdir()]
    assert {stat.S_IMODE(path.stat().st_mode) for path in secret} == {0o600}
