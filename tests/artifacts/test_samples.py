"""Every sample event, given to the built function as it is: `sam local invoke` would answer the same."""

from __future__ import annotations

import json
from pathlib import Path

import boto3
import pytest
from botocore.config import Config

from local.stack import LocalStack
from shared.http.openapi import document

FOLDER = Path(__file__).parents[2] / "events"
SAMPLES = sorted(FOLDER.glob("*/*.json"))
DOCUMENTED = {
    operation["operationId"]: set(operation["responses"])
    for operations in document()["paths"].values()
    for operation in operations.values()
}
# Deliveries are named after what is sent, not after an operation: the samples' webhook is nobody's.
DELIVERY = {"404"}


@pytest.fixture(scope="module")
def client(stack: LocalStack) -> object:
    """boto3's client of the stack's Lambda API."""
    config = Config(retries={"total_max_attempts": 1}, read_timeout=60)
    keys = {"aws_access_key_id": "local", "aws_secret_access_key": "local"}
    return boto3.client("lambda", "us-east-1", endpoint_url=stack.lambda_url, config=config, **keys)


@pytest.mark.parametrize("sample", SAMPLES, ids=lambda path: f"{path.parent.name}/{path.stem}")
def test_sample_is_answered(client: object, sample: Path) -> None:
    """No sample is an error of the function, and an HTTP sample has a status that its operation documents."""
    name = f"local-{sample.parent.name.replace('_', '-')}"
    answer = client.invoke(FunctionName=name, Payload=sample.read_bytes())  # type: ignore[attr-defined]
    result = json.load(answer["Payload"])
    assert "FunctionError" not in answer, result
    if sample.parent.name == "authorizer":
        assert result == {"isAuthorized": False}
    elif sample.parent.name == "intake":
        assert str(result["statusCode"]) in DELIVERY
    elif sample.parent.name != "drain":
        assert str(result["statusCode"]) in DOCUMENTED[sample.stem]
